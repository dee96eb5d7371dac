"""Inputs that are not there although what makes them is done: what must be made again.

Rule 1: a file is looked at when something is about to need it, never before; of temporary outputs
only that which is needed, as others may have gone. Rule 2: joined lists and lists of one element
follow from the journal: they are written again, no task runs for them.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from euclid_dask.core.ids import SplitId, TaskId
from euclid_dask.core.states import TaskState
from euclid_dask.planner.decide import joined_entries
from euclid_dask.planner.identity import entered
from euclid_dask.planner.nodes import Given, Joined, Made, Resolved, Scope, Split, Task
from euclid_dask.planner.orders import is_file, text_of
from euclid_dask.planner.retention import lasting
from euclid_dask.planner.run import Run
from euclid_dask.runner import lists
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.reuse import gone, is_result
from euclid_dask.worker.lists import write_list

Missed = dict[TaskId, str]
"""Tasks whose outputs are needed and not as they were made, and why, in words."""


def before_start(active: ActiveRun, tasks: Iterable[TaskId]) -> Missed:
    """Return the makers of inputs of `tasks` whose outputs are gone or changed.

    Makers that finished in this process are not looked at, others once; a list is once for all.
    """
    missed: Missed = {}
    if not (active.old or active.run.board.selection.omitted):
        return missed
    for task_id in tasks:
        task = active.run.tasks[task_id]
        for _, value in task.arguments():
            for made in _makers(value, active.lists_seen):
                _look(active, made, missed)
            restore(active, value)
    return missed


def results_gone(run: Run, workdir: Path) -> tuple[Missed, list[Joined]]:
    """Return what is a result and not as it was made: finished tasks, joined lists."""
    found = {
        task.id: gone(str(workdir), lasting(run, task, task.outputs or {}))
        for task in run.tasks.values()
        if task.is_made and is_result(run, task)
    }
    results = [run.board.root.resolve(out.source) for out in run.flow.body.outputs]
    joined = [
        value
        for value in results
        if isinstance(value, Joined)
        and value.split.is_finished
        and not value.split.partial
        and not lists.is_as_written(workdir / value.split.list_path, joined_entries(value.split))
    ]
    return {task_id: reason for task_id, reason in found.items() if reason}, joined


def before_read(active: ActiveRun, split: Split) -> Missed:
    """Return the task that made the list that `split` goes over, if it is not as it was made."""
    missed: Missed = {}
    value = split.iterated
    restore(active, value)
    if isinstance(value, Made):
        _look(active, value, missed)
    return missed


def before_join(active: ActiveRun, split: Split) -> Missed:
    """Return the left-out tasks whose outputs belong into the list of `split` and are not there."""
    missed: Missed = {}
    if active.run.board.selection.omitted:
        for made in _makers(Joined(split), set()):
            if made.task.state is TaskState.OMITTED:
                _look(active, made, missed)
    return missed


def after_failure(active: ActiveRun, task: Task) -> Missed | None:
    """Return what must be made again, now that an attempt of `task` did not find its inputs.

    None means that nothing can be done: an input from outside is gone.
    """
    missed: Missed = {}
    absent = [value for _, value in task.arguments() if not _is_there(active, value)]
    for value in absent:
        match value:
            case Made(task=maker) if maker.is_finished:
                _look(active, value, missed, again=True)
            case Joined(split=split):
                active.old.add(split.id)
                restore(active, value)
            case Given():
                for made in _remake_item(active, value):
                    _look(active, made, missed, again=True)
            case _:
                pass
    if missed or task.missing or all(_is_there(active, value) for value in absent):
        return missed
    return None


def look_again(active: ActiveRun, task_id: TaskId) -> None:
    """Have outputs of a task be looked at when something needs them again, as some have gone."""
    active.old.add(task_id)
    task = active.run.tasks[task_id]
    active.ports_seen -= {(task_id, port.name) for port in task.spec.outputs}
    scope: Scope | None = task.scope
    while scope is not None:
        if scope.split is not None:
            active.lists_seen.discard(scope.split.id)
        scope = scope.parent


def restore(active: ActiveRun, value: Resolved) -> None:
    """Write a joined list again if an earlier process wrote it, and it is not as it was."""
    if not isinstance(value, Joined) or value.split.id not in active.old:
        return
    active.old.discard(value.split.id)
    with suppress(OSError):  # its consumer fails, and says so
        path, entries = active.workdir / value.split.list_path, joined_entries(value.split)
        if not lists.is_as_written(path, entries):
            write_list(path, entries)


def absent_outputs(run: Run, workdir: Path) -> list[str]:
    """Return what tasks that were left out should have made, and is needed and not there."""
    wanted: dict[str, None] = {}
    for made in _needed(run):
        path = made.task.output_path(made.port)
        if made.task.state is TaskState.OMITTED and not (workdir / path).exists():
            wanted[f"{made.task.id}.{made.port} ({path})"] = None
    return list(wanted)


def _look(active: ActiveRun, made: Made, missed: Missed, *, again: bool = False) -> None:
    """Add the maker to `missed` if what it made is not there any more."""
    task = made.task
    if task.state is TaskState.OMITTED:
        if not _is_there(active, made):
            path = task.output_path(made.port)
            missed[task.id] = (
                f"task '{task.id}' is left out, and its output {made.port} ({path}) is needed and "
                f"not there; give it with --given {task.id}.{made.port}=FILE, or run the task too"
            )
    elif task.is_finished and (again or _is_old(active, made)):
        outputs = task.outputs or {}
        looked_at = {
            port: one
            for port, one in outputs.items()
            if port == made.port or not task.spec.output(port).temporary
        }
        if len(looked_at) == len(outputs):
            active.old.discard(task.id)
        active.ports_seen.add((task.id, made.port))
        reason = gone(active.place.workdir, looked_at)
        if reason:
            missed[task.id] = reason


def _is_old(active: ActiveRun, made: Made) -> bool:
    """Tell whether nobody has looked at an output since an earlier process made it."""
    return made.task.id in active.old and (made.task.id, made.port) not in active.ports_seen


def _is_there(active: ActiveRun, value: Resolved) -> bool:
    path = text_of(value)
    return not path or not is_file(value) or (active.workdir / path).exists()


def _makers(value: Resolved, seen: set[SplitId]) -> Iterator[Made]:
    """Yield what tasks made of `value`; of a joined list not in `seen`, its entries.

    An element was made by what made its list.
    """
    match value:
        case Made():
            yield value
        case Joined(split=split) if split.id not in seen:
            seen.add(split.id)
            for branch in split.branches:
                for result in () if branch.failed else branch.results():
                    yield from _makers(result, seen)
        case Given(split=Split() as split):
            yield from _makers(split.iterated, seen)
        case _:
            pass


def _remake_item(active: ActiveRun, value: Given) -> Iterator[Made]:
    """Yield what tasks made of an element of a list; if the element is a list, write it again."""
    inside, split = value.branch, value.split
    if inside is None or split is None:
        return
    iterated = split.iterated
    lists.rewrite_item(active.workdir, split.id, inside.index, text_of(iterated) or "")
    if isinstance(iterated, Joined):
        for result in entered(iterated.split)[inside.index - 1].results():
            yield from _makers(result, set())
    else:
        yield from _makers(iterated, set())


def _needed(run: Run) -> Iterator[Made]:
    """Yield what tasks make and something else in the run needs, as far as it is known."""
    for task in run.tasks.values():
        if task.state is not TaskState.OMITTED and not task.tolerated:
            yield from (value for _, value in task.arguments() if isinstance(value, Made))
    for split in run.splits.values():
        if isinstance(split.iterated, Made):
            yield split.iterated
        if split.node.on_error == "fail" and not (split.tolerated or split.partial):
            yield from _makers(Joined(split), set())
