"""Having a task run again: which tasks depend on it, and what of earlier work is not to be used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from euclid_dask.core.events import RunOptions
from euclid_dask.core.ids import TaskId
from euclid_dask.core.states import TaskState
from euclid_dask.planner.nodes import Branch, Consumer, Split, Task
from euclid_dask.planner.run import Run
from euclid_dask.runner.earlier import EarlierRun
from euclid_dask.runner.reuse import why_again


@dataclass(frozen=True, slots=True)
class Again:
    """Tasks that are to run again: by id, and all in the branches of some splits."""

    tasks: frozenset[TaskId]
    splits: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the tasks and splits as `RunOptions.again` names them."""
        return (*sorted(self.tasks), *self.splits)

    @classmethod
    def of(cls, options: RunOptions) -> Self:
        """Return what was asked for when a run was started."""
        splits = tuple(name for name in options.again if name.endswith("."))
        return cls(frozenset(map(TaskId, options.again)), splits)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self.tasks or str(task_id).startswith(self.splits)


def dependents(run: Run, task: Task) -> Again:
    """Return `task` and all that depends on it, directly or not.

    The branches of a split depend on what makes its list, whatever the list will hold.
    """
    tasks: set[TaskId] = set()
    splits: set[str] = set()
    seen: set[int] = set()
    work: list[Consumer] = [task]
    while work:
        node = work.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        match node:
            case Task():
                tasks.add(node.id)
                work += node.consumers
            case Split():
                splits.add(f"{node.id}.iterations.")
                work += node.consumers
            case Branch():
                work += node.split.consumers
    inside = [t for t in run.tasks.values() if t.id.startswith(tuple(splits))] if splits else []
    return Again(frozenset(tasks | {t.id for t in inside}), tuple(sorted(splits)))


def reasons_again(run: Run, earlier: Sequence[EarlierRun]) -> dict[str, int]:
    """Return why tasks of `run` ran although an `earlier` run knew them, and how many tasks each.

    A task that was ordered and then known after all did not run.
    """
    asked = Again.of(run.options)
    reasons: dict[str, int] = {}
    for task in run.tasks.values():
        ran = task.attempt > 0 and task.state is not TaskState.SKIPPED
        before = _latest_with(earlier, task.id) if ran else None
        if before is not None:
            reason = "you asked for it" if task.id in asked else why_again(before, run, task)
            reasons[reason] = reasons.get(reason, 0) + 1
    return reasons


def _latest_with(runs: Sequence[EarlierRun], task: TaskId) -> Run | None:
    """Return the latest of `runs` in which the task was finished by running."""
    return next((one.replayed() for one in reversed(runs) if one.has_finished(task)), None)
