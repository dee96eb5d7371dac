"""Removing what the engine and its tasks made in a workdir, and nothing else.

What is removed: outputs as the tasks left them, the files that these name (data files of products,
entries of lists) if they were written while the task ran, joined lists, logs of attempts, and our
own records. What stays: inputs and all that they name, links, outputs that somebody changed or
gave, and every file that nobody declared.

There are many files, so paths are texts here.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Event
from typing import Final

from euclid_dask.core.attempts import Fingerprint
from euclid_dask.core.errors import WorkdirError
from euclid_dask.core.ids import RunId
from euclid_dask.core.states import RUN_ENDED, SplitState
from euclid_dask.planner.nodes import Task
from euclid_dask.planner.run import Run
from euclid_dask.runner.believed import believed_pilots
from euclid_dask.runner.history import readable
from euclid_dask.runner.recovery import end_processes
from euclid_dask.runner.traces import HOST_TRACES
from euclid_dask.runner.workspace import LOCK, Lock, Workspace
from euclid_dask.worker.fingerprints import named_by

TRIES: Final = 5
PAUSE_S: Final = 0.2
SLACK_S: Final = 2.0
"""How far the clock of a file server may be off."""
_TRANSIENT: Final = frozenset({errno.ENOTEMPTY, errno.EBUSY, errno.EAGAIN, errno.ESTALE})
_LOG: Final = re.compile(r"(stdout|stderr)(\.\d+)?\.log")


@dataclass(slots=True)
class CleaningPlan:
    """What is to be removed, and what stays. Paths are absolute.

    `unknown` are files in folders of tasks that nobody declared, or that were changed; `folders`
    are removed only when they are empty by then. `damaged` are runs of whose journal only a
    beginning can be read: what they made later stays.
    """

    records: str
    files: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    damaged: list[RunId] = field(default_factory=list)
    size_bytes: int = 0


def _ask_nobody(site: str) -> None:
    """Believe that pilots end with the last run."""


@contextmanager
def cleaning(
    workspace: Workspace,
    *,
    keep_outputs: bool = False,
    refuse_pilots: Callable[[str], None] = _ask_nobody,
) -> Iterator[tuple[CleaningPlan, Callable[[], list[str]]]]:
    """Give what can be removed from a workdir, and the function that does it.

    The function returns what could not be removed. Meanwhile nobody can run there. Where all runs
    have ended but pilots were not seen to, `refuse_pilots` is called with each site file of a run:
    it is to raise if pilots live.

    Raises:
        InputError: No run was started there.
        WorkdirError: A runner works there, or pilots may.
        JournalError: The journal of pilots cannot be read, so that nobody knows whether they live.
    """
    workspace.find(None)
    lock = Lock.take(workspace)
    try:
        known = {run_id: readable(workspace.files(run_id).journal) for run_id in workspace.runs()}
        living = believed_pilots(workspace)
        for run_id, (run, is_whole) in known.items():
            if run is None or run.state not in RUN_ENDED or not is_whole:
                _refuse_pilots(workspace, run_id, living)
                end_processes(run_id, HOST_TRACES)
        runs = [run for run, _ in known.values() if run is not None]
        for site in {run.options.site for run in runs if living} - {""}:
            refuse_pilots(site)
        plan = plan_cleaning(workspace, runs, keep_outputs=keep_outputs)
        plan.damaged = [run_id for run_id, (_, is_whole) in known.items() if not is_whole]
        yield plan, lambda: clean(plan)
    finally:
        lock.release()


def plan_cleaning(workspace: Workspace, runs: Iterable[Run], *, keep_outputs: bool) -> CleaningPlan:
    """Return what can be removed from a workdir in which `runs` worked."""
    workdir = str(workspace.workdir)
    kept: set[str] = set()
    made: set[str] = set()
    ours: set[str] = set()
    others: set[str] = {f"{workdir}/data"}
    for run in runs:
        kept |= _kept(run, workdir, keep_outputs=keep_outputs)
        made |= _made(run, workdir)
        ours |= _folders(run, workdir)
        logdir = os.path.join(workdir, run.place.logdir)  # noqa: PTH118
        if _is_below(logdir, workdir):
            logs = {f"{logdir}/{task}" for task in run.tasks}
            made |= {path for folder in logs for path in _files_below(folder) if _is_log(path)}
            ours |= logs
            others.add(logdir)
    real = cache(os.path.realpath)
    kept |= {real(path) for path in kept}

    def stays(path: str) -> bool:
        folder, name = os.path.split(path)
        return path in kept or f"{real(folder)}/{name}" in kept

    plan = CleaningPlan(records=str(workspace.records))
    removed = {path for path in made if _is_file(path) and not stays(path)}
    found = {path for folder in ours for path in _files_below(folder)}
    plan.logs = sorted(filter(_is_log, removed))
    plan.files = sorted(removed.difference(plan.logs))
    plan.unknown = sorted(path for path in found - removed if not stays(path))
    plan.folders = sorted(ours | others, key=lambda folder: -folder.count("/"))
    plan.size_bytes = sum(map(_size, (*removed, *_files_below(plan.records))))
    return plan


def clean(plan: CleaningPlan) -> list[str]:
    """Carry out a plan; return what could not be removed, with the reason.

    What a slow file system refuses at first is tried again. The lock goes last: who waits for it
    finds it gone, and takes a new one.
    """
    problems: list[str] = []
    for path in (*plan.files, *plan.logs):
        problems += _tried(path, os.unlink)
    lock = f"{plan.records}/{LOCK}"
    for entry in os.scandir(plan.records):
        if entry.path != lock:
            is_folder = entry.is_dir(follow_symlinks=False)
            problems += _tried(entry.path, shutil.rmtree if is_folder else os.unlink)
    problems += _tried(lock, os.unlink)
    for folder in (plan.records, *plan.folders):
        with suppress(OSError):  # something that nobody declared is in it
            os.rmdir(folder)  # noqa: PTH106
    return problems


def _refuse_pilots(workspace: Workspace, run_id: RunId, living: Iterable[str]) -> None:
    if living:
        raise WorkdirError(
            f"{run_id} has not ended, and pilots of it may live: {', '.join(sorted(living))}",
            hint=f"go on with it: euclid-dask resume {workspace.workdir}; Ctrl-C cancels it there",
        )


def _tried(path: str, remove: Callable[[str], object]) -> Iterator[str]:
    for left in reversed(range(TRIES)):
        try:
            remove(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in _TRANSIENT or not left:
                yield f"{error.filename or path}: {error.strerror}"
                return
            Event().wait(PAUSE_S)
        else:
            return


def _kept(run: Run, workdir: str, *, keep_outputs: bool) -> set[str]:
    """Return the inputs of a run, and its outputs if they are to be kept, with all they name."""
    facts = run.board.facts
    paths = [file.path for file in (*facts.inputs.values(), *facts.given.values())]
    if keep_outputs:
        paths += run.outputs().values()
    return {file for path in paths for file in _with_named(workdir, path)}


def _made(run: Run, workdir: str) -> set[str]:
    """Return the files that the tasks of a run made, and the lists that we wrote for it."""
    found: set[str] = set()
    for task in run.tasks.values():
        outputs = task.outputs or {}
        for port in task.spec.outputs:
            path = task.output_path(port.name)
            left = outputs.get(port.name)
            if task.given(port.name) or not _is_as_left(task, workdir, path, left):
                continue
            found.add(f"{workdir}/{path}")
            if left is None or left.named:
                named = _with_named(workdir, path)
                found |= {file for file in named if _is_of(task, file)}
    for split in run.splits.values():
        if split.state is SplitState.DONE and not split.partial:
            found.add(f"{workdir}/{split.list_path}")
        items = [branch.scope.item for branch in split.branches]
        paths = [item.path for item in items if item is not None]
        found |= {f"{workdir}/{path}" for path in paths if path.startswith(f"{split.id}.map/")}
    return found


def _is_as_left(task: Task, workdir: str, path: str, left: Fingerprint | None) -> bool:
    """Tell whether a task was started or taken over, and the file is as it was then.

    What a task left that did not succeed is not known.
    """
    if left is None:
        return task.attempt > 0
    try:
        found = os.lstat(f"{workdir}/{path}")
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (left.size, left.mtime_ns)


def _is_of(task: Task, path: str) -> bool:
    """Tell whether a file that an output of `task` names was written while the task ran."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    times_s = (found.st_mtime, found.st_ctime)
    return all(task.started_s <= time_s <= task.ended_s + SLACK_S for time_s in times_s)


