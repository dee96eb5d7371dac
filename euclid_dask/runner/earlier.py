"""Earlier runs of a workdir, and the work they finished: read from an index beside each journal.

Rule 1: the journal is the truth. An index says how long its journal was when it was written; one
that does not fit, or is not there, is made again from the journal. Rule 2: an index is of a run
of which nothing goes on. Rule 3: it is read when work is asked for, that of the latest run first.
Rule 4: what a run was to make again is not taken from the runs before it, even if it did not end.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

_VERSION: Final = 2


class _Head(Value, frozen=True, kw_only=True):
    """The first line of an index; the second maps identities to tasks and their outputs.

    `fresh` and `again` are those of the options of the run.
    """

    version: int
    journal_bytes: int
    fresh: bool = False
    again: tuple[str, ...] = ()


class Work(Value, frozen=True, kw_only=True):
    """Work that an earlier run finished: which run, and what it made."""

    run: RunId
    outputs: dict[str, Fingerprint]


_Entries = Mapping[str, tuple[TaskId, msgspec.Raw]]
_read_head = json_reader(_Head)
_read_entries = json_reader(dict[str, tuple[TaskId, msgspec.Raw]])
_read_outputs = json_reader(dict[str, Fingerprint])


class Asked:
    """What runs were to do whatever had been done: all, or `again` as in the options of a run."""

    def __init__(self, *, fresh: bool = False, again: Iterable[str] = ()) -> None:
        self.fresh = fresh
        self.again = frozenset(again)
        self._beginnings = tuple(name for name in self.again if name.endswith("."))

    def __contains__(self, task: object) -> bool:
        return self.fresh or task in self.again or str(task).startswith(self._beginnings)


class EarlierRun:
    """A run of the workdir, as far as somebody asks for it."""

    def __init__(self, files: RunFiles) -> None:
        self.id = RunId(files.folder.name)
        self.asked = Asked()
        self._files = files
        self._tasks: frozenset[TaskId] | None = None
        self._run: Run | None = None

    @property
    def is_indexed(self) -> bool:
        """Tell whether there is an index that fits the journal, so that nothing of it goes on."""
        try:
            with self._files.index.open("rb") as file:
                return self._fits(_read_head(file.readline()))
        except (OSError, ValueError):
            return False

    def replayed(self) -> Run:
        """Return the whole run.

        Raises:
            JournalError: Its journal cannot be read.
        """
        if self._run is None:
            self._run = replay(self._files.journal)
        return self._run

    def whole(self) -> Run | None:
        """Return the whole run, None if its journal is damaged."""
        with suppress(OSError):
            run, is_whole = readable(self._files.journal)
            return run if is_whole else None
        return None

    def read(self) -> _Entries:
        """Return its finished tasks with their outputs, by identity, as far as it can be read.

        From then on `asked` says what it was to do again.
        """
        with suppress(OSError, ValueError), self._files.index.open("rb") as file:
            head = _read_head(file.readline())
            if self._fits(head):
                entries = _read_entries(file.read())
                self.asked = Asked(fresh=head.fresh, again=head.again)
                return entries
        try:
            run, _ = readable(self._files.journal) if self._run is None else (self._run, True)
        except OSError:
            return {}
        if run is None:
            return {}
        self.asked = Asked(fresh=run.options.fresh, again=run.options.again)
        return _read_entries(_entries_of(run))

    def has_finished(self, task: TaskId) -> bool:
        """Tell whether a task was finished by running."""
        if self._tasks is None:
            self._tasks = frozenset(task_id for task_id, _ in self.read().values())
        return task in self._tasks

    def _fits(self, head: _Head) -> bool:
        size = self._files.journal.stat().st_size
        return (head.version, head.journal_bytes) == (_VERSION, size)


class Known(AbstractSet[str]):
    """The identities of work of earlier runs, oldest first, that a run with `options` may use."""

    def __init__(
        self, earlier: Sequence[EarlierRun] = (), options: RunOptions | None = None
    ) -> None:
        options = options or RunOptions()
        self._unread = [] if options.fresh else list(earlier)
        self._work: dict[str, tuple[RunId, msgspec.Raw]] = {}
        self._asked = Asked(again=options.again)
        self._forgotten: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._unread or self._work)

    def __contains__(self, identity: object) -> bool:
        return isinstance(identity, str) and self._find(identity) is not None

    def __iter__(self) -> Iterator[str]:
        self._find("")
        return iter(self._work.keys() - self._forgotten)

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
        while identity not in self._work and self._unread:
            self._read(self._unread.pop())
        return None if identity in self._forgotten else self._work.get(identity)

    def _read(self, earlier: EarlierRun) -> None:
        """Take over the work of a run that no later one has done or was to do again."""
        for identity, (task, outputs) in earlier.read().items():
            if identity not in self._work and task not in self._asked:
                self._work[identity] = earlier.id, outputs
        asked = earlier.asked
        if asked.again:
            self._asked = Asked(again=self._asked.again | asked.again)
        if asked.fresh:
            self._unread.clear()


def earlier_runs(workspace: Workspace) -> list[EarlierRun]:
    """Return the runs of a workdir, oldest first."""
    return [EarlierRun(workspace.files(run)) for run in workspace.runs()]


def write_index(files: RunFiles, run: Run) -> None:
    """Write the index of a run of which nothing goes on and all is in its journal.

    Without room on the disk there is none.
    """
    half = files.index.with_name(f".{files.index.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        head = _Head(
            version=_VERSION,
            journal_bytes=files.journal.stat().st_size,
            fresh=run.options.fresh,
            again=run.options.again,
        )
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
