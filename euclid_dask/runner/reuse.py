"""Work that need not be done again, and outputs that are not as they were made."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from euclid_dask.core.attempts import Fingerprint
from euclid_dask.core.effects import ReuseTask
from euclid_dask.core.events import OutputsMissed, TaskReused
from euclid_dask.planner.identity import parts_of
from euclid_dask.planner.nodes import Split, Task
from euclid_dask.planner.retention import lasting
from euclid_dask.planner.run import Run
from euclid_dask.runner.active import ActiveRun
from euclid_dask.worker.fingerprints import file_identity, named_identity


def reuse(active: ActiveRun, effect: ReuseTask, at_s: float) -> TaskReused | OutputsMissed:
    """Skip a task, unless its outputs are results of the run and not as they were made."""
    work = active.known.work(effect.identity)
    task = active.run.tasks[effect.task]
    outputs = lasting(active.run, task, work.outputs)
    reason = gone(active.place.workdir, outputs) if is_result(active.run, task) else ""
    if reason:
        active.known.forget(effect.identity)
        return OutputsMissed(at_s=at_s, task=effect.task, reason=reason)
    active.old.add(effect.task)
    return TaskReused(
        at_s=at_s,
        task=effect.task,
        identity=effect.identity,
        outputs=work.outputs,
        run=work.run,
    )


def is_result(run: Run, task: Task) -> bool:
    """Tell whether the outputs of `task` leave the pipeline, or are what a part is run for."""
    template = task.scope.template + task.node.name
    return task.node.name in task.scope.exported or template in run.board.selection.ends


def gone(workdir: str, outputs: Mapping[str, Fingerprint]) -> str:
    """Return a sentence on the first output that is missing or not as it was made, "" if none.

    The files that an output names belong to it; one that was not there then need not be there.
    Times of change do not matter where the content was noted.
    """
    for port, made in outputs.items():
        try:
            found = os.stat(f"{workdir}/{made.path}")  # noqa: PTH116  a hot path
        except OSError:
            return f"its output {port} ({made.path}) is gone"
        is_same = (found.st_size, found.st_mtime_ns) == (made.size, made.mtime_ns)
        if is_same and (not made.named or made.named == named_identity(Path(workdir), made.path)):
            continue
        if found.st_size == made.size and _has_content(workdir, made):
            continue
        if is_same:
            return f"a file named by its output {port} ({made.path}) is gone or was changed"
        return f"its output {port} ({made.path}) was changed"
    return ""


def _has_content(workdir: str, made: Fingerprint) -> bool:
    """Tell whether a file, and those that it names, are byte for byte what was noted of them."""
    return bool(made.content) and made.content == file_identity(Path(workdir), made.path, "content")


def why_again(before: Run, after: Run, task: Task) -> str:
    """Return in words why `task` of `after` is not the work that `before` did."""
    earlier = before.tasks.get(task.id)
    if earlier is None:
        return "it is new"
    if not earlier.is_finished:
        return f"it was {earlier.state} in {before.id}"
    return _difference(before, after, earlier, task)


def _difference(before: Run, after: Run, earlier: Task, task: Task) -> str:
    old = parts_of(earlier, before.options.versions)
    new = parts_of(task, after.options.versions)
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    inputs = [name for name in changed if name.startswith("input ")]
    left_out = {*_left_out(before, earlier), *_left_out(after, task)}
    ways = before.options.identity_by, after.options.identity_by
    if not changed:
        return after.missed.get(task.id, "its outputs are gone or were changed")
    if changed == inputs and left_out:
        return f"what it needs was left out: {', '.join(sorted(left_out))}"
    if changed == inputs and ways[0] != ways[1]:
        return f"inputs were compared by {ways[0]}, and are by {ways[1]} now"
    return f"changed: {', '.join(changed)}"


def _left_out(run: Run, task: Task) -> Iterator[str]:
    """Yield the names of tasks that make inputs of `task`, in lists too, and were left out.

    Of the branches of a split the same is left out: the first stands for all.
    """
    makers = task.producers()
    while makers:
        maker = makers.pop()
        if isinstance(maker, Split):
            makers += [it for branch in maker.branches[:1] for it in branch.producers()]
        elif maker.scope.template + maker.node.name in run.board.selection.omitted:
            yield maker.node.name
