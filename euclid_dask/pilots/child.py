"""The supervisor's child: the Dask worker, started again whenever it ends.

It stays in the supervisor's session, so that it is told from the executables and what they leave.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from math import inf
from time import monotonic
from typing import Final

_FIRST_S: Final = 0.2
_LONGEST_S: Final = 30.0
_HEALTHY_S: Final = 10.0


class Child:
    """A process that is kept running: after an early end, it is waited longer each time."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._handle = -1
        self._started_s = 0.0
        self._pause_s = _FIRST_S
        self._due_s = 0.0

    @property
    def due_s(self) -> float:
        """When it is to be started (monotonic seconds), infinity while it runs."""
        return inf if self._process is not None else self._due_s

    @property
    def handle(self) -> int:
        """A descriptor that is readable when it has ended, -1 while it does not run."""
        return self._handle

    def attend(self) -> None:
        """Reap it if it has ended; start it if it is due."""
        if self._process is not None and self._process.poll() is not None:
            self._ended()
        if self._process is None and monotonic() >= self._due_s:
            self._start()

    def kill(self) -> None:
        """End it, for good."""
        self._due_s = inf
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._ended()
            self._due_s = inf

    def _start(self) -> None:
        self._started_s = monotonic()
        try:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL
            )
        except OSError:  # no more processes, no memory: later perhaps
            self._wait_longer()
            return
        self._handle = os.pidfd_open(self._process.pid)

    def _ended(self) -> None:
        self._process = None
        os.close(self._handle)
        self._handle = -1
        if monotonic() - self._started_s >= _HEALTHY_S:
            self._pause_s = _FIRST_S
        self._wait_longer()

    def _wait_longer(self) -> None:
        self._due_s = monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_S)
