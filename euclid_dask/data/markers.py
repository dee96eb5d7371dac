"""The marker in a storage's root: proof that its disk is there, and that it is the right one.

Without it a disk that is not mounted looks like a storage that lost all its files, and a copy to
it fills the directory under the mount.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from secrets import token_hex
from typing import Final

from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import (
    MARKER,
    Capabilities,
    Part,
    Reader,
    Stat,
    StorageDriver,
    StorageError,
)

MARKER_BYTES: Final = 4096
"""More than a marker has."""


def write_marker(driver: StorageDriver, marker: str) -> None:
    """Mark a storage as ours; nothing when it is so marked already.

    Raises:
        StorageError: POLICY when it is marked as another.
    """
    part = driver.open_part(MARKER, f"0-{token_hex(4)}", len(marker.encode()) + 1)
    try:
        part.write(f"{marker}\n".encode())
        part.sync()
        part.publish()
    except StorageError as error:
        if error.kind is not ErrorClass.EXISTS:
            raise
    finally:
        part.abandon()
    found = marker_of(driver)
    if found != marker:
        raise StorageError(
            ErrorClass.POLICY,
            f"the storage is marked as {found!r} already, not {marker!r}",
            hint=f"is the root right? if it is, remove {MARKER} from it",
        )


def marker_of(driver: StorageDriver) -> str | None:
    """Return what a storage is marked as, or None when it is not marked."""
    try:
        with driver.open_read(MARKER) as reader:
            found = b"".join(iter(lambda: reader.read(MARKER_BYTES), b""))
    except StorageError as error:
        if error.kind is ErrorClass.MISSING:
            return None
        raise
    return found[:MARKER_BYTES].decode(errors="replace").strip()


def check_marker(driver: StorageDriver, marker: str) -> None:
    """Return when the storage is the one that is marked so.

    Raises:
        StorageError: AWAY when there is no marker, or another's; nothing is known of its files.
    """
    found = marker_of(driver)
    if found is None:
        raise StorageError(
            ErrorClass.AWAY,
            f"the storage has no marker {MARKER}, which should say {marker!r}",
            hint="is its disk mounted?",
        )
    if found != marker:
        raise StorageError(
            ErrorClass.AWAY,
            f"the storage is marked as {found!r}, not {marker!r}",
            hint="is the right disk mounted there?",
        )


class GuardedDriver:
    """A driver that believes a missing file, and writes or removes one, only by the marker.

    Attributes:
        driver: The driver that does it.
    """

    def __init__(self, driver: StorageDriver, marker: str) -> None:
        self.driver = driver
        self._marker = marker

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self.driver.capabilities

    def check(self) -> None:
        """Raise AWAY unless the marker is there."""
        check_marker(self.driver, self._marker)

    def stat(self, path: str) -> Stat | None:
        """Return size and time of a file, or None when there is surely none."""
        found = self.driver.stat(path)
        if found is None:
            self.check()
        return found

    @contextmanager
    def open_read(self, path: str, start: int = 0) -> Iterator[Reader]:
        """Open a file to be read; its content needs no marker to be checked."""
        with ExitStack() as stack:
            try:
                reader = stack.enter_context(self.driver.open_read(path, start))
            except StorageError as error:
                if error.kind is ErrorClass.MISSING:
                    self.check()
                raise
            yield reader

    def open_part(self, path: str, part: str, size: int | None = None) -> Part:
        """Make a new part file."""
        self.check()
        return self.driver.open_part(path, part, size)

    def unlink(self, path: str) -> bool:
        """Remove a file; return whether it was there."""
        self.check()
        return self.driver.unlink(path)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Stat]]:
        """Yield all files below a directory; the marker is there before the first and at the end.

        Raises:
            StorageError: AWAY also after the last file: then some may not have been seen.
        """
        self.check()
        yield from self.driver.walk(prefix)
        self.check()

    def close(self) -> None:
        """Close the driver."""
        self.driver.close()
