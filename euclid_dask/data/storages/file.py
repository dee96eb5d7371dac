"""Files below a directory of this host: `file:///root`."""

import os
import stat as kinds
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Final

from euclid_dask.data.local import begin_sync, publish, sync_directory
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import (
    MARKER,
    Capabilities,
    Reader,
    Stat,
    StorageError,
    checked_path,
    part_path,
)
from euclid_dask.data.storages.failures import failure, failures_of
from euclid_dask.data.storages.reading import SizedReader

REPLICA_MODE: Final = 0o444
"""Replicas are read only: a program that opens its input to write is told so."""
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Not through a link, and not waiting for the other end of a FIFO."""
BEHIND_BYTES: Final = 16 << 20
"""After so many bytes of a part the disk begins to write them, while more of them come."""
CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileDriver:
    """Reads and writes files below `root`, an absolute path.

    The root itself is never made: where it is missing, its disk is away. A path that leaves the
    root through a symbolic link is refused. Inside, paths are texts: to make a `Path` of each takes
    longer than to look for it.
    """

    capabilities = Capabilities(local=True)

    def __init__(self, root: Path) -> None:
        self._root = root

    def local_path(self, path: str) -> Path:
        """Return where `path` is on this host.

        Raises:
            StorageError: AWAY when there is no root; POLICY when a link leads out of it.
        """
        return Path(self._place(path))

    def _place(self, path: str) -> str:
        place = os.path.join(self._root, checked_path(path))  # noqa: PTH118
        with failures_of(str(self._root)):
            is_there = self._root.is_dir()
        if not is_there:
            raise StorageError(
                ErrorClass.AWAY, f"{self._root}: no such directory", hint="is its disk mounted?"
            )
        if self._has_links(path):
            root = os.path.realpath(self._root)
            real = os.path.realpath(os.path.dirname(place))  # noqa: PTH120
            if os.path.commonpath([real, root]) != root:
                raise StorageError(ErrorClass.POLICY, f"{place}: a link leads out of {self._root}")
        return place

    def _has_links(self, path: str) -> bool:
        """Tell whether one of the directories below the root is a link."""
        place = str(self._root)
        for step in path.split("/")[:-1]:
            place = f"{place}/{step}"
            if os.path.islink(place):  # noqa: PTH114
                return True
        return False

    def stat(self, path: str) -> Stat | None:
        """Return size and time of the regular file at `path`, or None when there is none."""
        place = self._place(path)
        try:
            found = os.stat(place, follow_symlinks=False)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise failure(error, place) from error
        return _stat(found) if kinds.S_ISREG(found.st_mode) else None

    @contextmanager
    def open_read(self, path: str, start: int = 0) -> Iterator[Reader]:
        """Open a file to be read from byte `start`."""
        place = self._place(path)
        with failures_of(place):
            fd = os.open(place, READ)
        try:
            before = os.fstat(fd)
            if not kinds.S_ISREG(before.st_mode):
                raise StorageError(ErrorClass.POLICY, f"{place}: not a regular file")
            os.lseek(fd, start, os.SEEK_SET)
            yield SizedReader(
                partial(_read, fd, place),
                before.st_size,
                start,
                place,
                partial(_refuse_change, fd, place, before),
            )
        finally:
            os.close(fd)

    def open_part(self, path: str, part: str, size: int | None = None) -> "FilePart":
        """Make a new part file for `path`, and the directories above it."""
        return FilePart(self._place(part_path(path, part)), self._directory(path))

    def _directory(self, path: str) -> str:
        """Return the final path after making its directory, durably."""
        final = self._place(path)
        directory = os.path.dirname(final)  # noqa: PTH120
        if not os.path.isdir(directory):  # noqa: PTH112
            with failures_of(directory):
                missing = list(takewhile(lambda place: not place.exists(), Path(final).parents))
                for place in reversed(missing):
                    place.mkdir(exist_ok=True)
                    sync_directory(place.parent)
        return final

    def link(self, source: Path, path: str) -> Path:
        """Give a file of this host, which is read only, a second name in this storage.

        Returns:
            Its final path, whose directory is to be synced.

        Raises:
            StorageError: EXISTS when the name is taken; POLICY when it is on another file system.
        """
        final = self._directory(path)
        with failures_of(final):
            os.link(source, final, follow_symlinks=False)
        return Path(final)

    def unlink(self, path: str) -> bool:
        """Remove a file; return whether it was there."""
        place = self.local_path(path)
        try:
            place.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise failure(error, str(place)) from error
        with failures_of(str(place)):
            sync_directory(place.parent)
        return True

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Stat]]:
        """Yield all regular files below a directory; links and special files are none."""
        top = self.local_path(f"{prefix}/{MARKER}" if prefix else MARKER).parent
        waiting = [top]
        while waiting:
            directory = waiting.pop()
            with failures_of(str(directory)):
                for entry, found in _entries(directory):
                    if kinds.S_ISDIR(found.st_mode):
                        waiting.append(Path(entry))
                    elif kinds.S_ISREG(found.st_mode):
                        yield Path(entry).relative_to(self._root).as_posix(), _stat(found)

    def close(self) -> None:
        """Do nothing: nothing is kept open."""


class FilePart:
    """A part file in the directory of its final name."""

    def __init__(self, part: str, final: str) -> None:
        self._part = part
        self._final = final
        with failures_of(part):
            self._fd = os.open(part, CREATE, REPLICA_MODE)
        self._behind = 0  # bytes that the disk has not begun to write
        self._is_open = True
        self._is_named = False

    def write(self, data: bytes | memoryview, /) -> None:
        """Append all of `data`."""
        rest = memoryview(data)
        with failures_of(self._part):
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self._behind += len(data)
        if self._behind >= BEHIND_BYTES:
            self._behind = 0
            begin_sync(self._fd)

    def sync(self) -> None:
        """Write it to the disk."""
        with failures_of(self._part):
            os.fsync(self._fd)
        self._close()

    def name(self) -> None:
        """Give it its final name."""
        if not self._is_named:
            with failures_of(self._final):
                publish(self._part, self._final)
            self._is_named = True

    def publish(self) -> None:
        """Give it its final name if it has not, and write that to the disk."""
        self.name()
        with failures_of(self._final):
            sync_directory(os.path.dirname(self._final))  # noqa: PTH120

    def abandon(self) -> None:
        """Remove it, unless it has its final name."""
        self._close()
        if not self._is_named:
            with suppress(OSError):
                os.unlink(self._part)  # noqa: PTH108

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            with suppress(OSError):
                os.close(self._fd)


def _entries(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in a directory; what goes away meanwhile, as parts do, is left out."""
    try:
        entries = os.scandir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                yield entry.path, entry.stat(follow_symlinks=False)


def _read(fd: int, place: str, n: int) -> bytes:
    with failures_of(place):
        return os.read(fd, n)


def _refuse_change(fd: int, place: str, before: os.stat_result) -> None:
    with failures_of(place):
        after = os.fstat(fd)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise StorageError(ErrorClass.CONTENT, f"{place}: changed while it was read")


def _stat(found: os.stat_result) -> Stat:
    return Stat(size=found.st_size, mtime_ns=found.st_mtime_ns)
