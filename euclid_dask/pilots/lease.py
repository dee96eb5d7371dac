"""The lease of a pilot: its right to run tasks, which the runner can take away.

It is a file in the workspace. The pilot touches it again and again; when it could not for the
time that a lease lasts, it stops its tasks where they are, until it can. The runner takes a lease
away by removing the file: it can never be touched again, and the pilot kills its tasks.

So a while after a lease was taken away nothing of the pilot runs, wherever it is and whoever can
be reached from there; only the runner's clock is asked. Rule: a lease costs no task as long as
nobody takes it away. A full disk does not end one: nothing is written.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from time import CLOCK_BOOTTIME, clock_gettime
from typing import Final

from euclid_dask.core.ids import PilotId
from euclid_dask.core.values import Value

_TOUCHES: Final = 4
"""How often a lease is touched in the time that it lasts."""
_SAFETY: Final = 1.5
_TAKEN_AWAY: Final = frozenset({errno.ENOENT, errno.ESTALE})


def lease_path(records: Path, pilot: PilotId) -> Path:
    """Return where the lease of a pilot is, among the records of a workdir."""
    return records / "leases" / pilot


class Leases(Value, frozen=True, kw_only=True):
    """The runner's side. `records` are those of the workdir; a lease lasts `lasts_s` seconds."""

    records: Path
    lasts_s: float

    @property
    def dead_after_s(self) -> float:
        """How long after a lease was taken away the tasks of the pilot are provably dead."""
        return _SAFETY * self.lasts_s

    def take_away(self, pilot: PilotId) -> None:
        """End the lease of a pilot, if it has one.

        Raises:
            OSError: The workspace cannot be reached; the pilot may still have its lease.
        """
        lease_path(self.records, pilot).unlink(missing_ok=True)


class Lease:
    """The pilot's side, kept by a thread of its own: a shared file system may hang.

    Args:
        path: The file. It is made.
        lasts_s: The seconds that the lease lasts when it is not touched, 0 for ever.
        wake: Called, from that thread, when the lease is held again or was taken away.
    """

    def __init__(self, path: Path, lasts_s: float, wake: Callable[[], None]) -> None:
        self.is_taken_away = False
        self._path = path
        self._lasts_s = lasts_s
        self._wake = wake
        self._until_s = _now_s() + lasts_s
        self._released = Event()
        if lasts_s:
            path.parent.mkdir(exist_ok=True)
            path.touch()
            Thread(target=self._keep, name="lease", daemon=True).start()

    @property
    def left_s(self) -> float:
        """The seconds that it is held for if it is not touched again; negative since its end."""
        return self._until_s - _now_s() if self._lasts_s else float("inf")

    def release(self) -> None:
        """Give it back."""
        self._released.set()
        if self._lasts_s:
            with suppress(OSError):
                self._path.unlink()

    def _keep(self) -> None:
        while not self._released.wait(self._lasts_s / _TOUCHES):
            was_held = self.left_s > 0
            self._touch()
            if self.is_taken_away or not was_held:
                self._wake()
            if self.is_taken_away:
                return

    def _touch(self) -> None:
        now_s = _now_s()  # before: a touch that hangs may come true late
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)  # asks the server, if it is NFS
            try:
                os.utime(file)
            finally:
                os.close(file)
        except OSError as error:
            self.is_taken_away = error.errno in _TAKEN_AWAY and self._path.parent.is_dir()
            return
        self._until_s = now_s + self._lasts_s


def _now_s() -> float:
    """Return seconds that go on while the host sleeps."""
    return clock_gettime(CLOCK_BOOTTIME)
