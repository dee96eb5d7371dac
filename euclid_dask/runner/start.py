"""How a run begins: workdir, lock, inputs, earlier work, and the first line of the journal."""

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Final

from euclid_dask.core.attempts import Place
from euclid_dask.core.effects import ReadList
from euclid_dask.core.errors import EuclidDaskError, InputError, unwritable
from euclid_dask.core.events import (
    JOURNAL_VERSION,
    IdentityBy,
    InputFile,
    RunOptions,
    RunStarted,
    SplitFailed,
)
from euclid_dask.core.flow import Flow
from euclid_dask.core.ids import RunId
from euclid_dask.core.seams import Clock, Traces
from euclid_dask.core.states import RUN_ENDED, TaskState
from euclid_dask.core.values import replace
from euclid_dask.dataflow.select import BRANCH, select, template
from euclid_dask.dataflow.steps import tasks
from euclid_dask.planner.nodes import Given, Made, Resolved
from euclid_dask.planner.orders import text_of
from euclid_dask.planner.run import Run
from euclid_dask.runner import lists
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.earlier import EarlierRun, Known, earlier_runs, write_index
from euclid_dask.runner.journal import Journal
from euclid_dask.runner.missing import absent_outputs
from euclid_dask.runner.programs import program_versions
from euclid_dask.runner.recovery import end_processes, settle
from euclid_dask.runner.staging import stage_inputs
from euclid_dask.runner.traces import HOST_TRACES
from euclid_dask.runner.workspace import RECORDS, Lock, Workspace, begun_of, unusable
from euclid_dask.worker.fingerprints import file_identity

