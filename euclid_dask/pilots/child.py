"""The supervisor's child: the Dask worker, started again whenever it ends.

It stays in the supervisor's session, so that it is told from the executables and what they leave.
Python may be on a file system that hangs, so it is started in a thread: nobody waits for that.
"""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from math import inf
from threading import Thread
from time import monotonic
from typing import Final

_FIRST_S: Final = 0.2
_LONGEST_S: Final = 30.0
_HEALTHY_S: Final = 10.0
_DEATH_S: Final = 5.0
"""How long a killed process is waited for: it may wait for a file system."""

_Process = subprocess.Popen[bytes]


class Child:
    """A process that is kept running: after an early end, it is waited longer each time.

    `launch` is what starts it.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        launch: Callable[..., _Process] = subprocess.Popen,
    ) -> None:
        self._command = command
        self._popen = launch
        self._environment = {**os.environ, **environment}
        self._process: _Process | None = None
        self._launch: Future[_Process] | None = None
        self._handle = -1
        self._started_s = 0.0
        self._pause_s = _FIRST_S
        self._due_s = 0.0

    @property
    def due_s(self) -> float:
        """When it is to be started (monotonic seconds), infinity while it runs."""
        return self._due_s if self._process is None and self._launch is None else inf

    @property
    def pid(self) -> int:
        """Its process id, 0 while it does not run."""
        return 0 if self._process is None else self._process.pid

    @property
    def handle(self) -> int:
        """A descriptor that is readable when it is to be attended, -1 while it does not run."""
        return self._handle

    def attend(self) -> None:
        """Reap it if it has ended; start it if it is due."""
        if self._launch is not None and self._launch.done():
            self._launched(self._launch)
        if self._process is not None and self._process.poll() is not None:
            self._ended()
        if monotonic() >= self.due_s:
            self._start()

    def kill(self) -> None:
        """End it, for good."""
        if self._launch is not None:
            self._launch.add_done_callback(_kill_launched)
            self._launch, self._handle = None, -1
        if self._process is not None:
            _kill(self._process)
            self._ended()
        self._due_s = inf

    def _start(self) -> None:
        self._started_s = monotonic()
        self._launch, self._handle = Future(), os.eventfd(0)
        try:
            Thread(target=self._run, args=(self._launch, self._handle), daemon=True).start()
        except RuntimeError as error:  # no more threads: later perhaps
            self._launch.set_exception(error)
            self._launched(self._launch)

    def _run(self, launch: "Future[_Process]", handle: int) -> None:
        """Launch it, and tell by `handle` that this is done."""
        try:
            launch.set_result(
                self._popen(self._command, env=self._environment, stdin=subprocess.DEVNULL)
            )
        except OSError as error:  # no more processes, no memory: later perhaps
            launch.set_exception(error)
        os.eventfd_write(handle, 1)

    def _launched(self, launch: "Future[_Process]") -> None:
        self._close()
        self._launch = None
        if launch.exception() is not None:
            self._wait_longer()
            return
        self._process = launch.result()
        self._handle = os.pidfd_open(self._process.pid)

    def _close(self) -> None:
        os.close(self._handle)
        self._handle = -1

    def _ended(self) -> None:
        self._process = None
        self._close()
        if monotonic() - self._started_s >= _HEALTHY_S:
            self._pause_s = _FIRST_S
        self._wait_longer()

    def _wait_longer(self) -> None:
        self._due_s = monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_S)


def _kill_launched(launch: "Future[_Process]") -> None:
    """Kill what was launched when nobody wanted it any more."""
    if launch.exception() is None:
        _kill(launch.result())


def _kill(process: _Process) -> None:
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_DEATH_S)
