"""Journals: one JSON line an event, the only truth about a run, or about the pilots of a site.

Rule 1: what is in the journal happened; what is not, did not. Rule 2: a line is whole or it is
cut off: only the last one can be torn, by a crash in mid-write. Rule 3: `sync` returns when all
lines are on disk; effects are carried out after it.
"""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TypeVar

from euclid_dask.core.errors import JournalError
from euclid_dask.core.events import JOURNAL_VERSION, FleetOpened, PilotEvent, RunEvent, RunStarted
from euclid_dask.core.values import Event, json_reader, to_json

T = TypeVar("T")

_read_event: Callable[[bytes], RunEvent] = json_reader(RunEvent)  # type: ignore[arg-type]
_read_pilot_event: Callable[[bytes], PilotEvent] = json_reader(PilotEvent)  # type: ignore[arg-type]


class Journal:
    """An open journal, at its end. Events are buffered until `sync`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._buffer: list[bytes] = []

    @classmethod
    def create(cls, path: Path, first: RunStarted) -> Self:
        """Begin a journal with its first event, which is on disk then: it appears by rename.

        Raises:
            FileExistsError: There is a journal.
            UnicodeEncodeError: A text in `first` is not UTF-8; there is no journal then.
        """
        line = to_json(first)
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        journal = cls(path, os.open(half, flags, 0o644))
        journal._buffer += (line, b"\n")
        try:
            journal.sync()
            half.rename(path)
        except OSError:
            journal.close()
            half.unlink()
            raise
        return journal

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Open a journal to go on with it; a torn last line is cut off."""
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        size = os.fstat(descriptor).st_size
        whole = _whole_length(descriptor, size)
        if whole < size:
            os.ftruncate(descriptor, whole)
        return cls(path, descriptor)

    def append(self, event: Event) -> None:
        """Add an event; it is on disk after the next `sync`."""
        self._buffer.append(to_json(event))
        self._buffer.append(b"\n")

    def sync(self) -> None:
        """Write what was appended and wait until it is on disk.

        Raises:
            OSError: The disk is full or gone. What was appended stays buffered, and what was
                written of it is taken back, so that `sync` may be called again.
        """
        if not self._buffer:
            return
        found = os.fstat(self._descriptor)
        if not found.st_nlink:
            raise FileNotFoundError(errno.ENOENT, "somebody removed the journal", str(self.path))
        try:
            rest = memoryview(b"".join(self._buffer))
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fdatasync(self._descriptor)
        except OSError as error:
            error.filename = str(self.path)
            os.ftruncate(self._descriptor, found.st_size)
            raise
        self._buffer.clear()

    def close(self) -> None:
        """Close the file; what was not synced is lost."""
        os.close(self._descriptor)


def read_journal(path: Path) -> Iterator[RunEvent]:
    """Yield the events of a run's journal; a torn last line is left out.

    Raises:
        JournalError: A line other than the last cannot be read, the first is not `RunStarted`,
            or the journal was written by a newer version.
    """
    for number, event in enumerate(_events(path, _read_event)):
        if number == 0:
            _check_header(path, event)
        yield event


def read_pilots(path: Path) -> Iterator[PilotEvent]:
    """Yield the events of the journal of pilots; a torn last line is left out.

    Raises:
        JournalError: A line other than the last cannot be read, or was written by a newer version.
    """
    for event in _events(path, _read_pilot_event):
        if isinstance(event, FleetOpened):
            _check_version(path, event)
        yield event


def _events(path: Path, read: Callable[[bytes], T]) -> Iterator[T]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                event = read(line)
            except ValueError as error:
                raise JournalError(
                    f"{path}:{number}: not an event: {error}",
                    hint="the journal was damaged or written by a newer version; "
                    "start a new run in this workdir: work finished before that line is not lost",
                ) from error
            yield event


def _check_header(path: Path, event: RunEvent) -> None:
    if not isinstance(event, RunStarted):
        raise JournalError(f"{path}:1: a journal begins with RunStarted")
    _check_version(path, event)


def _check_version(path: Path, event: RunStarted | FleetOpened) -> None:
    if event.journal_version > JOURNAL_VERSION:
        raise JournalError(
            f"{path}: journal of version {event.journal_version}; "
            f"this software reads up to version {JOURNAL_VERSION}",
            hint="use the version of euclid_dask that wrote it",
        )


def _whole_length(descriptor: int, size: int) -> int:
    """Return the length of the file up to its last newline."""
    block = 1 << 16
    end = size
    while end > 0:
        start = max(0, end - block)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
