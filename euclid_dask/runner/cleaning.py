"""Removing what the engine and its tasks made in a workdir, and nothing else.

What is removed: declared outputs of tasks, the files that these name (data files of products,
entries of lists) if they were written while the task ran, joined lists, logs, and our own records.
What stays: inputs and all that they name, links, and every file that nobody declared.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final

from euclid_dask.core.errors import EuclidDaskError
from euclid_dask.core.states import RUN_ENDED
from euclid_dask.planner.nodes import Task
from euclid_dask.planner.run import Run
from euclid_dask.runner.history import replay
from euclid_dask.runner.recovery import end_processes
from euclid_dask.runner.traces import HOST_TRACES
from euclid_dask.runner.workspace import Lock, Workspace
from euclid_dask.worker.lists import read_list
from euclid_dask.worker.products import file_names

TRIES: Final = 5
PAUSE_S: Final = 0.2
SLACK_S: Final = 2.0
"""How far the clock of a file server may be off."""
_TRANSIENT: Final = frozenset({errno.ENOTEMPTY, errno.EBUSY, errno.EAGAIN, errno.ESTALE})


@dataclass(slots=True)
class CleaningPlan:
    """What is to be removed, and what stays. Paths are absolute.

    `unknown` are files in folders of tasks that nobody declared; `folders` are removed only when
    they are empty by then.
    """

    files: list[Path] = field(default_factory=list)
    trees: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)
    size_bytes: int = 0


@contextmanager
def cleaning(
    workspace: Workspace, *, keep_outputs: bool = False
) -> Iterator[tuple[CleaningPlan, Callable[[], list[str]]]]:
    """Give what can be removed from a workdir, and the function that does it.

    The function returns what could not be removed. Meanwhile nobody can run there.

    Raises:
        InputError: No run was started there.
        WorkdirError: A runner works there.
        JournalError: A journal cannot be read, so that nobody knows what its run made.
    """
    workspace.find(None)
    lock = Lock.take(workspace)
    try:
        runs = [replay(workspace.files(run_id).journal) for run_id in workspace.runs()]
        for run in runs:
            if run.state not in RUN_ENDED:
                end_processes(run.id, HOST_TRACES)
        plan = plan_cleaning(workspace, runs, keep_outputs=keep_outputs)
        yield plan, lambda: clean(plan)
    finally:
        lock.release()


def plan_cleaning(workspace: Workspace, runs: Iterable[Run], *, keep_outputs: bool) -> CleaningPlan:
    """Return what can be removed from a workdir in which `runs` worked."""
    workdir = workspace.workdir
    kept: set[Path] = set()
    made: set[Path] = set()
    ours: set[Path] = set()
    others: set[Path] = set()
    logs: set[Path] = set()
    for run in runs:
        facts = run.board.facts
        asides = [file.path for file in (*facts.inputs.values(), *facts.given.values())]
        if keep_outputs:
            asides += run.outputs().values()
        for path in asides:
            kept |= _with_named(workdir, path)
        made |= _made(run, workdir)
        ours |= _folders(run, workdir)
        logdir = workdir / run.place.logdir
        logs |= {logdir / task for task in run.tasks}
        others |= {logdir, workdir / "data"}
    plan = CleaningPlan(
        files=sorted(path for path in made - kept if path.is_file() and not path.is_symlink()),
        trees=sorted(path for path in (*logs, workspace.records) if path.is_dir()),
        folders=sorted(ours | others, key=lambda folder: -len(folder.parts)),
        unknown=sorted(
            path
            for folder in ours
            for path in folder.rglob("*")
            if not path.is_dir() and path not in made and path not in kept
        ),
    )
    plan.size_bytes = sum(map(_size, plan.files))
    plan.size_bytes += sum(_size(path) for tree in plan.trees for path in tree.rglob("*"))
    return plan


def clean(plan: CleaningPlan) -> list[str]:
    """Carry out a plan; return what could not be removed, with the reason.

    What a slow file system refuses at first is tried again.
    """
    problems = [problem for path in plan.files for problem in _tried(path, path.unlink)]
    for tree in plan.trees:
        problems += _tried(tree, lambda tree=tree: shutil.rmtree(tree))  # type: ignore[misc]
    for folder in plan.folders:
        with suppress(OSError):  # something that nobody declared is in it
            folder.rmdir()
    return problems


def _tried(path: Path, remove: Callable[[], object]) -> Iterator[str]:
    pause = Event()
    for left in reversed(range(TRIES)):
        try:
            remove()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in _TRANSIENT or not left:
                yield f"{error.filename or path}: {error.strerror}"
                return
            pause.wait(PAUSE_S)
        else:
            return


def _made(run: Run, workdir: Path) -> set[Path]:
    """Return the files that the tasks of a run made, and the lists that we wrote for it."""
    found: set[Path] = set()
    named: list[tuple[Task, Path]] = []
    given = {file.path for file in run.board.facts.given.values()}
    for task in run.tasks.values():
        for port in task.spec.outputs:
            path = task.output_path(port.name)
            if path not in given:
                found.add(workdir / path)
                named += [(task, file) for file in _with_named(workdir, path)]
    for split in run.splits.values():
        found.add(workdir / split.list_path)
        items = [branch.scope.item for branch in split.branches]
        paths = [item.path for item in items if item is not None]
        found |= {workdir / path for path in paths if path.startswith(f"{split.id}.map/")}
    return found | {path for task, path in named if _is_of(task, path)}


def _is_of(task: Task, path: Path) -> bool:
    """Tell whether a file that an output of `task` names was written while the task ran."""
    try:
        found = path.lstat()
    except OSError:
        return False
    times_s = (found.st_mtime, found.st_ctime)
    return all(task.started_s <= time_s <= task.ended_s + SLACK_S for time_s in times_s)


def _folders(run: Run, workdir: Path) -> set[Path]:
    """Return the folders that were made for tasks and splits of a run."""
    found = {workdir / task for task in run.tasks}
    found |= {workdir / f"{split}{kind}" for split in run.splits for kind in (".reduce", ".map")}
    return {folder for folder in found if folder.is_dir()}


def _with_named(workdir: Path, path: str) -> set[Path]:
    """Return a file of the workdir, and all files in the workdir that it names."""
    found: set[Path] = set()
    work = [workdir / path] if path else []
    while work:
        file = work.pop()
        if file in found or ".." in file.parts or not file.is_relative_to(workdir):
            continue
        found.add(file)
        if file.is_file():
            work += _named(workdir, file)
    return found


def _named(workdir: Path, file: Path) -> list[Path]:
    try:
        if file.suffix == ".xml":
            return [workdir / "data" / name for name in file_names(file)]
        if file.suffix == ".json":
            return [workdir / entry for entry in _texts(read_list(file))]
    except (OSError, ValueError, EuclidDaskError):
        pass  # neither a product nor a list
    return []


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
