"""Work that need not be done again, and outputs that are gone although their maker is done."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from euclid_dask.core.attempts import Fingerprint
from euclid_dask.core.effects import ReuseTask
from euclid_dask.core.events import RunOptions, TaskReused
from euclid_dask.core.ids import TaskId
from euclid_dask.planner.identity import parts_of
from euclid_dask.planner.nodes import Branch, Given, Joined, Made, Resolved, Scope, Task
from euclid_dask.planner.run import Run
from euclid_dask.runner.active import ActiveRun, KnownWork
from euclid_dask.worker.fingerprints import named_identity


def known_work(earlier: Sequence[Run], options: RunOptions) -> dict[str, KnownWork]:
    """Return the work of earlier runs, oldest first, that a run may use, by identity."""
    known: dict[str, KnownWork] = {}
    if options.fresh:
        return known
    tasks = frozenset(options.again)
    beginnings = tuple(name for name in options.again if name.endswith("."))
    for run in earlier:
        for task in run.tasks.values():
            if task.id in tasks or task.id.startswith(beginnings):
                continue
            if task.is_finished and task.identity and task.outputs is not None:
                known[task.identity] = KnownWork(run=run.id, outputs=task.outputs)
    return known


def reuse(active: ActiveRun, effect: ReuseTask, at_s: float) -> TaskReused | None:
    """Skip a task; None if its outputs leave the pipeline and are not there any more."""
    work = active.known[effect.identity]
    task = active.run.tasks[effect.task]
    if task.node.name in task.scope.exported and gone(active.place.workdir, work.outputs):
        del active.known[effect.identity]
        return None
    active.old.add(effect.task)
    return TaskReused(
        at_s=at_s,
        task=effect.task,
        identity=effect.identity,
        outputs=work.outputs,
        run=work.run,
    )


def missing_makers(
    active: ActiveRun, tasks: Sequence[TaskId], *, all_makers: bool = False
) -> dict[TaskId, str]:
    """Return the makers of inputs of `tasks` whose outputs are gone or changed, and what is.

    Only makers that finished in an earlier process are looked at, each once, unless `all_makers`.
    """
    missed: dict[TaskId, str] = {}
    for task_id in tasks:
        task = active.run.tasks[task_id]
        for _, value in task.arguments():
            for maker in _makers(value, task.scope):
                if not maker.is_finished or not (all_makers or maker.id in active.old):
                    continue
                active.old.discard(maker.id)
                reason = gone(active.place.workdir, maker.outputs or {})
                if reason:
                    missed[maker.id] = reason
    return missed


def gone(workdir: str, outputs: Mapping[str, Fingerprint]) -> str:
    """Return a sentence on the first output that is missing or not as it was made, "" if none.

    The files that an output names belong to it; one that was not there then need not be there.
    """
    for port, made in outputs.items():
        try:
            found = os.stat(f"{workdir}/{made.path}")  # noqa: PTH116  a hot path
        except OSError:
            return f"its output {port} ({made.path}) is gone"
        if (found.st_size, found.st_mtime_ns) != (made.size, made.mtime_ns):
            return f"its output {port} ({made.path}) was changed"
        if made.named and made.named != named_identity(Path(workdir), made.path):
            return f"a file named by its output {port} ({made.path}) is gone or was changed"
    return ""


def why_again(before: Run, after: Run, task: Task) -> str:
    """Return in words why `task` of `after` is not the work that `before` did."""
    earlier = before.tasks.get(task.id)
    if earlier is None:
        return "it is new"
    if not earlier.is_finished:
        return f"it was {earlier.state} in {before.id}"
    old = parts_of(earlier, before.options.versions)
    new = parts_of(task, after.options.versions)
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return f"changed: {', '.join(changed)}" if changed else "its outputs are gone"


def _makers(value: Resolved, scope: Scope) -> Iterator[Task]:
    """Yield the tasks that make `value`; of a joined list, those that make its entries too.

    What a branch receives was made by what made the list that was split.
    """
    match value:
        case Made(task=task):
            yield task
        case Joined(split=split):
            for branch in split.branches:
                yield from _makers_of_branch(branch)
        case Given():
            yield from _makers_of_item(value, scope)
        case None:
            return


def _makers_of_item(value: Given, scope: Scope) -> Iterator[Task]:
    around: Scope | None = scope
    while around is not None:
        if around.split is not None and around.item is value.file:
            yield from _makers(around.split.iterated, around.split.scope)
        around = around.parent


def _makers_of_branch(branch: Branch) -> Iterator[Task]:
    for result in branch.results():
        yield from _makers(result, branch.scope)
