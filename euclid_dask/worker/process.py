"""A started executable: launch, wait without polling, kill whole, reap safely.

Rule 1: the leader is reaped after everything that uses its pid as the name of its session, so a
recycled pid is never hit. Rule 2: stdout and stderr are the child's own file descriptors; not a
byte of them passes through us. Rule 3: no `preexec_fn`, which would force a slow fork.
"""

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
from euclid_dask.worker.procfs import Process
from euclid_dask.worker.trees import Tree

_LINGER_S = 0.1
"""How long what an executable leaves may take to end by itself: the other end of a pipe, say."""

_PATIENCE_S = 30.0


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
        markers: Mapping[str, str],
        stdout: int,
        stderr: int,
    ) -> None:
        self.tree = Tree(markers, [stdout, stderr])
        try:
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
            self.tree.lead(self.pid)
            self._handle = os.pidfd_open(self.pid)
        except BaseException:
            self.tree.close()
            raise

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

    def kill(self, *, grace_s: float) -> tuple[str, ...]:
        """End the whole tree: SIGTERM, up to `grace_s` seconds for all to end, SIGKILL.

        Returns when the leader has ended (and is not reaped) and all others are dead: the
        commands of those that SIGTERM did not end.
        """
        stubborn: tuple[str, ...] = ()
        if grace_s > 0:
            asked = self.tree.living()
            for process in asked:
                procfs.send(process, signal.SIGTERM)
            _wait_for(asked, grace_s)
            left = [procfs.command_line(process.pid) for process in asked if procfs.lives(process)]
            stubborn = tuple(command for command in left if command)
        while self._kill_living():
            _pause()
        _until_readable(self._handle)
        return stubborn

    def reap(self) -> tuple[int, struct_rusage, tuple[str, ...]]:
        """Return wait status, resource usage, and the commands of what was left behind.

        That is killed: the leader's tree, which is to have ended with it.
        """
        left = self._kill_left() if self.tree.orphans() else ()
        _, status, usage = os.wait4(self.pid, 0)
        self.tree.close()
        os.close(self._handle)
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        return status, usage, left

    def _kill_left(self) -> tuple[str, ...]:
        """Kill what the leader left, unless it ends within a moment; return its commands."""
        _wait_for(self.tree.living(), _LINGER_S)
        commands = [procfs.command_line(process.pid) for process in self.tree.living()]
        until_s = monotonic() + _PATIENCE_S
        while self._kill_living() and monotonic() < until_s:
            _pause()
        return tuple(command for command in commands if command)

    def _kill_living(self) -> list[Process]:
        """Send SIGKILL to all of the tree that lives; return what that is."""
        alive = self.tree.living()
        for process in alive:
            procfs.send(process, signal.SIGKILL)
        return alive


def _until_readable(handle: int) -> None:
    """Wait until a descriptor is readable."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll()


def _wait_for(processes: Sequence[Process], most_s: float) -> None:
    """Wait until these have ended, or the time is up."""
    until_s = monotonic() + most_s
    while any(map(procfs.lives, processes)) and monotonic() < until_s:
        _pause()


def _pause() -> None:
    select.poll().poll(2)
