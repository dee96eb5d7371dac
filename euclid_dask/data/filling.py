"""Brings one file into a folder of this host, from the first of its origins that has it right.

Rule 1: a file has its name only when all of it is there and compared with all that is known of it.
Rule 2: what was cut off goes on where it was cut, also from another origin: the part file stays,
and is hashed again.
Rule 3: of many that want one file, in all processes, one brings it; the others wait for that one.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.hashing import Hasher, hash_chunks, mismatch, wanted
from euclid_dask.data.local import publish, sync_directory
from euclid_dask.data.model import ErrorClass, File
from euclid_dask.data.storage import BLOCK_BYTES, Reader, StorageError, part_path

PART: Final = "get"
READ_ONLY: Final = 0o444
_LINE: Final = frozenset({ErrorClass.BUSY, ErrorClass.NETWORK, ErrorClass.TIMEOUT})
"""Failures of a line, after which one goes on where it was cut."""


class How(StrEnum):
    """How a file came to be here."""

    KEPT = "kept"
    """It was here, and is the same."""
    RESUMED = "resumed"
    """It went on where an earlier try was cut."""
    COPIED = "copied"
    """All of it was brought."""


class Fetched(Value, frozen=True, kw_only=True):
    """A file that is here now."""

    name: str
    how: How
    size: int
    """Bytes."""
    brought: int
    """Bytes that came over the line."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a file can be read."""

    url: str
    open_at: Callable[[int], AbstractContextManager[Reader]]
    """Opens it to be read from this byte on."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What goes on while bytes come.

    Attributes:
        between: Called with the bytes of each block that came; what it raises ends it.
        patiently: Calls what brings bytes; it may call it again after failures that pass.
        failed: Called with the failure of each origin: another may do.
    """

    between: Callable[[int], None] = lambda _: None
    patiently: Callable[[Callable[[], None]], None] = lambda call: call()
    failed: Callable[[StorageError], None] = lambda _: None


def bring(final: Path, file: File, origins: Sequence[Origin], line: Line) -> Fetched:
    """Bring a file to the path `final`, in a folder that is there.

    Raises:
        InputError: Other content is there.
        StorageError: No origin has it as it should be.
    """
    with only_one(final) as part:
        if final.exists():
            _refuse_other_content(final, file)
            return Fetched(name=file.name, how=How.KEPT, size=file.size, brought=0)
        fetched = _brought(part, file, origins, line)
        os.fsync(part.fileno())
        publish(Path(part.name), final)
        os.fchmod(part.fileno(), READ_ONLY)
        sync_directory(final.parent)
    return fetched


def _brought(part: BinaryIO, file: File, origins: Sequence[Origin], line: Line) -> Fetched:
    """Fill a part file from the first origin that has the right content."""
    first: StorageError | None = None
    for origin in origins:
        try:
            return _filled(part, file, origin, line)
        except StorageError as error:
            line.failed(error)
            first = first or error
    raise first or StorageError(ErrorClass.MISSING, f"{file.name} can be read nowhere")


def _filled(part: BinaryIO, file: File, origin: Origin, line: Line) -> Fetched:
    """Fill a part file from one origin; what was there and proves wrong is brought anew."""
    filling = Filling(part, origin, file, line.between)
    how = How.RESUMED if filling.size else How.COPIED
    line.patiently(filling.go_on)
    if filling.problem() and how is How.RESUMED:
        how = How.COPIED
        filling.empty()
        line.patiently(filling.go_on)
    if problem := filling.problem():
        filling.empty()
        raise StorageError(ErrorClass.CONTENT, f"{origin.url}: {problem}")
    part.flush()
    return Fetched(name=file.name, how=how, size=file.size, brought=filling.brought)


class Filling:
    """A part file, and the checksums of what is in it so far.

    Args:
        part: The file; what is in it is hashed.
        origin: Where the rest comes from.
        file: What it is to be in the end.
        between: Called with the bytes of each block; what it raises ends the filling.
    """

    def __init__(
        self, part: BinaryIO, origin: Origin, file: File, between: Callable[[int], None]
    ) -> None:
        self._part = part
        self._between = between
        self._origin = origin
        self._file = file
        self.brought = 0
        part.seek(0)
        there = os.fstat(part.fileno()).st_size
        if there <= file.size:
            self._hasher = hash_chunks(chunks_of(part), wanted(file))
        else:
            self.empty()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self._hasher.size

    def empty(self) -> None:
        """Begin anew."""
        self._part.seek(0)
        self._part.truncate()
        self._hasher = Hasher(wanted(self._file))

    def problem(self) -> str:
        """Return in what the content is not that of the file, "" if it is."""
        return mismatch(self._file, self.size, self._hasher.checksums())

    def go_on(self) -> None:
        """Bring what is missing; go on after a cut as long as each brings a good deal further."""
        while self.size < self._file.size:
            before = self.size
            try:
                self._bring()
            except StorageError as error:
                if error.kind not in _LINE or self.size - before < BLOCK_BYTES:
                    raise
                self._between(0)  # who is to end does not go on

    def _bring(self) -> None:
        with self._origin.open_at(self.size) as reader:
            while self.size <= self._file.size and (data := reader.read(BLOCK_BYTES)):
                self._part.write(data)
                self._hasher.update(data)
                self.brought += len(data)
                self._between(len(data))
        if self.size < self._file.size:  # a server that tells no length can end at any byte
            raise StorageError(
                ErrorClass.NETWORK,
                f"{self._origin.url}: ended after {self.size} of {self._file.size} bytes",
            )


@contextmanager
def only_one(final: Path) -> Iterator[BinaryIO]:
    """Give the part file of `final` to one at a time, in all processes; it stays if unfinished."""
    path = final.with_name(part_path(final.name, PART))
    part = _locked(path)
    is_done = False
    try:
        yield part
        is_done = True
    finally:
        part.flush()
        if is_done or not os.fstat(part.fileno()).st_size:
            path.unlink(missing_ok=True)
        part.close()


def _locked(path: Path) -> BinaryIO:
    while True:
        part = path.open("a+b")
        fcntl.flock(part, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(part.fileno()), path.stat()):
                return part
        except FileNotFoundError:  # who had the lock has finished
            pass
        part.close()


def chunks_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of a file."""
    while chunk := file.read(BLOCK_BYTES):
        yield chunk


def _refuse_other_content(place: Path, file: File) -> None:
    with place.open("rb") as opened:
        hasher = hash_chunks(chunks_of(opened), wanted(file))
    if problem := mismatch(file, hasher.size, hasher.checksums()):
        raise InputError(
            f"{place} is here with other content: {problem}",
            hint="remove it, or retrieve into another directory",
        )
