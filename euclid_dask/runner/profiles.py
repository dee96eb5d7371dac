"""The profiles of a site or workdir: what every attempt used, in one SQLite file.

Rule 1: a journal is the truth, and the file can be made again from journals at any time. Rule 2: a
journal is taken in as a whole or not at all, and as often as one likes.

There is a writer now and then, when a run has ended, so the file keeps SQLite's rollback journal:
unlike its write-ahead log it also works on a file system that several hosts share.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from euclid_dask.core.errors import EuclidDaskError, InputError
from euclid_dask.core.events import RunStarted, TaskErred, TasksOrdered, TaskStarted, TaskSucceeded
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.dataflow.select import template
from euclid_dask.dataflow.steps import tasks
from euclid_dask.planner.estimates import Duration
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.workspace import Workspace

DONE: Final = "done"
"""The verdict of an attempt that succeeded; else it is the kind of its failure."""
MOST_SAMPLES: Final = 10_000
"""How many attempts of an executable are looked at for advice, of the latest runs."""
MOST_DURATIONS: Final = 200
"""How many attempts of an executable a run begins with, of the latest runs."""
WAIT_S: Final = 10.0

_VERSION: Final = 2
_SCHEMA: Final = f"""
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, journal TEXT NOT NULL,
  began_s REAL NOT NULL, size INTEGER NOT NULL);
CREATE TABLE executables (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  executable TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, defined_at TEXT NOT NULL,
  cores REAL NOT NULL, ram_bytes INTEGER NOT NULL, walltime_s REAL NOT NULL,
  disk_bytes INTEGER NOT NULL);
CREATE INDEX executables_by_version ON executables (executable, version);
CREATE INDEX executables_by_run ON executables (run);
CREATE TABLE attempts (
  executable INTEGER NOT NULL REFERENCES executables ON DELETE CASCADE,
  task TEXT NOT NULL, attempt INTEGER NOT NULL, verdict TEXT NOT NULL, host TEXT NOT NULL,
  pilot TEXT NOT NULL, ended_s REAL NOT NULL, wall_s REAL NOT NULL, cpu_s REAL NOT NULL,
  peak_ram_bytes INTEGER NOT NULL, read_bytes INTEGER NOT NULL, written_bytes INTEGER NOT NULL,
  input_bytes INTEGER NOT NULL, given_ram_bytes INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (executable, task, attempt DESC)) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""
_FROM_1: Final = f"""
ALTER TABLE attempts ADD COLUMN given_ram_bytes INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = {_VERSION};
"""


class Usage(NamedTuple):
    """What an attempt used. `verdict` is "done" or the kind of its failure.

    `given_ram_bytes` is the RAM that it had asked for, which may be more than the first attempt
    did; 0 if it is not known.
    """

    run: str
    task: str
    attempt: int
    verdict: str
    wall_s: float
    cpu_s: float
    peak_ram_bytes: int
    input_bytes: int
    given_ram_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Definition:
    """An executable as a run had it. `defined_at` is `file:line`."""

    executable: str
    name: str
    version: str
    defined_at: str
    asked: Resources
    run: str


