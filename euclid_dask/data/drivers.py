"""Drivers by access row: each made once and kept, and the best one whose marker is seen."""

import threading
from collections.abc import Callable, Iterable, Sequence

from euclid_dask.core.errors import InputError
from euclid_dask.data.markers import GuardedDriver
from euclid_dask.data.model import Access, ErrorClass, Storage
from euclid_dask.data.resolve import Use, priority, scheme_cost
from euclid_dask.data.storage import StorageDriver, StorageError

Opener = Callable[[Access], StorageDriver]
"""Makes a driver from an access row, or returns the one that was made."""


class Drivers:
    """An opener that makes each driver once; it may be called from any thread."""

    def __init__(self, open_driver: Opener) -> None:
        """Take what makes a driver."""
        self._open = open_driver
        self._made: dict[tuple[str, str, str], StorageDriver] = {}
        self._lock = threading.Lock()

    def __call__(self, access: Access) -> StorageDriver:
        """Return the driver of an access row.

        Raises:
            StorageError: POLICY when the row is wrong, or its credential is missing here.
        """
        key = (access.storage, access.zone, access.root)
        with self._lock:
            if key not in self._made:
                try:
                    self._made[key] = self._open(access)
                except InputError as error:  # a row that one host cannot use is not its end
                    raise StorageError(ErrorClass.POLICY, error.message, hint=error.hint) from error
            return self._made[key]

    def close(self) -> None:
        """Let go of connections."""
        with self._lock:
            for driver in self._made.values():
                driver.close()
            self._made.clear()


def seen(open_driver: Opener, storage: Storage, ways: Iterable[Access], use: Use) -> GuardedDriver:
    """Return the best driver by which a storage can be used, after seeing its marker.

    Raises:
        StorageError: POLICY when there is no way or no marker to be seen; else why the last way
            does not lead there.
    """
    if not storage.marker:
        raise StorageError(ErrorClass.POLICY, f"{storage.name} has no marker: it is not ours")
    last = StorageError(ErrorClass.POLICY, f"{storage.name}: no access to {use} here")
    for way in _best_first(ways, use):
        try:
            driver = GuardedDriver(open_driver(way), storage.marker)
            driver.check()
        except StorageError as error:
            last = error
        else:
            return driver
    raise last


def _best_first(ways: Iterable[Access], use: Use) -> Sequence[Access]:
    return sorted(ways, key=lambda way: (priority(way, use), scheme_cost(way), way.root))
