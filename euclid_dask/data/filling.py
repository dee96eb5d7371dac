"""Part files of a retrieval: one process fills one at a time, and goes on where another was cut."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from euclid_dask.data.archive.dss import DssDriver
from euclid_dask.data.archive.session import PASSING
from euclid_dask.data.hashing import Hasher, hash_chunks, mismatch, wanted
from euclid_dask.data.model import ErrorClass, File
from euclid_dask.data.storage import BLOCK_BYTES, StorageError, part_path

PART: Final = "get"


class Filling:
    """A part file, and the checksums of what is in it so far.

    Args:
        part: The file; what is in it is hashed.
        store: Where the rest comes from.
        file: What it is to be in the end.
        between: Called after each block; what it raises ends the filling.
    """

    def __init__(
        self, part: BinaryIO, store: DssDriver, file: File, between: Callable[[], None]
    ) -> None:
        self._part = part
        self._between = between
        self._store = store
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
                if error.kind not in PASSING or self.size - before < BLOCK_BYTES:
                    raise

    def _bring(self) -> None:
        with self._store.open_read(self._file.name, self.size) as reader:
            while self.size <= self._file.size and (data := reader.read(BLOCK_BYTES)):
                self._part.write(data)
                self._hasher.update(data)
                self.brought += len(data)
                self._between()
        if self.size < self._file.size:  # a server that tells no length can end at any byte
            raise StorageError(
                ErrorClass.NETWORK,
                f"{self._store.url(self._file.name)}: ended after {self.size} of "
                f"{self._file.size} bytes",
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
