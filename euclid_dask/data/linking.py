"""A second name instead of a copy, from a storage that does not last into one on the same disk.

So a run's outputs come into the archive without a byte being copied, and stay there when the run's
directory is cleaned. Between two storages that last it is not done: two names of one file are no
two copies.
"""

from pathlib import Path
from typing import Protocol, cast

from euclid_dask.data.local import sync_directory, sync_file
from euclid_dask.data.model import ErrorClass, Storage
from euclid_dask.data.resolve import Location
from euclid_dask.data.storage import MARKER, Part, StorageDriver, StorageError, same_time
from euclid_dask.data.storages.failures import failures_of


class LocalDriver(StorageDriver, Protocol):
    """A driver whose files have paths on this host."""

    def local_path(self, path: str) -> Path:
        """Return where `path` is on this host."""

    def link(self, source: Path, path: str) -> Path:
        """Give a file of this host a second name in this storage; never replace.

        Returns:
            Its final path, whose directory is to be synced.
        """


class LocalPart(Part, Protocol):
    """A part whose name can be given before it is made durable, as to many at once."""

    def name(self) -> None:
        """Give it its final name; `publish`, which is called in any case, makes that durable."""


def as_local(driver: StorageDriver) -> LocalDriver | None:
    """Return the driver as one of local files, or None if it is not."""
    return cast(LocalDriver, driver) if driver.capabilities.local else None


class LinkedPart:
    """A file that is whole elsewhere; it is published as a part is."""

    def __init__(self, driver: LocalDriver, source: Path, path: str) -> None:
        self._driver = driver
        self._source = source
        self._path = path
        self._final: Path | None = None

    def write(self, data: bytes | memoryview, /) -> None:
        """Refuse: its content is there."""
        raise StorageError(ErrorClass.POLICY, f"{self._path}: a link is not written")

    def sync(self) -> None:
        """Write what its task wrote to the disk."""
        with failures_of(str(self._source)):
            sync_file(self._source)

    def name(self) -> None:
        """Give it its name in the storage."""
        self._named()

    def publish(self) -> None:
        """Give it its name in the storage if it has not, and write that to the disk."""
        final = self._named()
        with failures_of(str(final)):
            sync_directory(final.parent)

    def _named(self) -> Path:
        if self._final is None:
            self._final = self._driver.link(self._source, self._path)
        return self._final

    def abandon(self) -> None:
        """Leave the source where it is."""


def linkable(
    target: StorageDriver, path: str, source: StorageDriver, place: Location, storage: Storage
) -> LinkedPart | None:
    """Return the part that a link is, or None where a copy is needed.

    A link is possible to a file that nobody can write, on the same file system, that has not been
    changed since it was verified.
    """
    here, there = as_local(target), as_local(source)
    if here is None or there is None or storage.durable or place.mtime_ns is None:
        return None
    real = there.local_path(place.path)
    try:
        status = real.stat(follow_symlinks=False)
        same_disk = status.st_dev == here.local_path(MARKER).parent.stat().st_dev
    except OSError:
        return None
    unchanged = same_time(status.st_mtime_ns, place.mtime_ns)
    if not unchanged or status.st_mode & 0o222 or not same_disk:
        return None
    return LinkedPart(here, real, path)
