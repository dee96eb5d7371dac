"""The run that a journal tells of, or what can be read of one that is damaged."""

from collections.abc import Iterator
from pathlib import Path

from euclid_dask.core.errors import EuclidDaskError, WorkdirError
from euclid_dask.core.events import RunEvent, RunStarted
from euclid_dask.core.states import TaskState
from euclid_dask.planner.run import Run
from euclid_dask.runner.journal import read_journal


def replay(path: Path) -> Run:
    """Return the run that a journal tells of.

    Raises:
        JournalError: It cannot be read.
    """
    return _run(read_journal(path), path)


def readable(path: Path) -> tuple[Run | None, bool]:
    """Return the run as far as its journal can be read, and whether that is all of it."""
    is_whole = True

    def events() -> Iterator[RunEvent]:
        nonlocal is_whole
        try:
            yield from read_journal(path)
        except EuclidDaskError:
            is_whole = False

    try:
        return _run(events(), path), is_whole
    except WorkdirError:
        return None, False


def _run(events: Iterator[RunEvent], path: Path) -> Run:
    first = next(events, None)
    if not isinstance(first, RunStarted):
        raise WorkdirError(
            f"{path}: the journal is empty: the run was never started", hint="start it again"
        )
    run = Run(first)
    for event in events:
        run.apply(event)
    ready = dict.fromkeys(run.board.newly_ready)  # a task may have been ready more than once
    run.board.newly_ready = [task for task in ready if task.state is TaskState.READY]
    return run
