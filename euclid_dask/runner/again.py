"""Having a task run again: which tasks depend on it, and what of earlier work is not to be used."""

import re
from collections.abc import Sequence
from typing import Final

from euclid_dask.core.ids import TaskId
from euclid_dask.core.states import TaskState
from euclid_dask.planner.nodes import Branch, Consumer, Split, Task
from euclid_dask.planner.run import Run
from euclid_dask.runner.earlier import Asked, EarlierRun
from euclid_dask.runner.reuse import why_again

_NUMBER: Final = re.compile(r"\.iterations\.\d+")


def dependents(run: Run, task: Task) -> tuple[str, ...]:
    """Return `task` and all that depends on it, directly or not, as `RunOptions.again` names them.

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
    return (*sorted(tasks | {t.id for t in inside}), *sorted(splits))


def reasons_again(run: Run, earlier: Sequence[EarlierRun]) -> dict[str, int]:
    """Return why tasks of `run` ran although an `earlier` run knew them, and how many tasks each.

    A task that was ordered and then known after all did not run. What differs only in the numbers
    of branches is one reason.
    """
    asked = Asked(again=run.options.again)
    reasons: dict[str, int] = {}
    for task in run.tasks.values():
        ran = task.attempt > 0 and task.state is not TaskState.SKIPPED
        behind = _since_it_was_done(earlier, task.id) if ran else ()
        if behind:
            is_asked = task.id in asked or any(task.id in one.asked for one in behind[1:])
            why = "you asked for it" if is_asked else _why(behind[0], run, task)
            reason = _NUMBER.sub(".iterations.*", why)
            reasons[reason] = reasons.get(reason, 0) + 1
    return reasons


def _why(earlier: EarlierRun, run: Run, task: Task) -> str:
    before = earlier.whole()
    return why_again(before, run, task) if before else f"the journal of {earlier.id} is damaged"


def _since_it_was_done(runs: Sequence[EarlierRun], task: TaskId) -> Sequence[EarlierRun]:
    """Return the latest of `runs` in which the task was finished and those behind it, if any."""
    for index in reversed(range(len(runs))):
        if runs[index].has_finished(task):
            return runs[index:]
    return ()
