"""Who made the outputs of a run: the attempt that did, in this run or in one before it."""

from collections.abc import Iterable, Iterator

from euclid_dask.core.events import TaskReused, TaskSucceeded
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.core.values import Value
from euclid_dask.planner.run import Run
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.workspace import Workspace


class Making(Value, frozen=True, kw_only=True):
    """The attempt that made the outputs of a task; its number is 0 if nobody knows any more."""

    run: RunId
    task: TaskId
    attempt: int


def makings(workspace: Workspace, run: Run, tasks: Iterable[TaskId]) -> dict[TaskId, Making]:
    """Return who made the outputs of finished tasks of a run.

    Raises:
        JournalError: The journal of the run, or of one that it took work from, cannot be read.
    """
    found: dict[TaskId, Making] = {}
    asked: dict[RunId, set[TaskId]] = {RunId(run.id): set(tasks)}
    while asked:
        run_id, wanted = asked.popitem()
        for event in _ends(workspace, run_id, wanted):
            if isinstance(event, TaskReused):
                asked.setdefault(event.run, set()).add(event.task)
            else:
                found[event.task] = Making(run=run_id, task=event.task, attempt=event.attempt)
            wanted.discard(event.task)
        found |= {task: Making(run=run_id, task=task, attempt=0) for task in wanted}
    return found


def _ends(
    workspace: Workspace, run: RunId, tasks: set[TaskId]
) -> Iterator[TaskSucceeded | TaskReused]:
    """Yield how each task came to its outputs at last."""
    ends: dict[TaskId, TaskSucceeded | TaskReused] = {}
    journal = workspace.files(run).journal
    if journal.exists():
        for event in read_journal(journal):
            if isinstance(event, TaskSucceeded | TaskReused) and event.task in tasks:
                ends[event.task] = event
    yield from ends.values()
