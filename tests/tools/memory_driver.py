"""A storage in this process's memory."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import (
    Capabilities,
    Reader,
    Stat,
    StorageError,
    checked_path,
    part_path,
)
from euclid_dask.data.storages.reading import SizedReader


class MemoryDriver:
    """Keeps files in a mapping, which may be shared with another driver of the same storage."""

    capabilities = Capabilities(syncs=False)

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files: dict[str, bytes] = {} if files is None else files
        self._lock = threading.Lock()

    def stat(self, path: str) -> Stat | None:
        """Return the size of the file at `path`, or None when there is none."""
        content = self.files.get(checked_path(path))
        return None if content is None else Stat(size=len(content))

    @contextmanager
    def open_read(self, path: str, start: int = 0) -> Iterator[Reader]:
        """Open a file to be read from byte `start`."""
        content = self.files.get(checked_path(path))
        if content is None:
            raise StorageError(ErrorClass.MISSING, f"{path}: no such file")
        stream = BytesIO(content)
        stream.seek(start)
        yield SizedReader(stream.read, len(content), start, path)

    def open_part(self, path: str, part: str, size: int | None = None) -> "MemoryPart":
        """Make a new part file for `path`."""
        name = part_path(path, part)
        self.add(name, b"")
        return MemoryPart(self, name, path)

    def unlink(self, path: str) -> bool:
        """Remove a file; return whether it was there."""
        return self.files.pop(checked_path(path), None) is not None

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Stat]]:
        """Yield all files below a directory."""
        below = f"{checked_path(prefix)}/" if prefix else ""
        for path, content in list(self.files.items()):
            if path.startswith(below):
                yield path, Stat(size=len(content))

    def close(self) -> None:
        """Do nothing: nothing is kept open."""

    def add(self, path: str, content: bytes) -> None:
        """Add a file unless there is one of that name."""
        with self._lock:
            if path in self.files:
                raise StorageError(ErrorClass.EXISTS, f"{path}: is there already")
            self.files[path] = content


class MemoryPart:
    """A part file in memory."""

    def __init__(self, driver: MemoryDriver, name: str, final: str) -> None:
        self._driver = driver
        self._name = name
        self._final = final
        self._content = bytearray()

    def write(self, data: bytes | memoryview, /) -> None:
        """Append all of `data`."""
        self._content += data

    def sync(self) -> None:
        """Show what was written."""
        self._driver.files[self._name] = bytes(self._content)

    def publish(self) -> None:
        """Give it its final name."""
        self._driver.add(self._final, bytes(self._content))
        self._driver.unlink(self._name)

    def abandon(self) -> None:
        """Remove it, unless it was published."""
        self._driver.unlink(self._name)
