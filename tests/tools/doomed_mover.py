"""A mover in a process of its own that is killed at a step we choose, or has a fault we planted.

A world is a directory: a registry, two storages `a` and `b`, and files in `a` that are wanted in
`b`: a large one, or small ones that are moved as a group. It can be copied as a whole, since
drivers are made from it and not from access rows.
"""

import contextlib
import importlib
import inspect
import mmap
import multiprocessing
import os
import signal
import sqlite3
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from euclid_dask.core.values import Value
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.model import Access, File, Replica, Storage
from euclid_dask.data.registry import Registry
from euclid_dask.data.storage import MARKER

NAME = "EUC_a.fits"
CONTENT = bytes(range(256)) * 5000
OTHER = CONTENT[:-1] + b"x"
SMALL = {f"EUC_small_{number}.fits": bytes([number]) * 1000 for number in range(2)}
LONG_S = 3600.0

_STEPS = [
    ("registry.transfers", "Transfers", "claim"),
    ("registry.transfers", "Transfers", "publishing"),
    ("registry.transfers", "Transfers", "finish"),
    ("registry.transfers", "Transfers", "fail"),
    ("storages.file", "FileDriver", "open_part"),
    ("storages.file", "FileDriver", "unlink"),
    ("storages.file", "FilePart", "write"),
    ("storages.file", "FilePart", "sync"),
    ("storages.file", "", "sync_directory"),
    ("local", "", "rename_noreplace"),
    ("copying", "", "sync_directory"),
]
"""What changes a disk: module, class and function."""
_RELOADED = ("local", "hashing", "storages.file", "copying", "mover")
"""Modules that a planted fault may be in, and those that import from them, in that order."""


@dataclass(frozen=True)
class Fault:
    """A mistake in our code: what is there, and what is put in its place."""

    module: str
    good: str
    bad: str


class Fate(Value, frozen=True, kw_only=True):
    """What is to happen to a mover."""

    killed_at: int = 0
    """After this step, counted from 1; 0 is never."""
    meanwhile: str = ""
    """What happens just before it may publish: `same` or `other` content appears under the final
    name, or another mover is given the transfer (`thief`)."""


class _Clock:
    def now_s(self) -> float:
        return 0.0


def make_world(directory: Path, *, others: bool = False, small: bool = False) -> None:
    """Make a world; with `others`, the first storage has other bytes than are known."""
    known = SMALL if small else {NAME: CONTENT}
    directory.mkdir()
    for name in ("a", "b"):
        (directory / name).mkdir()
        (directory / name / MARKER).write_text(name)
    for name, content in known.items():
        (directory / "a" / name).write_bytes(OTHER if others else content)
    with Registry(directory / "registry.db") as registry:
        for name in ("a", "b"):
            registry.storages.put(Storage(name=name, marker=name))
        registry.storages.put_access(
            [Access(storage=name, zone="z", root=f"file:///{name}") for name in ("a", "b")]
        )
        registry.register(
            [
                File(name=name, size=len(it), checksums=hash_chunks([it]).checksums())
                for name, it in known.items()
            ],
            [Replica(file=name, storage="a", path=name) for name in known],
        )
        registry.transfers.enqueue([(name, "b") for name in known])


def pass_time(directory: Path) -> None:
    """Have all leases and delays come to their end."""
    with sqlite3.connect(directory / "registry.db") as database:
        database.execute("UPDATE transfers SET lease_until_s = 0, not_before_s = 0")
    database.close()


class Nursery:
    """A process that has imported all, and from which movers are forked: that is soon done."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        context.Process(target=_bear, args=(end,), daemon=True).start()
        end.close()

    def move(self, directory: Path, fate: Fate, fault: Fault | None = None) -> int:
        """Run a mover in a world; return how many steps it made, -1 when it was killed."""
        self._pipe.send((directory, fate, fault))
        code, steps = self._pipe.recv()
        assert code in {0, -signal.SIGKILL}, f"the mover ended with {code}"
        return int(steps) if code == 0 else -1

    def close(self) -> None:
        """End the process."""
        self._pipe.close()


def _bear(pipe: Any) -> None:
    steps = mmap.mmap(-1, 8)
    with tempfile.TemporaryDirectory() as place:
        make_world(Path(place, "first"))
        run(Path(place, "first"))
    with contextlib.suppress(EOFError):
        while True:
            order = pipe.recv()
            steps[:] = bytes(8)
            if not (child := os.fork()):
                _live(*order, steps)
            _, status = os.waitpid(child, 0)
            pipe.send((os.waitstatus_to_exitcode(status), int.from_bytes(steps[:], "little")))


def _live(directory: Path, fate: Fate, fault: Fault | None, steps: mmap.mmap) -> None:
    lock = threading.Lock()

    def step() -> None:
        with lock:
            made = int.from_bytes(steps[:], "little") + 1
            steps[:] = made.to_bytes(8, "little")
            if made == fate.killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        if fault is not None:
            _plant(fault)
        _watch_steps(step)
        run(directory, fate.meanwhile)
        os._exit(0)
    except BaseException:  # noqa: BLE001  what is forked must not go on as its parent
        traceback.print_exc()
    os._exit(1)


def run(directory: Path, meanwhile: str = "") -> None:
    """Run a mover in this process until it has nothing to do."""
    data = "euclid_dask.data"
    mover = importlib.import_module(f"{data}.mover")
    file = importlib.import_module(f"{data}.storages.file")
    copying = importlib.import_module(f"{data}.copying")
    with Registry(directory / "registry.db") as registry:
        if meanwhile:
            _meddle(registry, directory, directory / "b" / copying.new_path(NAME), meanwhile)
        drivers = {name: file.FileDriver(directory / name) for name in ("a", "b")}
        made = mover.Mover(
            registry,
            lambda access: drivers[access.storage],
            _Clock(),
            mover.Settings(worker=f"w{os.getpid()}", zone="z", lease_s=LONG_S, threads=1),
        )
        made.drain()


def _meddle(registry: Registry, directory: Path, final: Path, meanwhile: str) -> None:
    asked = registry.transfers.publishing

    def publishing(*arguments: Any, **named: Any) -> Any:
        if meanwhile == "thief":
            pass_time(directory)
            registry.transfers.claim("thief", 1, LONG_S)
        else:
            final.parent.mkdir(exist_ok=True)
            final.write_bytes({"same": CONTENT, "other": OTHER}[meanwhile])
        return asked(*arguments, **named)

    registry.transfers.publishing = publishing  # type: ignore[method-assign]


def _plant(fault: Fault) -> None:
    for name in _RELOADED:
        module = importlib.import_module(f"euclid_dask.data.{name}")
        source = inspect.getsource(module)
        if name == fault.module:
            assert source.count(fault.good) == 1, f"{fault.good!r} is not once in {name}"
            source = source.replace(fault.good, fault.bad)
        exec(compile(source, str(module.__file__), "exec"), vars(module))


def _watch_steps(step: Callable[[], None]) -> None:
    for module, owner, name in _STEPS:
        place: Any = importlib.import_module(f"euclid_dask.data.{module}")
        place = getattr(place, owner) if owner else place
        setattr(place, name, _watched(getattr(place, name), step))


def _watched(call: Callable[..., Any], step: Callable[[], None]) -> Callable[..., Any]:
    @wraps(call)
    def watched(*arguments: Any, **named: Any) -> Any:
        done = call(*arguments, **named)
        step()
        return done

    return watched


if __name__ == "__main__":
    run(Path(sys.argv[1]))
