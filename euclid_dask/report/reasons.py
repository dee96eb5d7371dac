"""Why the tasks of a run stand where they stand: one row for all that share a reason."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from euclid_dask.core.states import RUN_ENDED, TaskState
from euclid_dask.planner import Fleet, Provisioning, Run, Task
from euclid_dask.planner.explain import Reason, Why, explain, standing
from euclid_dask.planner.fitting import amounts
from euclid_dask.planner.placing import place
from euclid_dask.planner.ready import Shape
from euclid_dask.report.words import counted, printable

NAMES_LIMIT: Final = 3
"""How many tasks a row names."""

_NUMBER: Final = re.compile(r"\.iterations\.\d+")
_WAITS: Final = frozenset({TaskState.WAITING, TaskState.READY})
_GOES_WELL: Final = frozenset({TaskState.DONE, TaskState.RUNNING, TaskState.ORDERED})


@dataclass(frozen=True, slots=True)
class Row:
    """Tasks in one state, for the same reasons."""

    state: TaskState
    reasons: tuple[Reason, ...]
    tasks: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the row as one line."""
        some = ", ".join(self.tasks[:NAMES_LIMIT])
        if len(self.tasks) > 1:
            dots = ", ..." if len(self.tasks) > NAMES_LIMIT else ""
            some = f"{counted(len(self.tasks), 'task')} ({some}{dots})"
        told = "; ".join(printable(reason.text) for reason in self.reasons)
        return f"{some}: {self.state}" + (f": {told}" if told else "")

    def as_json(self) -> dict[str, Any]:
        """Return the row as `--json` prints it."""
        reasons = [{"why": str(reason.why), "text": reason.text} for reason in self.reasons]
        return {
            "state": str(self.state),
            "count": len(self.tasks),
            "reasons": reasons,
            "tasks": self.tasks,
        }


def not_well(run: Run) -> list[Task]:
    """Return the tasks that neither run nor have been done."""
    return [task for task in run.tasks.values() if task.state not in _GOES_WELL]


def rows(
    run: Run, tasks: Iterable[Task], fleet: Fleet, now_s: float, *, is_carried: bool
) -> list[Row]:
    """Return why `tasks` stand where they stand, by state and reason.

    `is_carried` says that a runner is at work; if none is, nothing of an open run goes on. What
    differs only in the numbers of branches is one reason.
    """
    if is_carried:
        # for what they remember in the fleet: what they answer is not done
        place([run], fleet, {}, now_s)
        Provisioning().decide([run], fleet, now_s)
    known: dict[Shape, tuple[Reason, ...]] = {}
    found: dict[tuple[TaskState, tuple[str, ...]], Row] = {}
    for task in tasks:
        reasons = _reasons(run, task, fleet, now_s, known, is_carried=is_carried)
        key = (task.state, tuple(_NUMBER.sub(".iterations.*", one.text) for one in reasons))
        row = found.setdefault(key, Row(task.state, reasons))
        row.tasks.append(task.id)
    return [_generalized(row, texts) for (_, texts), row in found.items()]


def _generalized(row: Row, texts: Sequence[str]) -> Row:
    """Return a row without the numbers of branches in its reasons, if it is of many tasks."""
    if len(row.tasks) == 1:
        return row
    reasons = tuple(Reason(one.why, text) for one, text in zip(row.reasons, texts, strict=True))
    return Row(row.state, reasons, row.tasks)


def _reasons(
    run: Run,
    task: Task,
    fleet: Fleet,
    now_s: float,
    known: dict[Shape, tuple[Reason, ...]],
    *,
    is_carried: bool,
) -> tuple[Reason, ...]:
    if task.state not in _WAITS:
        return (standing(run, task, now_s),)
    if task.state is TaskState.WAITING or run.state in RUN_ENDED:
        return tuple(explain(run, task, [run], fleet, now_s))
    if not is_carried:
        return (Reason(Why.RUN, "no runner is at work"),)
    if task.shape not in known:  # tasks of one shape wait for the same
        known[task.shape] = tuple(explain(run, task, [run], fleet, now_s))
    return known[task.shape]


def history(task: Task) -> Mapping[str, str]:
    """Return what a task has gone through, for people: what went wrong, and what it asks for."""
    told: dict[str, str] = {}
    if task.state in _WAITS and task.failure is not None:
        told[f"attempt {task.attempt}"] = task.failure.message
    if task.asked is not None:
        told["asks for"] = f"{amounts(task.asked)}, after it had too little"
    if task.avoids:
        told["avoids"] = ", ".join(task.avoids)
    return told
