"""The lease of a pilot: its right to run tasks, which the runner can take away.

It is a file in the workspace that the runner makes before it submits the job: a pilot without one
never begins. The pilot touches it again and again; when it could not for the time that a lease
lasts, it stops its tasks where they are, until it can. The runner takes a lease away by removing
the file: it can never be touched again, and the pilot kills its tasks.

So a while after a lease was taken away nothing of the pilot runs, wherever it is and whoever can
be reached from there; only the runner's clock is asked. Rule 1: a lease costs no task as long as
nobody takes it away. A full disk does not end one: the pilot writes nothing. Rule 2: that a pilot
is dead is never concluded from a file that is not there: one that has ended its tasks says so, by
the file's time of modification. That is `_OFFERED_NS` until the pilot takes the lease up,
`_RETURNED_NS` when it has given it back, and no clock is read from it in between.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from threading import Event, Thread
from time import CLOCK_BOOTTIME, clock_gettime
from typing import Final

from euclid_dask.core.ids import PilotId
from euclid_dask.core.values import Value

_OFFERED_NS: Final = 0
_RETURNED_NS: Final = 10**9
_TOUCHES: Final = 4
"""How often a lease is touched in the time that it lasts."""
_SAFETY: Final = 0.5
_LEAST_S: Final = 10.0
"""A pilot gets a share of the time that its lease lasts, and at least this, to stop its tasks."""
_LOOK_S: Final = 1.0
"""So often a pilot looks whether its lease is over; then what was started meanwhile is stopped."""
_TAKEN_AWAY: Final = frozenset({errno.ENOENT, errno.ESTALE})


def lease_path(records: Path, pilot: PilotId) -> Path:
    """Return where the lease of a pilot is, among the records of a workdir."""
    return records / "leases" / pilot


class Seen(Value, frozen=True, kw_only=True):
    """What the runner sees of a lease. `touched_ns` changes whenever the pilot touches it.

    It `is_offered` until it is taken up, and `is_returned` when it was given back. `lasts_s` is 0
    if it never ends.
    """

    touched_ns: int
    lasts_s: float
    is_offered: bool = False
    is_returned: bool = False

    @property
    def is_free(self) -> bool:
        """Tell whether nothing runs by it."""
        return self.is_offered or self.is_returned

    @property
    def rests_after_s(self) -> float:
        """How long it takes until two touches have failed to come."""
        return 2 * self.lasts_s / _TOUCHES

    @property
    def dead_after_s(self) -> float:
        """How long after it was taken away all tasks are stopped for good; inf for never.

        A pilot that cannot see it stops them when it is over. One that can ends them sooner, and
        stops those then which have not ended in their grace period, however long that is.
        """
        return self.lasts_s + max(_SAFETY * self.lasts_s, _LEAST_S) if self.lasts_s else inf


class Leases(Value, frozen=True, kw_only=True):
    """The runner's side. `records` are those of the workdir.

    A new lease lasts `lasts_s` seconds without a touch, 0 for ever.
    """

    records: Path
    lasts_s: float

    def prepare(self) -> None:
        """Make the folder of all leases, without which nothing is known of any.

        Raises:
            OSError: The workspace cannot be written.
        """
        lease_path(self.records, PilotId("")).mkdir(exist_ok=True)

    def offer(self, pilot: PilotId) -> None:
        """Make a lease, for a pilot that is about to be submitted.

        Raises:
            OSError: The workspace cannot be written.
        """
        self.prepare()
        path = lease_path(self.records, pilot)
        path.write_text(f"{self.lasts_s:g}\n")
        os.utime(path, ns=(_OFFERED_NS, _OFFERED_NS))

    def look(self, pilot: PilotId) -> Seen:
        """Look at a lease.

        Where leases never end, one that is gone counts as returned: no runner takes such a lease
        away, so somebody did who knows that the pilot is dead.

        Raises:
            OSError: The workspace cannot be reached.
        """
        path = lease_path(self.records, pilot)
        try:
            with path.open("rb", buffering=0) as file:  # to open it asks the server, if it is NFS
                touched_ns = os.fstat(file.fileno()).st_mtime_ns
                lasts_s = float(file.read() or self.lasts_s)
        except OSError as error:
            if error.errno not in _TAKEN_AWAY or not _is_gone(path):
                raise
            return Seen(touched_ns=0, lasts_s=self.lasts_s, is_returned=not self.lasts_s)
        return Seen(
            touched_ns=touched_ns,
            lasts_s=lasts_s,
            is_offered=touched_ns == _OFFERED_NS,
            is_returned=touched_ns == _RETURNED_NS,
        )

    def take_away(self, pilot: PilotId) -> None:
        """End the lease of a pilot, if it has one.

        Raises:
            OSError: The workspace cannot be reached; the pilot may still have its lease.
        """
        lease_path(self.records, pilot).unlink(missing_ok=True)


def give_back(path: Path) -> None:
    """Say that nothing runs by a lease any more, nor ever will; the pilot's word."""
    with suppress(OSError):
        os.utime(path, ns=(_RETURNED_NS, _RETURNED_NS))


