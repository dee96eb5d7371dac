"""What to do next: a pure function of runs, pilots and what is known to be done already.

Lists are read and written and known work is skipped first, since that changes what is ready;
only when nothing of that is left are tasks placed. Tasks go to a pilot only when they start now.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from euclid_dask.core.effects import (
    CancelAttempt,
    Effect,
    EndRun,
    ReadList,
    RefuseTask,
    ReuseTask,
    WriteList,
)
from euclid_dask.core.ids import RunId
from euclid_dask.core.states import RUN_ENDED, RunState, TaskState
from euclid_dask.planner.fleet import Fleet
from euclid_dask.planner.identity import task_identity
from euclid_dask.planner.nodes import Split
from euclid_dask.planner.orders import text_of
from euclid_dask.planner.placing import place
from euclid_dask.planner.run import Run

Known = Mapping[RunId, AbstractSet[str]]
"""Of each run, the identities of work that earlier runs finished."""


def decide(runs: Sequence[Run], fleet: Fleet, known: Known, now_s: float) -> list[Effect]:
    """Return what is to be done now; nothing is changed.

    The work is proportional to what can start or has changed, not to what waits.
    """
    open_runs = [run for run in runs if run.state not in RUN_ENDED]
    effects: list[Effect] = []
    for run in open_runs:
        effects += _upkeep(run, known.get(run.id, frozenset()))
    if effects:
        return effects
    for run in open_runs:
        if run.state is RunState.CANCELLING:
            effects += _cancels(run)
    effects += place(open_runs, fleet, known, now_s)
    for run in open_runs:
        effects += _end(run)
    return effects


def is_due(run: Run, effect: Effect) -> bool:
    """Tell whether `effect` is still to be done, after others of one decision were carried out."""
    match effect:
        case ReadList(split=split):
            return split in run.board.reading
        case WriteList(split=split):
            return split in run.board.joining
        case ReuseTask(task=task) | RefuseTask(task=task):
            return run.tasks[task].state is TaskState.READY
        case _:
            return True


def _upkeep(run: Run, known: AbstractSet[str]) -> list[Effect]:
    effects: list[Effect] = []
    if run.state is not RunState.ACTIVE:
        return effects
    for split in run.board.reading.values():
        path = text_of(split.iterated)
        effects.append(ReadList(run=run.id, split=split.id, path=path or ""))
    effects += [
        WriteList(
            run=run.id, split=split.id, path=split.list_path, entries=tuple(joined_entries(split))
        )
        for split in run.board.joining.values()
    ]
    if known:
        for task in run.board.newly_ready:
            if task.state is TaskState.READY and not task.no_reuse:
                identity = task_identity(task, run.options.versions)
                if identity in known:
                    effects.append(ReuseTask(run=run.id, task=task.id, identity=identity))
    return effects


def joined_entries(split: Split) -> list[str | tuple[str | None, ...] | None]:
    """Return the joined list of `split`: one path a branch, or a tuple where it returns more.

    A failed branch is left out (`on_error` "skip") or stands as None ("null").
    """
    entries: list[str | tuple[str | None, ...] | None] = []
    for branch in split.branches:
        if branch.failed:
            if split.node.on_error == "null":
                entries.append(None)
            continue
        texts = tuple(text_of(value) for value in branch.results())
        entries.append(texts[0] if len(texts) == 1 else texts)
    return entries


def _cancels(run: Run) -> list[Effect]:
    return [
        CancelAttempt(
            run=run.id, task=task.id, attempt=task.attempt, only_waiting=not run.cancel_now
        )
        for task in run.active
        if run.cancel_now or task.state is TaskState.ORDERED
    ]


def _end(run: Run) -> list[Effect]:
    if run.bundles:
        return []
    is_open = (
        run.count(TaskState.WAITING) or run.count(TaskState.READY) or run.board.counts.open_splits
    )
    if run.state is RunState.CANCELLING:
        is_done = not (is_open or run.count(TaskState.CANCELLED) or run.has_failed())
        return [EndRun(run=run.id, state=RunState.DONE if is_done else RunState.CANCELLED)]
    if is_open:
        return []
    return [EndRun(run=run.id, state=RunState.FAILED if run.has_failed() else RunState.DONE)]