def _folders(run: Run, workdir: str) -> set[str]:
    """Return the folders that may have been made for tasks and splits of a run."""
    found = {f"{workdir}/{task}" for task in run.tasks}
    return found | {
        f"{workdir}/{split}{kind}" for split in run.splits for kind in (".reduce", ".map")
    }


def _with_named(workdir: str, path: str) -> set[str]:
    """Return a file of the workdir, and all files in the workdir that it names."""
    found: set[str] = set()
    work = [path] if path else []
    while work:
        name = work.pop()
        file = os.path.join(workdir, name)  # noqa: PTH118
        if file in found or ".." in name.split("/") or not file.startswith(f"{workdir}/"):
            continue
        found.add(file)
        work += named_by(Path(workdir), name, look=name == path)
    return found


def _is_below(path: str, workdir: str) -> bool:
    """Tell whether a path leads to a place in the workdir, links included."""
    return os.path.realpath(path).startswith(f"{os.path.realpath(workdir)}/")


def _is_file(path: str) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)  # noqa: PTH113, PTH114


def _is_log(path: str) -> bool:
    return _LOG.fullmatch(os.path.basename(path)) is not None  # noqa: PTH119


def _files_below(folder: str) -> list[str]:
    """Return all that is no folder below a folder; nothing of one behind a link."""
    if os.path.islink(folder):  # noqa: PTH114
        return []
    found: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found += _files_below(entry.path)
            else:
                found.append(entry.path)
    return found


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
