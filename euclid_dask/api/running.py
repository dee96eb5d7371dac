"""Runs from their beginning to their end, in this process."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import euclid_dask
from euclid_dask.api.preparing import prepare
from euclid_dask.api.profiles import keep, learn, profiles_of
from euclid_dask.api.results import RunResult, moved_to_now
from euclid_dask.api.settings import Script, Settings
from euclid_dask.core.errors import InputError, PipelineError
from euclid_dask.core.events import CancelRequested
from euclid_dask.core.flow import Flow
from euclid_dask.core.ids import TaskId
from euclid_dask.core.states import RUN_ENDED, RunState, TaskState
from euclid_dask.core.values import replace
from euclid_dask.dataflow.check import too_large
from euclid_dask.planner import Run
from euclid_dask.report.display import usual_display
from euclid_dask.report.words import counted
from euclid_dask.runner import views
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.again import dependents, reasons_again
from euclid_dask.runner.believed import believed_pilots
from euclid_dask.runner.changes import changes_since, request_like
from euclid_dask.runner.history import replay
from euclid_dask.runner.loop import Runner
from euclid_dask.runner.missing import results_gone
from euclid_dask.runner.recovery import resume_run
from euclid_dask.runner.signals import cancel_on_signals
from euclid_dask.runner.start import RunRequest, start_run
from euclid_dask.runner.workspace import Workspace
from euclid_dask.wiring import make_executor
from euclid_dask.worker.clock import SystemClock

if TYPE_CHECKING:
    from euclid_dask.pilots.site import Site


def run(
    script: Script,
    /,
    *,
    pkgrepo: str | Path | None = None,
    workdir: str | Path | None = None,
    isf: str | Path | None = None,
    settings: Settings | None = None,
    given: Mapping[str, str | Path] | None = None,
    **inputs: str | Path | None,
) -> RunResult:
    """Run a pipeline to its end.

    Work that an earlier run in the same workdir finished is not done again. `inputs` are files of
    the input ports, None for no file; they win over the data file `isf`. A port that is named like
    another argument is given with an underscore behind it: `settings_=FILE`. `given` maps
    `task.port` to a file that stands for that output, for tasks that do not run.

    Raises:
        PipelineError, InputError, SiteError: Nothing was run; the message says why.
    """
    settings = settings or Settings()
    request, warnings = prepare(
        script,
        pkgrepo=pkgrepo,
        workdir=workdir,
        isf=isf,
        settings=settings,
        given=given,
        inputs=inputs,
    )
    return start(request, settings, warnings)


def start(request: RunRequest, settings: Settings, warnings: Sequence[str] = ()) -> RunResult:
    """Start a run that was prepared, and carry it to its end.

    Raises:
        InputError, SiteError: Nothing was run; the message says why.
    """
    if settings.site:
        site = str(Path(settings.site).absolute())
        request = dataclasses.replace(request, options=replace(request.options, site=site))
    if not request.options.site:
        _refuse_too_large(request.flow, settings)
    active = start_run(request, SystemClock(), software=f"euclid_dask {euclid_dask.__version__}")
    return carry_out(active, settings, warnings)


def resume(
    workdir: str | Path, run_id: str | None = None, settings: Settings | None = None
) -> RunResult:
    """Go on with a run: the latest in the workdir, or the one named.

    If its script, its inputs or its programs have changed, a new run is started in its place: it
    takes over what has not changed, and says what runs again and why; so it is if a run that ended
    put up with failures (`on_error`), which are tried again. Results that are gone are made again.
    A run on the pilots of a site goes on there, unless the settings say otherwise.

    Raises:
        InputError: There is no such run.
        PipelineError, SiteError: It cannot go on; the message says why.
    """
    settings = settings or Settings()
    workspace = Workspace(Path(workdir).absolute())
    known = workspace.find(run_id)
    before = replay(workspace.files(known).journal)
    told = [f"changed since {known}: {one}" for one in changes_since(before, workspace.workdir)]
    settled = before.board.settled_failures() if before.state in RUN_ENDED else 0
    if settled:
        told.append(
            f"tried again: {counted(settled, 'task')} that {known} put up with the failure of"
        )
    if told:
        _end_on_pilots(before, workspace, settings)
        return start(request_like(before, workspace), settings, told)
    tasks, joined = results_gone(before, workspace.workdir)
    told += [f"made again: task '{task}', since {reason}" for task, reason in tasks.items()]
    told += [f"written again: {value.split.list_path}" for value in joined]
    if before.state is RunState.DONE and not told:
        moved_to_now(before, workspace)
        return RunResult(before, workspace.workdir, (f"{known} is done already",))
    if not before.options.site:
        _refuse_too_large(_rest(before, tasks), settings)
    active = resume_run(workspace, known, SystemClock())
    moved_to_now(active.run, workspace)
    return carry_out(active, settings, told)


def _rest(run: Run, again: Collection[TaskId]) -> Flow:
    """Return the flow of a run with the executables of what is still to run, or to run `again`."""
    if not all(split.expanded for split in run.splits.values()):
        return run.flow  # what a split holds is not known yet
    left = [task for task in run.tasks.values() if task.id in again or not task.is_finished]
    names = {task.node.executable for task in left}
    specs = {name: spec for name, spec in run.flow.executables.items() if name in names}
    return replace(run.flow, executables=specs)


def _refuse_too_large(flow: Flow, settings: Settings) -> None:
    """Refuse to run here what this machine does not hold; nothing has been done yet.

    Raises:
        PipelineError: Some task asks for more; the message says which, and where it is defined.
    """
    limit = settings.limit()
    if limit is not None and (found := list(too_large(flow, limit))):
        raise PipelineError("\n".join(str(problem) for problem in found))


def _end_on_pilots(before: Run, workspace: Workspace, settings: Settings) -> None:
    """Cancel a run whose tasks may still run on pilots, since another one takes its place."""
    living = believed_pilots(workspace)
    if any(bundle.pilot in living for bundle in before.bundles.values()):
        clock = SystemClock()
        active = resume_run(workspace, before.id, clock)
        reason = "another run takes its place"
        active.record(CancelRequested(at_s=clock.now_s(), reason=reason, now=True))
        carry_out(active, _unwatched(settings), ())


def _unwatched(settings: Settings) -> Settings:
    return dataclasses.replace(settings, progress=False, on_start=None, on_turn=None)


def rerun(
    workdir: str | Path,
    task: str,
    run_id: str | None = None,
    settings: Settings | None = None,
) -> RunResult:
    """Run a task again, and all that depends on it, in a new run that takes over all the rest.

    A new run, since a list that is made anew may have other elements. `task` is an id or an
    ending of one; `run_id` is the run to take from, the latest for None.

    Raises:
        InputError: There is no such run or task, or the run leaves the task out.
        PipelineError, SiteError: Nothing was run; the message says why.
    """
    settings = settings or Settings()
    workspace = Workspace(Path(workdir).absolute())
    before = replay(workspace.files(workspace.find(run_id)).journal)
    found = views.find_task(before, task)
    if found.state is TaskState.OMITTED:
        raise InputError(
            f"task '{found.id}' is left out of {before.id}, so it cannot run again there",
            hint="name a run that it is part of, or run the pipeline without --from and --skip",
        )
    request = request_like(before, workspace)
    again = dependents(before, found)
    request = dataclasses.replace(request, options=replace(request.options, again=again))
    return start(request, settings)


def carry_out(active: ActiveRun, settings: Settings, warnings: Sequence[str]) -> RunResult:
    """Carry a run to its end with a runner of this process; Ctrl-C cancels it."""
    is_watched = settings.on_start is not None or settings.on_turn is not None
    display = usual_display() if settings.progress and not is_watched else None
    if display is not None:
        settings = dataclasses.replace(settings, on_start=display.on_start, on_turn=display.on_turn)
    if settings.executor == "auto" and not settings.site:
        settings = dataclasses.replace(settings, site=active.run.options.site or None)
    try:
        site = settings.read_site()
        store = profiles_of(active.workspace, settings, site)
        runner = _runner(active, settings, site)
        learn(active.run, store)
        runner.add(active)
        if settings.on_start is not None:
            settings.on_start(active, runner)
        with cancel_on_signals(runner, spare_pilots=settings.spare_pilots and site is not None):
            runner.run_until_ended()
    finally:
        if display is not None:
            display.end()
        active.close()
    keep(active.workspace, store)
    why = reasons_again(active.run, active.earlier)
    told = (*warnings, *_look_after_inputs(active, settings))
    return RunResult(active.run, active.workspace.workdir, told, reruns=why)


def _look_after_inputs(active: ActiveRun, settings: Settings) -> Sequence[str]:
    """Return warnings of inputs that were asked for and that the run's tasks changed."""
    if not active.run.options.answers:
        return ()
    from euclid_dask.api.asking import ended  # noqa: PLC0415  few runs ask

    return ended(active.run, active.workspace.workdir, settings)


def _runner(active: ActiveRun, settings: Settings, site: "Site | None") -> Runner:
    """Return what carries out a run: here, or on pilots of the site that it belongs to.

    Raises:
        InputError: Tasks of it may still run on pilots, and it is to be carried out elsewhere.
        SiteError: The site cannot be used.
    """
    clock = SystemClock()
    if site is not None:
        source = active.place.source
        from euclid_dask.wiring.sites import make_pilots  # noqa: PLC0415  fast start

        executor, desk = make_pilots(site, active.workspace, clock, source=source)
        return Runner(executor, clock, on_turn=settings.on_turn, pilots=desk)
    if active.adopted:
        raise InputError(
            f"tasks of {active.run.id} may still run on pilots, which {settings.executor} "
            "knows nothing of",
            hint=f"go on at its site: --site {active.run.options.site}",
        )
    executor = make_executor(settings.executor, settings.offer(), settings.scheduler_patience_s)
    return Runner(executor, clock, on_turn=settings.on_turn)
