"""What journals tell: one run, or the runs of a workdir."""

from pathlib import Path
from typing import Final

from euclid_dask.core.errors import EuclidDaskError, WorkdirError
from euclid_dask.core.events import RunStarted
from euclid_dask.core.states import TaskState
from euclid_dask.planner.run import Run
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.workspace import Workspace

EARLIER_RUNS: Final = 20
"""How many earlier runs of a workdir are looked at for finished work."""


def earlier_runs(workspace: Workspace) -> list[Run]:
    """Return the latest runs of a workdir, oldest first; journals that cannot be read are none."""
    found: list[Run] = []
    for run_id in workspace.runs()[-EARLIER_RUNS:]:
        try:
            found.append(replay(workspace.files(run_id).journal))
        except EuclidDaskError:
            continue
    return found


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
