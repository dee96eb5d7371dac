"""The process trees of the attempts in this process, orphans included.

While attempts run, this process is a sub-reaper: what has lost its parent becomes its child, so
nothing escapes by a session of its own, an empty environment or a double fork. Rule 1: an orphan
belongs to the attempt whose markers it carries or whose logs it has open, else to the only one
that has run since before it began, if there is only one. Rule 2: the dead that are reaped here
are orphans, for whom nobody else waits.
"""

import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Event, Lock
from typing import Final

from euclid_dask.worker import guard, procfs
from euclid_dask.worker.procfs import Process

_PR_SET_CHILD_SUBREAPER: Final = 36
_LIBC: Final = ctypes.CDLL(None)
_NOT_KNOWN: Final = 0


class Tree:
    """The processes of one attempt: its leader, the leader's session and descendants, its orphans.

    It is made before the leader is launched, whose pid is then noted by `lead`; `logs` are the
    descriptors that the leader gets for stdout and stderr.
    """

    def __init__(self, markers: Mapping[str, str], logs: Sequence[int]) -> None:
        self.leader = _NOT_KNOWN
        self.began = procfs.ticks_now()
        self._markers = markers
        self._logs = {(found.st_dev, found.st_ino) for found in map(os.fstat, logs)}
        with _LOCK:
            if not _OPEN:
                _be_sub_reaper(yes=True)
            _OPEN.add(self)

    def lead(self, leader: int) -> None:
        """Note the leader, which was just launched; stop it, if all is held."""
        with _HOLDING:
            self.leader = leader
            if _HELD.is_set():
                os.kill(leader, signal.SIGSTOP)

    def close(self) -> None:
        """Forget the attempt: it has ended, and so has what it left."""
        with _LOCK:
            _OPEN.discard(self)
            if not _OPEN:
                _be_sub_reaper(yes=False)

    def orphans(self) -> list[Process]:
        """Return its living orphans; costs little where there are none."""
        return [orphan for orphan in _orphans() if self.owns(orphan)]

    def living(self) -> list[Process]:
        """Return all of it that lives; an empty answer means: it is provably dead."""
        return living([self])[self]

    def owns(self, orphan: Process) -> bool:
        """Tell whether an orphan is of this tree and can be of no other."""
        if orphan.started < self.began:
            return False
        with _LOCK:
            rivals = any(orphan.started >= tree.began for tree in _OPEN if tree is not self)
        return not rivals or procfs.carries(orphan.pid, self._markers) or self._logs_to(orphan)

    def _logs_to(self, orphan: Process) -> bool:
        for descriptor in (1, 2):
            with suppress(OSError):
                found = os.stat(f"/proc/{orphan.pid}/fd/{descriptor}")  # noqa: PTH116
                if (found.st_dev, found.st_ino) in self._logs:
                    return True
        return False


_LOCK: Final = Lock()
_OPEN: Final[set[Tree]] = set()
_HELD: Final = Event()
_HOLDING: Final = Lock()
"""Taken by who stops what runs, or lets it go on: it is done for all, one after the other."""


def are_open() -> bool:
    """Tell whether attempts run in this process."""
    return bool(_OPEN)


def are_held() -> bool:
    """Tell whether attempts are stopped where they are."""
    return _HELD.is_set()


def hold(yes: bool) -> None:  # noqa: FBT001 - stopped or not is all there is
    """Stop all that runs where it is, and what is launched from now on; or let all of it go on.

    It is not asked which orphan is whose: to look at what one has open may take for ever.
    """
    with _HOLDING:
        if yes:
            _HELD.set()
        else:
            _HELD.clear()
        processes = {process.pid: process for process in procfs.living()}
        orphans = {orphan.pid: orphan for orphan in _orphans()}
        with _LOCK:
            leaders = {tree.leader for tree in _OPEN} - {_NOT_KNOWN}
        for members in procfs.trees(leaders | orphans.keys(), processes | orphans).values():
            for process in members:
                procfs.send(process, signal.SIGSTOP if yes else signal.SIGCONT)


def living(trees: Sequence[Tree]) -> dict[Tree, list[Process]]:
    """Return the living processes of some trees, by one look at the host."""
    processes = {process.pid: process for process in procfs.living()}
    roots = {tree.leader: tree for tree in trees if tree.leader != _NOT_KNOWN}
    for orphan in _orphans():  # after the look: who has lost its parent meanwhile is in either
        processes[orphan.pid] = orphan
        for tree in trees:
            if tree.owns(orphan):
                roots[orphan.pid] = tree
    found: dict[Tree, list[Process]] = {tree: [] for tree in trees}
    for root, members in procfs.trees(roots, processes).items():
        found[roots[root]] += members
    return found


def _orphans() -> list[Process]:
    """Return the living orphans of all trees; reap the dead ones.

    Other children of this process are leaders, or in its session, or older than the trees.
    """
    found: list[Process] = []
    with _LOCK:
        leaders = {tree.leader for tree in _OPEN}
        for pid in procfs.adopted():
            child = None if pid in leaders or pid == guard.pid() else procfs.read_any(pid)
            if child is None or not _is_orphan(child):
                continue
            if not child.dead:
                found.append(child)
            elif _NOT_KNOWN not in leaders:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
    return found


def _is_orphan(child: Process) -> bool:
    return child.session != os.getsid(0) and any(child.started >= tree.began for tree in _OPEN)


def _be_sub_reaper(*, yes: bool) -> None:
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)
