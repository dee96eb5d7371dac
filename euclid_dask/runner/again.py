"""Having a task run again: which tasks depend on it, and what of earlier work is not to be used."""

from dataclasses import dataclass

from euclid_dask.core.ids import TaskId
from euclid_dask.planner.nodes import Branch, Consumer, Split, Task
from euclid_dask.planner.run import Run
from euclid_dask.runner.active import ActiveRun


@dataclass(frozen=True, slots=True)
class Again:
    """Tasks that are to run again: by id, and all in the branches of some splits."""

    tasks: frozenset[TaskId]
    splits: tuple[str, ...]

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


def forget(active: ActiveRun, again: Again) -> None:
    """Have `active` not use what earlier runs did for the tasks of `again`."""
    for earlier in active.earlier:
        active.forgotten.update(
            task.identity for task in earlier.tasks.values() if task.identity and task.id in again
        )