class Lease:
    """The pilot's side, kept by threads of its own: a shared file system may hang.

    Args:
        path: The file.
        lasts_s: The seconds that the lease lasts when it is not touched, 0 for ever.
        hold: Called with True to stop what runs, again and again while the lease is over, and
            with False to let it go on.
        wake: Called when something of that has changed, or the lease was taken away.

    Raises:
        OSError: It cannot be touched; `FileNotFoundError` if it was taken away.
    """

    def __init__(
        self,
        path: Path,
        lasts_s: float,
        *,
        hold: Callable[[bool], None],
        wake: Callable[[], None],
    ) -> None:
        self.is_taken_away = False
        self._path = path
        self._lasts_s = lasts_s
        self._hold = hold
        self._wake = wake
        self._is_stopped = False
        self._released = Event()
        self._touched = Event()
        self._until_s = inf
        self._touch()
        if lasts_s:
            Thread(target=self._keep, name="lease", daemon=True).start()
            Thread(target=self._guard, name="lease guard", daemon=True).start()

    @property
    def is_held(self) -> bool:
        """Tell whether tasks may run."""
        return not (self._is_stopped or self.is_taken_away) and self._until_s > _now_s()

    def release(self) -> None:
        """Give it back, since nothing runs any more."""
        self._released.set()
        self._touched.set()
        give_back(self._path)

    def _keep(self) -> None:
        """Touch it in time: the only thread that waits for the workspace."""
        while not (self.is_taken_away or self._released.wait(self._lasts_s / _TOUCHES)):
            try:
                self._touch()
            except OSError as error:
                self.is_taken_away = error.errno in _TAKEN_AWAY and _is_gone(self._path)
        self._wake()

    def _guard(self) -> None:
        """Stop what runs, where it is, as long as the lease is over."""
        while not self._released.is_set():
            was_stopped, self._is_stopped = self._is_stopped, self._until_s <= _now_s()
            if was_stopped or self._is_stopped:
                self._hold(self._is_stopped)
            if was_stopped != self._is_stopped:
                self._wake()
            self._touched.wait(min(_LOOK_S, max(0.0, self._until_s - _now_s()) or _LOOK_S))
            self._touched.clear()

    def _touch(self) -> None:
        now_s = _now_s()  # before: a touch that hangs may come true late
        file = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)  # asks the server, if it is NFS
        try:
            os.utime(file)
        finally:
            os.close(file)
        if self._lasts_s:
            self._until_s = now_s + self._lasts_s
            self._touched.set()


def _is_gone(path: Path) -> bool:
    """Tell whether a lease that was missed is not in its folder, and that is there.

    It is looked for in the folder as opened: one that has just come back is not taken for empty.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(os.open(path.name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder))
    except OSError as error:
        return error.errno in _TAKEN_AWAY
    finally:
        os.close(folder)
    return False


def _now_s() -> float:
    """Return seconds that go on while the host sleeps."""
    return clock_gettime(CLOCK_BOOTTIME)