_MOMENT: Final = "%Y%m%dT%H%M%S.%f"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a caller wants to run.

    `inputs` maps ports to files or None; relative ones are looked for in
    the port's folder of `search_first`, if any, and then in `search`. `place` holds
    limits and environment; its paths are filled in here. `fresh` means: look at no earlier run.
    `traces` say how attempts ended whose news is missing.
    """

    flow: Flow
    inputs: Mapping[str, str | None]
    workdir: Path
    search: Sequence[Path] = ()
    search_first: Mapping[str, Path] = field(default_factory=dict)
    logdir: str = "logs"
    options: RunOptions = field(default_factory=RunOptions)
    source: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    enforce_ram: bool = True
    enforce_walltime: bool = True
    grace_s: float = 3.0
    sample_interval_s: float = 1.0
    identity_by: IdentityBy = "mtime"
    fresh: bool = False
    traces: Traces = HOST_TRACES


def start_run(request: RunRequest, clock: Clock, *, software: str) -> ActiveRun:
    """Begin a run.

    Raises:
        InputError: Inputs are missing, or a name is not UTF-8.
        WorkdirError: The workdir cannot be used, or another runner works there.
    """
    workspace = Workspace(request.workdir.absolute())
    try:
        str(workspace.workdir).encode()
        return _start_locked(request, workspace, clock, software)
    except UnicodeEncodeError as error:
        raise unwritable(error) from error


def _start_locked(
    request: RunRequest, workspace: Workspace, clock: Clock, software: str
) -> ActiveRun:
    lock = Lock.take(workspace)
    try:
        with workspace.unless_refused(lock.made, lock):
            return _start(request, workspace, lock, clock, software)
    except BaseException:
        lock.release()
        raise


def plan_run(request: RunRequest, clock: Clock, made: set[Path] | None = None) -> Run:
    """Return a run that is not carried out here: its inputs are staged and its lists read.

    It has no records. Splits over lists that are there are expanded. Links and folders that were
    not there are added to `made`.

    Raises:
        InputError: Inputs or outputs of left-out tasks are missing, or a list cannot be read.
        WorkdirError: The workdir cannot be used.
    """
    workspace = Workspace(request.workdir.absolute())
    made = set() if made is None else made
    made.update(workspace.create())
    with workspace.unless_refused(made):
        return _foreseen(_begin(request, workspace, clock, "", made), workspace.workdir)


def _start(
    request: RunRequest, workspace: Workspace, lock: Lock, clock: Clock, software: str
) -> ActiveRun:
    started = _begin(request, workspace, clock, software, lock.made)
    files = workspace.files(started.run)
    for before in earlier_runs(workspace):
        if not before.is_indexed:
            _look_back(before, workspace, lock, clock, request.traces)
    earlier = earlier_runs(workspace)  # none of them is kept whole
    run = Run(started)
    if run.board.selection.omitted:
        _foreseen(started, workspace.workdir)
    make_folders(request, started.run, lock.made)
    try:
        journal = Journal.create(files.journal, started)
        journal.sync()
        sync_folder(files.folder)
    except OSError as error:
        shutil.rmtree(files.folder, ignore_errors=True)
        raise unusable(workspace.workdir, error) from error
    return ActiveRun(
        run=run,
        journal=journal,
        place=started.place,
        workspace=workspace,
        lock=lock,
        traces=request.traces,
        known=Known(earlier, started.options),
        earlier=() if started.options.fresh else tuple(earlier),
    )


def _look_back(
    before: EarlierRun, workspace: Workspace, lock: Lock, clock: Clock, traces: Traces
) -> None:
    """End what is left of an earlier run, and write its index unless it is unreadable."""
    try:
        run = before.replayed()
    except EuclidDaskError:
        end_processes(before.id, traces)
        return
    if run.state in RUN_ENDED:
        write_index(workspace.files(run.id), run)
    else:
        settle(workspace, run, lock, clock, traces)


def _begin(
    request: RunRequest, workspace: Workspace, clock: Clock, software: str, made: set[Path]
) -> RunStarted:
    """Stage the inputs; return the first event of the run."""
    workdir = workspace.workdir
    _refuse_logdir(request)
    search = [*request.search, workdir]
    first, taken = request.search_first, _taken(request)
    staged = stage_inputs(workdir, request.inputs, search, first, taken, made)
    inputs = {
        port: InputFile(
            path=path, identity=file_identity(workdir, path, request.identity_by) if path else ""
        )
        for port, path in staged.items()
    }
    options = replace(
        request.options,
        versions=program_versions(request.flow, workdir, request.source, request.environment),
        identity_by=request.identity_by,
        fresh=request.fresh or request.options.fresh,
    )
    at_s = clock.now_s()
    run_id = new_run_id(request.flow.name, at_s, after=workspace.runs()[-1:])
    return RunStarted(
        at_s=at_s,
        run=run_id,
        flow=request.flow,
        inputs=inputs,
        place=place_of(request, workspace, run_id),
        options=options,
        journal_version=JOURNAL_VERSION,
        software=software,
    )


def _foreseen(started: RunStarted, workdir: Path) -> Run:
    """Return the run as it is before any task runs: splits over lists that are there are open.

    Raises:
        InputError: A list cannot be read, or an output is needed whose task was left out.
    """
    run = Run(started)
    _refuse_absent(run, workdir)
    while known := [split for split in run.board.reading.values() if _is_there(split.iterated)]:
        for split in known:
            effect = ReadList(run=run.id, split=split.id, path=text_of(split.iterated) or "")
            event = lists.read(run, workdir, effect, started.at_s)
            if isinstance(event, SplitFailed):
                raise InputError(event.reason)
            run.apply(event)
        _refuse_absent(run, workdir)
    return run


def _is_there(value: Resolved) -> bool:
    """Tell whether `value` is there before the run."""
    return isinstance(value, Given) or (
        isinstance(value, Made) and value.task.state is TaskState.OMITTED
    )


def _refuse_absent(run: Run, workdir: Path) -> None:
    absent = absent_outputs(run, workdir)
    if absent:
        more = f" and {len(absent) - 20:,} more" if len(absent) > 20 else ""
        raise InputError(
            "outputs of tasks that are left out are needed and not there: "
            + ", ".join(absent[:20])
            + more,
            hint="give a file for each (--given TASK.PORT=FILE), or run these tasks too",
        )


def make_folders(request: RunRequest, run: RunId, made: set[Path] | None = None) -> None:
    """Make the folders of a run, with a copy of its script; that of data may be added to `made`.

    Raises:
        WorkdirError: That is not possible.
    """
    workspace = Workspace(request.workdir.absolute())
    files, data = workspace.files(run), workspace.workdir / "data"
    try:
        files.script.mkdir(parents=True)
        files.attempts.mkdir()
        if made is not None and not data.exists():
            made.add(data)
        data.mkdir(exist_ok=True)
        if request.flow.script and Path(request.flow.script).is_file():
            shutil.copy2(request.flow.script, files.script)
    except OSError as error:
        shutil.rmtree(files.folder, ignore_errors=True)
        raise unusable(workspace.workdir, error) from error


def _taken(request: RunRequest) -> dict[str, str]:
    """Return the names in the workdir that are those of folders: template paths, and whose.

    With a slash at its end it is a folder in which files are written over.
    """
    logdir, options = PurePath(request.logdir), request.options
    known = tasks(request.flow)
    part = {"until": options.until, "start": options.from_, "skip": options.skip}
    runs = select(request.flow, **part) if known else frozenset()
    return {
        **{f"{path}/": f"the folder of task '{path}'" for path in runs},
        **{
            f"{split}{kind}/": f"the folder of lists of split '{split}'"
            for path in runs
            for split in _splits_around(path)
            for kind in (".reduce", ".map")
        },
        **{path: f"the folder of task '{path}'" for path in known},
        **{str(folder): "the folder of logs" for folder in (logdir, *logdir.parents)},
        "data": "the folder of data files",
        RECORDS: "the folder of our records",
        f"{RECORDS}/": "the folder of our records",
    }


def _splits_around(path: str) -> list[str]:
    """Return the template paths of the splits that a task is in."""
    parts = path.split(BRANCH)
    return [BRANCH.join(parts[:count]) for count in range(1, len(parts))]


def _refuse_logdir(request: RunRequest) -> None:
    """Refuse a folder of logs that is not one of its own, inside the workdir.

    Raises:
        InputError: It is not.
    """
    logdir = PurePath(request.logdir)
    first = logdir.parts[0] if logdir.parts else ""
    owners = {**tasks(request.flow), "data": "", RECORDS: ""}
    if logdir.is_absolute() or not first or ".." in logdir.parts or template(first) in owners:
        taken = f": it is the folder of task '{first}'" if first in tasks(request.flow) else ""
        raise InputError(
            f"the folder of logs cannot be {request.logdir!r}{taken}",
            hint="give one of its own, relative to the workdir: --logdir task_logs",
        )


def place_of(request: RunRequest, workspace: Workspace, run: RunId) -> Place:
    """Return where attempts of a run work, and how."""
    return Place(
        run=run,
        workdir=str(workspace.workdir),
        logdir=request.logdir,
        records=str(workspace.files(run).attempts),
        source=request.source,
        environment=dict(request.environment),
        enforce_ram=request.enforce_ram,
        enforce_walltime=request.enforce_walltime,
        grace_s=request.grace_s,
        sample_interval_s=request.sample_interval_s,
        digests=request.identity_by == "content",
    )


def new_run_id(name: str, at_s: float, after: Sequence[RunId] = ()) -> RunId:
    """Return an id for a run that begins at `at_s`; ids of one workdir sort by their times.

    It sorts behind those of `after`, whatever the clock says.
    """
    begun = _moment(at_s)
    for before in after:
        latest = begun_of(before)
        with suppress(ValueError):
            moment = datetime.strptime(f"{latest}+0000", f"{_MOMENT}%z")
            begun = max(begun, _moment(moment.timestamp() + 0.001))
    return RunId(f"{name}-{begun}-{secrets.token_hex(2)}")


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(round(at_s, 3), UTC).strftime(_MOMENT)[:-3]


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder, and its own name, are on disk."""
    for path in (folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
