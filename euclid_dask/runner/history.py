"""The run that a journal tells of."""

from pathlib import Path

from euclid_dask.core.errors import WorkdirError
from euclid_dask.core.events import RunStarted
from euclid_dask.core.states import TaskState
from euclid_dask.planner.run import Run
from euclid_dask.runner.journal import read_journal


def replay(path: Path) -> Run:
    """Return the run that a journal tells of.

    Raises:
        JournalError: It cannot be read.
    """
    events = read_journal(path)
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
