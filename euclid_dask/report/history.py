"""What happened in a run, read from its journal: every attempt, and the turns of the whole run."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from euclid_dask.core.attempts import FailureKind
from euclid_dask.core.events import (
    CancelRequested,
    OutputsMissed,
    RunEnded,
    RunEvent,
    RunResumed,
    RunStarted,
    SplitExpanded,
    TaskErred,
    TaskLost,
    TaskReturned,
    TaskReused,
    TasksOrdered,
    TaskStarted,
    TaskSucceeded,
)
from euclid_dask.core.ids import TaskId
from euclid_dask.planner.run import Run
from euclid_dask.report.words import counted
from euclid_dask.runner.journal import read_journal


@dataclass(slots=True)
class AttemptLine:
    """One attempt: when it began and ended (seconds since epoch), and what became of it.

    `outcome` is running, done, failed, lost or cancelled. `ended_s` is None while it runs.
    """

    task: str
    executable: str
    attempt: int
    pilot: str
    started_s: float
    ended_s: float | None = None
    outcome: str = "running"
    reason: str = ""
    host: str = ""


@dataclass(slots=True)
class History:
    """The attempts in the order of their starts, and notes on the run: time and sentence."""

    attempts: list[AttemptLine] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)
    reused: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)


def history_of(run: Run) -> History:
    """Return the history of a run.

    Raises:
        JournalError: Its journal cannot be read.
    """
    return told_by(read_journal(Path(run.place.records).parent / "journal.jsonl"), run)


def told_by(events: Iterable[RunEvent], run: Run) -> History:
    """Return the history that events tell of."""
    history = History()
    open_attempts: dict[tuple[TaskId, int], AttemptLine] = {}
    for event in events:
        match event:
            case TasksOrdered(pilot=pilot, tasks=tasks, at_s=at_s):
                for task, number in tasks:
                    executable = run.tasks[task].node.executable
                    line = AttemptLine(task, executable, number, pilot, at_s)
                    open_attempts[task, number] = line
            case TaskReturned(task=task, attempt=number):
                open_attempts.pop((task, number), None)
            case TaskStarted() | TaskSucceeded() | TaskErred() | TaskLost():
                _note_attempt(history, open_attempts, event)
            case TaskReused(run=earlier):
                history.reused[earlier] = history.reused.get(earlier, 0) + 1
            case OutputsMissed(task=task, reason=reason):
                history.missed.append(f"{task}: {reason}")
            case _:
                _note_run(history, event)
    history.attempts += open_attempts.values()
    history.attempts.sort(key=lambda line: line.started_s)
    return history


def _note_attempt(
    history: History,
    open_attempts: dict[tuple[TaskId, int], AttemptLine],
    event: TaskStarted | TaskSucceeded | TaskErred | TaskLost,
) -> None:
    line = open_attempts.get((event.task, event.attempt))
    if line is None:
        return
    if isinstance(event, TaskStarted):
        line.started_s, line.host = event.at_s, event.host
        return
    history.attempts.append(open_attempts.pop((event.task, event.attempt)))
    line.ended_s = event.at_s
    match event:
        case TaskSucceeded(started_s=started_s):
            line.outcome = "done"
            line.started_s = started_s or line.started_s
        case TaskErred(started_s=started_s, failure=failure):
            line.outcome = "cancelled" if failure.kind is FailureKind.CANCELLED else "failed"
            line.reason = failure.message
            line.started_s = started_s or line.started_s
        case TaskLost(reason=reason):
            line.outcome, line.reason = "lost", reason


def _note_run(history: History, event: RunEvent) -> None:
    match event:
        case RunStarted():
            text = f"started by {event.software}" if event.software else "started"
        case RunResumed():
            text = "taken up again"
        case CancelRequested(reason=reason, now=now):
            text = f"cancelled: {reason}" + (", what ran was killed" if now else "")
        case RunEnded(state=state):
            text = f"ended: {state}"
        case SplitExpanded(split=split, items=items) if "iterations" not in split:
            text = f"{split} was split into {counted(len(items), 'branch')}"
        case _:
            return
    history.notes.append((event.at_s, text))
