"""Drivers by access row, each made once and kept."""

import threading
from collections.abc import Callable

from euclid_dask.data.model import Access
from euclid_dask.data.storage import StorageDriver

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
        """Return the driver of an access row."""
        key = (access.storage, access.zone, access.root)
        with self._lock:
            if key not in self._made:
                self._made[key] = self._open(access)
            return self._made[key]

    def close(self) -> None:
        """Let go of connections."""
        with self._lock:
            for driver in self._made.values():
                driver.close()
            self._made.clear()
