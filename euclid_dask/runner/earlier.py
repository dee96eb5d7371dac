"""Earlier runs of a workdir, and the work they finished: read from an index beside each journal.

Rule 1: the journal is the truth. An index says how long its journal was when it was written; one
that does not fit, or is not there, is made again from the journal. Rule 2: an index is of a run
of which nothing goes on. Rule 3: it is read when work is asked for, that of the latest run first.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Final

import msgspec

from euclid_dask.core.attempts import Fingerprint
from euclid_dask.core.events import RunOptions
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.core.values import Value, json_reader, to_json
from euclid_dask.planner.run import Run
from euclid_dask.runner.history import readable, replay
from euclid_dask.runner.workspace import RunFiles, Workspace

EARLIER_RUNS: Final = 20
"""How many earlier runs of a workdir are looked at for finished work."""
_VERSION: Final = 1


class _Head(Value, frozen=True, kw_only=True):
    """The first line of an index; the second maps identities to tasks and their outputs."""

    version: int
    journal_bytes: int


class Work(Value, frozen=True, kw_only=True):
    """Work that an earlier run finished: which run, and what it made."""

    run: RunId
    outputs: dict[str, Fingerprint]


_Entries = Mapping[str, tuple[TaskId, msgspec.Raw]]
_read_head = json_reader(_Head)
_read_entries = json_reader(dict[str, tuple[TaskId, msgspec.Raw]])
_read_outputs = json_reader(dict[str, Fingerprint])


class EarlierRun:
    """A run of the workdir, as far as somebody asks for it."""

    def __init__(self, files: RunFiles) -> None:
        self.id = RunId(files.folder.name)
        self._files = files
        self._entries: _Entries | None = None
        self._tasks: frozenset[TaskId] | None = None
        self._run: Run | None = None

    @property
    def is_indexed(self) -> bool:
        """Tell whether there is an index that fits the journal, so that nothing of it goes on."""
        try:
            with self._files.index.open("rb") as file:
                head = _read_head(file.readline())
            size = self._files.journal.stat().st_size
        except (OSError, ValueError):
            return False
        return (head.version, head.journal_bytes) == (_VERSION, size)

    def replayed(self) -> Run:
        """Return the whole run.

        Raises:
            JournalError: Its journal cannot be read.
        """
        if self._run is None:
            self._run = replay(self._files.journal)
        return self._run

    def entries(self) -> _Entries:
        """Return its finished tasks with their outputs, by identity, as far as it can be read."""
        if self._entries is None:
            self._entries = self._read()
        return self._entries

    def has_finished(self, task: TaskId) -> bool:
        """Tell whether a task was finished by running."""
        if self._tasks is None:
            self._tasks = frozenset(task_id for task_id, _ in self.entries().values())
        return task in self._tasks

    def _read(self) -> _Entries:
        if self.is_indexed:
            with suppress(OSError, ValueError), self._files.index.open("rb") as file:
                file.readline()
                return _read_entries(file.read())
        try:
            run, _ = readable(self._files.journal) if self._run is None else (self._run, True)
        except OSError:
            return {}
        return {} if run is None else _read_entries(_entries_of(run))


class Known(AbstractSet[str]):
    """The identities of work of earlier runs, oldest first, that a run with `options` may use."""

    def __init__(
        self, earlier: Sequence[EarlierRun] = (), options: RunOptions | None = None
    ) -> None:
        options = options or RunOptions()
        self._unread = [] if options.fresh else list(earlier)
        self._read: list[tuple[RunId, _Entries]] = []
        self._without = frozenset(options.again)
        self._beginnings = tuple(name for name in options.again if name.endswith("."))
        self._forgotten: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._unread or self._read)

    def __contains__(self, identity: object) -> bool:
        return isinstance(identity, str) and self._find(identity) is not None

    def __iter__(self) -> Iterator[str]:
        self._find("")
        return iter({key for _, entries in self._read for key in entries if key in self})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def work(self, identity: str) -> Work:
        """Return the latest work of that identity.

        Raises:
            KeyError: It is not known.
        """
        found = self._find(identity)
        if found is None:
            raise KeyError(identity)
        run, outputs = found
        return Work(run=run, outputs=_read_outputs(bytes(outputs)))

    def forget(self, identity: str) -> None:
        """Use work of that identity no more."""
        self._forgotten.add(identity)

    def _find(self, identity: str) -> tuple[RunId, msgspec.Raw] | None:
        for run, entries in self._layers():
            if identity in entries:
                task, outputs = entries[identity]
                asked_again = task in self._without or task.startswith(self._beginnings)
                return None if asked_again or identity in self._forgotten else (run, outputs)
        return None

    def _layers(self) -> Iterator[tuple[RunId, _Entries]]:
        """Yield the work of each run, the latest first."""
        yield from self._read
        while self._unread:
            earlier = self._unread.pop()
            self._read.append((earlier.id, earlier.entries()))
            yield self._read[-1]


def earlier_runs(workspace: Workspace) -> list[EarlierRun]:
    """Return the latest runs of a workdir, oldest first."""
    return [EarlierRun(workspace.files(run)) for run in workspace.runs()[-EARLIER_RUNS:]]


def write_index(files: RunFiles, run: Run) -> None:
    """Write the index of a run of which nothing goes on and all is in its journal.

    Without room on the disk there is none.
    """
    half = files.index.with_name(f".{files.index.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        head = _Head(version=_VERSION, journal_bytes=files.journal.stat().st_size)
        try:
            half.write_bytes(to_json(head) + b"\n" + _entries_of(run))
            half.replace(files.index)
        finally:
            half.unlink(missing_ok=True)


def _entries_of(run: Run) -> bytes:
    return to_json(
        {
            task.identity: (task.id, task.outputs)
            for task in run.tasks.values()
            if task.is_finished and task.identity and task.outputs is not None
        }
    )
