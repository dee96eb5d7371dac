"""Processes that are killed at a step we choose, or have a fault we planted.

They are forked from one that has imported all and done it once, so that one takes a moment.
"""

import contextlib
import importlib
import inspect
import mmap
import multiprocessing
import os
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

Step = Callable[[], None]


@dataclass(frozen=True)
class Fault:
    """A mistake in our code: what is there, and what is put in its place."""

    module: str
    good: str
    bad: str


def plant(fault: Fault, reloaded: Sequence[str]) -> None:
    """Have this process make a mistake.

    The modules that it may be in, and those that import from them, are executed anew, in order.
    """
    for name in reloaded:
        module = importlib.import_module(f"euclid_dask.data.{name}")
        source = inspect.getsource(module)
        if name == fault.module:
            assert source.count(fault.good) == 1, f"{fault.good!r} is not once in {name}"
            source = source.replace(fault.good, fault.bad)
        exec(compile(source, str(module.__file__), "exec"), vars(module))


def watch(place: Any, name: str, step: Step) -> None:
    """Have each call of a function of a class or module be a step."""
    call = getattr(place, name)

    @wraps(call)
    def watched(*arguments: Any, **named: Any) -> Any:
        done = call(*arguments, **named)
        step()
        return done

    setattr(place, name, watched)


class Nursery:
    """A process from which others are forked."""

    def __init__(self, warm_up: Callable[[Path], None], live: Callable[..., None]) -> None:
        """Take what is done once, in a directory, and the life of a child: functions of modules.

        A life is told what to call at each of its steps, and then what `bear` was given.
        """
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        context.Process(target=_bear, args=(end, warm_up, live), daemon=True).start()
        end.close()

    def bear(self, killed_at: int, *order: Any) -> int:
        """Have a child live; return how many steps it made, -1 when it was killed.

        Args:
            killed_at: After which step it is killed, counted from 1; 0 is never.
            order: What its life is told.
        """
        self._pipe.send((killed_at, order))
        code, steps = self._pipe.recv()
        assert code in {0, -signal.SIGKILL}, f"the process ended with {code}"
        return int(steps) if code == 0 else -1

    def close(self) -> None:
        """End the process."""
        self._pipe.close()


def _bear(pipe: Any, warm_up: Callable[[Path], None], live: Callable[..., None]) -> None:
    steps = mmap.mmap(-1, 8)
    with tempfile.TemporaryDirectory() as place:
        warm_up(Path(place))
    with contextlib.suppress(EOFError):
        while True:
            killed_at, order = pipe.recv()
            steps[:] = bytes(8)
            if not (child := os.fork()):
                _live(live, order, killed_at, steps)
            _, status = os.waitpid(child, 0)
            pipe.send((os.waitstatus_to_exitcode(status), int.from_bytes(steps[:], "little")))


def _live(live: Callable[..., None], order: Any, killed_at: int, steps: mmap.mmap) -> None:
    lock = threading.Lock()

    def step() -> None:
        with lock:
            made = int.from_bytes(steps[:], "little") + 1
            steps[:] = made.to_bytes(8, "little")
            if made == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        live(step, *order)
        os._exit(0)
    except BaseException:  # noqa: BLE001  what is forked must not go on as its parent
        traceback.print_exc()
    os._exit(1)
