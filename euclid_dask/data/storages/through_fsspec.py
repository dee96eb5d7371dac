"""Files of any file system that fsspec knows, to be read only: `fsspec+gcs://bucket/data`.

Nothing is written: what fsspec calls writing goes to the final name, and replaces what is there.
How long it waits, and how often it tries again, is each file system's own matter.
Source: fsspec, API reference of `AbstractFileSystem`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import fsspec

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import Capabilities, Part, Reader, Stat, StorageError, checked_path
from euclid_dask.data.storages.failures import failures_of
from euclid_dask.data.storages.reading import SizedReader

_TIMES: Final = ("mtime", "last_modified", "LastModified", "modified", "updated")
"""What file systems call the time of the last change."""


def open_fsspec(protocol: str, root: str, options: Mapping[str, str]) -> "FsspecDriver":
    """Return the driver of a directory in a file system.

    Args:
        protocol: As fsspec has it: `gcs`, `abfs`, `hdfs`, `root`, `github`, ...
        root: What is after `://`.
        options: What its file system is made with.

    Raises:
        InputError: fsspec knows no such protocol, it is not installed, or has no such option.
    """
    try:
        system = fsspec.filesystem(
            protocol, skip_instance_cache=True, use_listings_cache=False, **options
        )
    except (ImportError, ValueError, TypeError) as error:
        raise InputError(
            f"fsspec+{protocol}: {error}", hint="is the package for this protocol installed?"
        ) from error
    return FsspecDriver(system, protocol, root)


class FsspecDriver:
    """Reads files below a root; `system` is a file system of fsspec."""

    capabilities = Capabilities(writes=False)

    def __init__(self, system: Any, protocol: str, root: str) -> None:
        self._system = system
        self._where = f"fsspec+{protocol}://{root}".rstrip("/")
        self._root = str(system._strip_protocol(f"{protocol}://{root}")).rstrip("/")  # noqa: SLF001

    def stat(self, path: str) -> Stat | None:
        """Return size and time of a file, or None when there is none."""
        where, place = self._places(path)
        info = self._info(where, place)
        return _stat(info, where) if info and info["type"] == "file" else None

    @contextmanager
    def open_read(self, path: str, start: int = 0) -> Iterator[Reader]:
        """Open a file to be read from byte `start`."""
        where, place = self._places(path)
        before = self.stat(path)
        if before is None:
            raise StorageError(ErrorClass.MISSING, f"{where}: no such file")
        with _failures(where):
            file = self._system.open(place, "rb")
        try:
            with _failures(where):
                file.seek(start)

            def read(n: int) -> bytes:
                with _failures(where):
                    return bytes(file.read(n))

            def refuse_change() -> None:
                if self.stat(path) != before:
                    raise StorageError(ErrorClass.CONTENT, f"{where}: changed while it was read")

            yield SizedReader(read, before.size, start, where, refuse_change)
        finally:
            file.close()

    def open_part(self, path: str, part: str, size: int | None = None) -> Part:
        """Refuse to write."""
        checked_path(path)
        raise self._readonly()

    def unlink(self, path: str) -> bool:
        """Refuse to remove."""
        checked_path(path)
        raise self._readonly()

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Stat]]:
        """Yield all files below a directory."""
        where, place = self._places(prefix) if prefix else (self._where, self._root)
        if self._info(where, place) is None:
            return
        with _failures(where):  # also when a directory goes meanwhile: then not all was seen
            for _, _, files in self._system.walk(place, detail=True, on_error="raise"):
                for info in files.values():
                    name = str(info["name"])
                    yield name[len(self._root) :].lstrip("/"), _stat(info, where)

    def close(self) -> None:
        """Do nothing: connections are the file system's."""

    def _info(self, where: str, place: str) -> Mapping[str, Any] | None:
        """Return what the file system tells of a file or directory, None if there is none."""
        try:
            with _failures(where):
                info: Mapping[str, Any] = self._system.info(place)
        except StorageError as error:
            if error.kind is ErrorClass.MISSING:
                return None
            raise
        return info

    def _places(self, path: str) -> tuple[str, str]:
        """Return how a file is told of, and where the file system has it."""
        return f"{self._where}/{checked_path(path)}", f"{self._root}/{path}"

    def _readonly(self) -> StorageError:
        return StorageError(ErrorClass.POLICY, f"{self._where}: fsspec reads only")


@contextmanager
def _failures(where: str) -> Iterator[None]:
    """Raise what a file system raises as StorageError; each has exceptions of its own."""
    try:
        with failures_of(where):
            yield
    except StorageError as error:
        cause = error.__cause__
        kind = next((kind for of, kind in _KINDS.items() if isinstance(cause, of)), error.kind)
        raise StorageError(kind, error.message) from cause
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise StorageError(ErrorClass.NETWORK, f"{where}: {told}") from error


_KINDS: Final[Mapping[type[Exception], ErrorClass]] = {
    FileNotFoundError: ErrorClass.MISSING,
    NotADirectoryError: ErrorClass.MISSING,
    PermissionError: ErrorClass.AUTH,
}
"""Exceptions that mostly come without a number."""


def _stat(info: Mapping[str, Any], where: str) -> Stat:
    if info.get("size") is None:
        raise StorageError(ErrorClass.POLICY, f"{where}: its size is not told")
    told = next((info[name] for name in _TIMES if info.get(name)), None)
    if isinstance(told, datetime):
        told = told.timestamp()
    seconds = told if isinstance(told, int | float) else None
    return Stat(size=int(info["size"]), mtime_ns=None if seconds is None else int(seconds) * 10**9)