class ProfileStore:
    """The open file. Errors of SQLite are told as `InputError`s, with the way out."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection

    @classmethod
    @contextmanager
    def open(cls, path: Path | None) -> Iterator[Self]:
        """Open a file, which is made if it is not there; for None, one in memory.

        Raises:
            InputError: It cannot be used, then or later.
        """
        name = ":memory:" if path is None else str(path)
        with _told(name):
            connection = sqlite3.connect(name, timeout=WAIT_S, isolation_level=None)
            try:
                store = cls(name, connection)
                store._prepare()
                yield store
            finally:
                connection.close()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.execute("PRAGMA synchronous = NORMAL")
        if self._version() == _VERSION:
            return
        with self._change():
            version = self._version()
            if version < _VERSION:
                for statement in (_FROM_1 if version else _SCHEMA).split(";"):
                    self._db.execute(statement)

    def _version(self) -> int:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise InputError(
                f"{self.path} was written by a newer version of this software",
                hint="use that version, or make another file: euclid-dask profiles rebuild",
            )
        return version

    @contextmanager
    def _change(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # ---- writing

    def take_in_workdir(self, workspace: Workspace) -> list[str]:
        """Take in what is new in the journals of a workdir; return why some could not be."""
        problems = []
        for run in workspace.runs():
            try:
                self.take_in(workspace.files(run).journal)
            except (EuclidDaskError, OSError) as error:
                problems.append(str(error))
        return problems

    def take_in(self, journal: Path) -> bool:
        """Take in the attempts of a run; return whether there was anything new.

        Raises:
            JournalError: Its journal cannot be read.
        """
        size = journal.stat().st_size
        known = self._db.execute(
            "SELECT size FROM runs WHERE run = ? AND journal = ?",
            (journal.parent.name, str(journal)),
        ).fetchone()
        if known == (size,):
            return False
        told = _told_by(journal)
        if told is None:
            return False
        with self._change():
            self._replace(journal, size, *told)
        return True

    def _replace(
        self, journal: Path, size: int, started: RunStarted, attempts: "Sequence[_Row]"
    ) -> None:
        self._db.execute("DELETE FROM runs WHERE run = ?", (started.run,))
        run = self._db.execute(
            "INSERT INTO runs (run, journal, began_s, size) VALUES (?, ?, ?, ?)",
            (started.run, str(journal), started.at_s, size),
        ).lastrowid
        ids = {
            key: self._db.execute(
                "INSERT INTO executables VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run, key, spec.name, started.options.versions.get(key, ""), spec.where,
                    spec.needs.cores, spec.needs.ram_bytes, spec.needs.walltime_s,
                    spec.needs.disk_bytes,
                ),
            ).lastrowid
            for key, spec in started.flow.executables.items()
        }  # fmt: skip
        self._db.executemany(
            "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((ids[row[0]], *row[1:]) for row in attempts),
        )

    # ---- reading

    def definitions(self) -> list[Definition]:
        """Return each executable as the latest run had it, by where it is defined."""
        latest: dict[tuple[str, str], Definition] = {}
        for run, key, name, version, where, *asked in self._db.execute(
            "SELECT r.run, executable, name, version, defined_at, cores, ram_bytes, walltime_s, "
            "disk_bytes FROM executables e JOIN runs r ON r.id = e.run ORDER BY began_s, e.id"
        ):
            needs = dict(
                zip(("cores", "ram_bytes", "walltime_s", "disk_bytes"), asked, strict=True)
            )
            one = Definition(key, name, version, where, Resources(**needs), run)
            latest[key, where.rpartition(":")[0]] = one
        return list(latest.values())

    def usages(self, executable: str, version: str, most: int = MOST_SAMPLES) -> list[Usage]:
        """Return what attempts of an executable used, at most so many.

        Those of the latest runs come first; of a task, the latest attempt.
        """
        runs = self._db.execute(
            "SELECT e.id, r.run FROM executables e JOIN runs r ON r.id = e.run "
            "WHERE executable = ? AND version = ? ORDER BY began_s DESC, e.id DESC",
            (executable, version),
        ).fetchall()
        found: list[Usage] = []
        for number, run in runs:
            if len(found) >= most:
                break
            rows = self._db.execute(
                "SELECT task, attempt, verdict, wall_s, cpu_s, peak_ram_bytes, input_bytes, "
                "given_ram_bytes "
                "FROM attempts WHERE executable = ? ORDER BY task, attempt DESC LIMIT ?",
                (number, most - len(found)),
            )
            found += [Usage(run, *row) for row in rows]
        return found

    def durations(
        self, versions: Mapping[str, str], *, but: RunId | None = None
    ) -> dict[str, Duration]:
        """Return how long executables took of which something is known.

        `versions` maps the executables to their versions. The run `but` is left out.
        """
        found: dict[str, Duration] = {}
        for executable, version in versions.items():
            known = Duration()
            for use in self.usages(executable, version, MOST_DURATIONS):
                if use.verdict == DONE and use.run != but:
                    known.add(use.wall_s)
            if known.count:
                found[executable] = known
        return found


_Row = tuple[Any, ...]


def _told_by(journal: Path) -> tuple[RunStarted, list[_Row]] | None:
    """Return the beginning of a run and a row for each attempt with a receipt; None for no run."""
    events = read_journal(journal)
    started = next(events, None)
    if not isinstance(started, RunStarted):
        return None
    key_of = _executable_of(started)
    pilots: dict[tuple[TaskId, int], PilotId] = {}
    hosts: dict[tuple[TaskId, int], str] = {}
    asked: dict[TaskId, int] = {}
    rows: list[_Row] = []
    for event in events:
        match event:
            case TasksOrdered(pilot=pilot, tasks=ordered):
                pilots |= dict.fromkeys(ordered, pilot)
            case TaskStarted(task=task, attempt=attempt, host=host):
                hosts[task, attempt] = host
            case TaskSucceeded(task=task, attempt=attempt) | TaskErred(task=task, attempt=attempt):
                verdict = DONE if isinstance(event, TaskSucceeded) else str(event.failure.kind)
                used, key = event.profile, key_of(task)
                given = asked.get(task, started.flow.executables[key].needs.ram_bytes)
                if isinstance(event, TaskErred) and event.larger is not None:
                    asked[task] = event.larger.ram_bytes
                rows.append((
                    key, task, attempt, verdict, hosts.get((task, attempt), ""),
                    pilots.get((task, attempt), ""), event.at_s, used.wall_s, used.cpu_s,
                    used.peak_ram_bytes, used.read_bytes, used.written_bytes, used.input_bytes,
                    given,
                ))  # fmt: skip
            case _:
                pass
    return started, rows


def _executable_of(started: RunStarted) -> Callable[[str], str]:
    """Return a function from a task to the key of its executable."""
    nodes = tasks(started.flow)
    return lambda task: nodes[template(task)].executable


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise InputError(
            f"cannot use the profiles in {path}: {error}",
            hint="if it is a damaged file of profiles, remove it and make it again: euclid-dask "
            "profiles rebuild WORKDIR; else name another one",
        ) from error
