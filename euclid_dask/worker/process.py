"""A started executable: launch, wait without polling, kill whole, reap safely.

Rule 1: the leader is reaped after everything that uses its pid as the name of its group, so a
recycled pid is never hit. Rule 2: stdout and stderr are the child's own file descriptors; not a
byte of them passes through us. Rule 3: no `preexec_fn`, which would force a slow fork.
"""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from math import inf
from resource import struct_rusage
from time import monotonic

from euclid_dask.worker import procfs


class Woken(Enum):
    """Why a wait ended."""

    ENDED = auto()
    """The executable ended."""
    ASKED = auto()
    """Somebody asked through the wake descriptor."""
    LATE = auto()
    """The time was up."""


class Child:
    """An executable that runs as the leader of its own session and process group."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: str,
        environment: Mapping[bytes, bytes],
        stdout: int,
        stderr: int,
    ) -> None:
        self._popen = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self._handle = os.pidfd_open(self.pid)

    def wait(self, *, timeout_s: float, wake: int) -> Woken:
        """Wait until the executable ends, `wake` is readable or the time is up."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        poll.register(wake, select.POLLIN)
        ready = poll.poll(None if timeout_s == inf else max(0, int(timeout_s * 1000) + 1))
        if not ready:
            return Woken.LATE
        ended = any(descriptor == self._handle for descriptor, _ in ready)
        return Woken.ENDED if ended else Woken.ASKED

    def kill(self, *, grace_s: float, markers: Mapping[str, str]) -> None:
        """End the whole tree: SIGTERM, `grace_s` seconds, SIGKILL; strays by their markers.

        Returns when the leader has ended (and is not reaped) and all others are dead.
        """
        self._signal_all(signal.SIGTERM, markers)
        if grace_s > 0:
            poll = select.poll()
            poll.register(self._handle, select.POLLIN)
            poll.poll(int(grace_s * 1000) + 1)
        while self._signal_all(signal.SIGKILL, markers):
            _pause()
        _until_readable(self._handle)

    def reap(self) -> tuple[int, struct_rusage, int]:
        """Return wait status, resource usage, and how many processes were left behind.

        Those are killed: the members of the group that outlived its leader.
        """
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self._handle)
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        return status, usage, _kill_rest(self.pid)

    def _signal_all(self, number: signal.Signals, markers: Mapping[str, str]) -> int:
        others = {process.pid: process for process in procfs.trees([self.pid])[self.pid]}
        others |= {process.pid: process for process in procfs.marked(markers)}
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
        for process in others.values():
            if process.group != self.pid:
                procfs.send(process, number)
        return len(others)


def _until_readable(handle: int) -> None:
    """Wait until a descriptor is readable."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll()


def _kill_rest(group: int) -> int:
    """Kill what lives of a group whose leader was reaped; return how many there were."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return 0
    now = procfs.ticks_now()
    seen: set[int] = set()
    until_s = monotonic() + 30.0
    while monotonic() < until_s:
        rest = [one for one in procfs.living() if one.group == group and one.started <= now]
        if not rest:
            break
        for process in rest:
            seen.add(process.pid)
            procfs.send(process, signal.SIGKILL)
        _pause()
    return len(seen)


def _pause() -> None:
    """Let the kernel end what was killed."""
    select.poll().poll(2)
