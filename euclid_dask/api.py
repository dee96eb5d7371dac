"""Running pipelines from Python: what the command line, scripts and notebooks call.

result = run("pipeline.py", workdir="w", image="raw.fits")
result.outputs, result.failures
"""

import dataclasses
import os
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import euclid_dask
from euclid_dask.core.errors import InputError, PipelineError
from euclid_dask.core.events import IdentityBy, InputFile, RunOptions
from euclid_dask.core.flow import Flow
from euclid_dask.core.resources import Resources
from euclid_dask.core.states import RUN_ENDED, RunState
from euclid_dask.core.values import replace
from euclid_dask.dataflow.check import Problem, Severity
from euclid_dask.dataflow.check import check as check_flow
from euclid_dask.dsl import LoadedPipeline, PipelineFunction
from euclid_dask.dsl import load as load_script
from euclid_dask.planner.lowering import static_part
from euclid_dask.planner.run import Run
from euclid_dask.report.notebook import NotebookProgress, in_notebook
from euclid_dask.runner import views
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.again import dependents, forget, reasons_again
from euclid_dask.runner.changes import changes_since, request_like
from euclid_dask.runner.environments import read_environments, sourcing_script
from euclid_dask.runner.fingerprints import file_identity
from euclid_dask.runner.history import earlier_runs, replay
from euclid_dask.runner.isf import Isf, parse_isf
from euclid_dask.runner.loop import OnTurn, Runner
from euclid_dask.runner.recovery import resume_run
from euclid_dask.runner.signals import cancel_on_signals
from euclid_dask.runner.start import RunRequest, plan_run, start_run
from euclid_dask.runner.workspace import Workspace
from euclid_dask.wiring import machine, make_executor
from euclid_dask.worker.clock import SystemClock

if TYPE_CHECKING:
    from euclid_dask.executors.dask.lower import Lowered

Script = str | Path | PipelineFunction | LoadedPipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run, whatever is run. None means: by this machine.

    `executor` is "dask", "inline" or the address of a Dask scheduler. `identity_by` says how input
    files are compared: "mtime" (size and mtime) or "content" (SHA-256).
    """

    executor: str = "dask"
    cores: float | None = None
    ram_bytes: int | None = None
    policy: str = "fifo"
    science_retries: int = 0
    lost_retries: int = 5
    until: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    fuse: bool = True
    group: bool = True
    fresh: bool = False
    identity_by: IdentityBy = "mtime"
    enforce_ram: bool = True
    enforce_walltime: bool = True
    grace_s: float = 5.0
    source: str = ""
    environments: Path | None = None
    logdir: str | None = None
    on_start: "Callable[[ActiveRun, Runner], None] | None" = None
    on_turn: OnTurn | None = None

    def offer(self) -> Resources:
        """Return what tasks may use on this machine."""
        return machine(self.cores, self.ram_bytes)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found. `problems` are errors, warnings and notices, errors first."""

    flow: Flow
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the pipeline from running."""
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that are worth a look."""
        return tuple(p for p in self.problems if p.severity is not Severity.ERROR)


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run that ended, or as far as it got."""

    run: Run = field(repr=False)
    workdir: Path
    warnings: tuple[str, ...] = ()
    reruns: Mapping[str, int] = field(default_factory=dict)
    address: str = ""

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def state(self) -> str:
        """How the run stands: done, failed, cancelled."""
        return str(self.run.state)

    @property
    def outputs(self) -> dict[str, Path]:
        """The outputs of the pipeline that exist, as absolute paths."""
        return {name: self.workdir / path for name, path in self.run.outputs().items()}

    @property
    def failures(self) -> tuple[views.FailureView, ...]:
        """The failed tasks and splits."""
        return tuple(views.failures(self.run))

    def summary(self) -> views.Summary:
        """Return the run in one value, with paths relative to the workdir."""
        return views.summary(self.run, self.warnings)

    def profile(self) -> list[dict[str, Any]]:
        """Return a row for each task that ran: what it used, in seconds and bytes."""
        return [
            {
                "task": task.id,
                "executable": task.node.executable,
                "state": str(task.state),
                "attempts": task.attempt,
                "started_s": task.started_s,
                "wall_s": task.profile.wall_s,
                "cpu_s": task.profile.cpu_s,
                "peak_ram_bytes": task.profile.peak_ram_bytes,
                "read_bytes": task.profile.read_bytes,
                "written_bytes": task.profile.written_bytes,
            }
            for task in self.run.tasks.values()
            if task.profile is not None
        ]

    def _repr_html_(self) -> str:
        counts = views.counts(self.run)
        rows = "".join(
            f"<tr><td>{name}</td><td><code>{path}</code></td></tr>"
            for name, path in self.run.outputs().items()
        )
        return (
            f"<b>{self.id}</b>: {self.state}, {counts.done} tasks done, "
            f"{counts.skipped} skipped, {counts.failed} failed, {counts.blocked} blocked"
            f"<table>{rows}</table>"
        )


def load(script: Script, pkgrepo: str | Path | None = None) -> LoadedPipeline:
    """Return the traced pipeline of a script file or a pipeline function.

    Raises:
        PipelineError: The script is wrong; the message has file, line and a hint.
        InputError: It is not there.
    """
    if isinstance(script, LoadedPipeline):
        return script
    if isinstance(script, PipelineFunction):
        return script.trace()
    return load_script(Path(script), Path(pkgrepo) if pkgrepo is not None else None)


def check(
    script: Script,
    *,
    pkgrepo: str | Path | None = None,
    isf: str | Path | None = None,
    offer: Resources | None = None,
    **inputs: str | Path | None,
) -> CheckReport:
    """Check a pipeline without running it: wiring, names, resources, and inputs if any are given.

    Raises:
        PipelineError, InputError: The script or the data file cannot be read at all.
    """
    data = read_isf(isf)
    loaded = load(script, pkgrepo or data.settings.get("pkgRepository"))
    given = {**data.ports, **inputs} if isf is not None or inputs else None
    return report(loaded, given, offer or machine())


def report(
    loaded: LoadedPipeline, given: Mapping[str, object] | None, offer: Resources
) -> CheckReport:
    """Return all problems of a loaded pipeline."""
    found = check_flow(loaded.flow, limit=offer, given=given)
    told = [Problem(severity=Severity.WARNING, message=text) for text in loaded.warnings]
    told += [Problem(severity=Severity.NOTICE, message=text) for text in loaded.notices]
    return CheckReport(loaded.flow, (*found, *told))


def run(
    script: Script,
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
    the input ports, None for no file; they win over the data file `isf`. `given` maps
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
    active = start_run(request, SystemClock(), software=f"euclid_dask {euclid_dask.__version__}")
    return carry_out(active, settings, warnings)


def to_dask(
    script: Script,
    *,
    pkgrepo: str | Path | None = None,
    workdir: str | Path | None = None,
    isf: str | Path | None = None,
    settings: Settings | None = None,
    annotate_resources: bool = False,
    **inputs: str | Path | None,
) -> "Lowered":
    """Lower the static part of a pipeline to one Dask graph, for a cluster of your own.

    Compute its `outputs` (or `all`) by any Dask scheduler that sees the workdir. Splits over lists
    that a task makes cannot be known before they run; they are named in `left_out`.

        lowered = to_dask("pipeline.py", workdir="w", frames="frames.json")
        dask.compute(lowered.outputs["image"])

    Raises:
        PipelineError, InputError, SiteError: It cannot run; the message says why.
    """
    from euclid_dask.executors.dask.lower import lower  # noqa: PLC0415  imports Dask

    settings = settings or Settings()
    request, _ = prepare(
        script, pkgrepo=pkgrepo, workdir=workdir, isf=isf, settings=settings, inputs=inputs
    )
    run_ = plan_run(request, SystemClock())
    part = static_part(run_, fuse=settings.fuse)
    return lower(part, run_.place, annotate_resources=annotate_resources)


def prepare(  # noqa: PLR0913  what `run` takes
    script: Script,
    *,
    pkgrepo: str | Path | None,
    workdir: str | Path | None,
    isf: str | Path | None,
    settings: Settings,
    given: Mapping[str, str | Path] | None = None,
    inputs: Mapping[str, str | Path | None],
) -> tuple[RunRequest, tuple[str, ...]]:
    """Load and check a pipeline; return what to start, and warnings.

    Raises:
        PipelineError, InputError: It cannot run; all errors are in the message.
    """
    data = read_isf(isf)
    repository = pkgrepo or data.settings.get("pkgRepository")
    loaded = load(script, repository)
    flow = loaded.flow
    ports: dict[str, str | None] = {**data.ports}
    ports |= {name: None if file is None else str(file) for name, file in inputs.items()}
    found = report(loaded, ports, settings.offer())
    if found.errors:
        raise PipelineError("\n".join(str(problem) for problem in found.errors))
    folder = Path(workdir or data.settings.get("workdir") or f"{flow.name}_workdir").absolute()
    search = [Path.cwd(), folder] if isf is None else [folder, data.path.parent, Path.cwd()]
    options = RunOptions(
        policy=settings.policy,
        science_retries=settings.science_retries,
        lost_retries=settings.lost_retries,
        until=settings.until,
        from_=settings.from_,
        skip=settings.skip,
        given={key: _given_file(folder, file) for key, file in (given or {}).items()},
        fuse=settings.fuse,
        group=settings.group,
        pkgrepo=str(Path(repository).absolute()) if repository else "",
    )
    request = RunRequest(
        flow=flow,
        inputs={name: ports.get(name) for name in flow.body.inputs},
        workdir=folder,
        search=search,
        logdir=settings.logdir or data.settings.get("logdir") or "logs",
        options=options,
        source=settings.source or _source(settings, data),
        enforce_ram=settings.enforce_ram,
        enforce_walltime=settings.enforce_walltime,
        grace_s=settings.grace_s,
        identity_by=settings.identity_by,
        fresh=settings.fresh,
    )
    return request, tuple(str(problem) for problem in found.warnings)


def _source(settings: Settings, data: Isf) -> str:
    """Return the shell text that the version in the data file asks for."""
    version = data.settings.get("edenVersion")
    if settings.environments is None:
        return ""
    where = data.where("edenVersion") if version else ""
    return sourcing_script(read_environments(settings.environments), version, where)


def read_isf(isf: str | Path | None) -> Isf:
    """Return what a data file says; an empty one for None."""
    if isf is None:
        return Isf(Path(), {}, {}, {})
    return parse_isf(Path(isf).absolute(), os.environ)


def resume(
    workdir: str | Path, run_id: str | None = None, settings: Settings | None = None
) -> RunResult:
    """Go on with a run: the latest in the workdir, or the one named.

    If its script, its inputs or its programs have changed, a new run is started in its place: it
    takes over what has not changed, and says what runs again and why.

    Raises:
        InputError: There is no such run.
        PipelineError, SiteError: It cannot go on; the message says why.
    """
    settings = settings or Settings()
    workspace = Workspace(Path(workdir).absolute())
    known = workspace.find(run_id)
    before = replay(workspace.files(known).journal)
    changes = changes_since(before, workspace.workdir)
    if changes:
        request = request_like(before, workspace)
        return start(request, settings, [f"changed since {known}: {c}" for c in changes])
    if before.state is RunState.DONE:
        _settle(before, workspace)
        return RunResult(before, workspace.workdir, (f"{known} is done already",))
    active = resume_run(workspace, known, SystemClock())
    _settle(active.run, workspace)
    return carry_out(active, settings, ())


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
        InputError: There is no such run or task.
        PipelineError, SiteError: Nothing was run; the message says why.
    """
    settings = settings or Settings()
    workspace = Workspace(Path(workdir).absolute())
    before = replay(workspace.files(workspace.find(run_id)).journal)
    again = dependents(before, views.find_task(before, task))
    request = request_like(before, workspace)
    active = start_run(request, SystemClock(), software=f"euclid_dask {euclid_dask.__version__}")
    forget(active, again)
    return carry_out(active, settings, (), again)


def carry_out(
    active: ActiveRun,
    settings: Settings,
    warnings: Sequence[str],
    again: Container[str] = frozenset(),
) -> RunResult:
    """Carry a run to its end with a runner of this process; Ctrl-C cancels it.

    `again` are tasks that were asked to run again.
    """
    if settings.on_start is None and settings.on_turn is None and in_notebook():
        display = NotebookProgress()
        settings = dataclasses.replace(settings, on_start=display.on_start, on_turn=display.on_turn)
    executor = make_executor(settings.executor, settings.offer())
    runner = Runner(executor, SystemClock(), on_turn=settings.on_turn)
    runner.add(active)
    try:
        if settings.on_start is not None:
            settings.on_start(active, runner)
        with cancel_on_signals(runner):
            runner.run_until_ended()
    finally:
        active.close()
    return RunResult(
        active.run, active.workspace.workdir, tuple(warnings), reruns=reruns(active, again)
    )


def reruns(active: ActiveRun, again: Container[str] = frozenset()) -> dict[str, int]:
    """Return why tasks ran although an earlier run knew them: reasons, and how many tasks each."""
    return reasons_again(active.run, active.earlier, again)


def why_again_in(result: RunResult) -> dict[str, int]:
    """Return the reruns of a run of another process, as far as journals tell of them.

    That a task was asked to run again is not written down.
    """
    run = result.run
    if not any(task.attempt for task in run.tasks.values()):
        return {}
    known = earlier_runs(Workspace(result.workdir))
    before = [earlier for earlier in known if earlier.started_s < run.started_s]
    return {
        "you asked for it, or its outputs were gone" if why == "its outputs are gone" else why: n
        for why, n in reasons_again(run, before, frozenset()).items()
    }


def open_run(workdir: str | Path, run_id: str | None = None) -> RunResult:
    """Return a run of a workdir as its journal tells it, running or ended; the latest for None.

    Raises:
        InputError: There is none.
        JournalError: Its journal cannot be read.
    """
    workspace = Workspace(Path(workdir).absolute())
    run = replay(workspace.files(workspace.find(run_id)).journal)
    _settle(run, workspace)
    return RunResult(run, workspace.workdir)


def _settle(run: Run, workspace: Workspace) -> None:
    """Have a run know where its workdir is now: it may have been moved."""
    records = str(workspace.files(run.id).attempts)
    run.place = replace(run.place, workdir=str(workspace.workdir), records=records)


def is_ended(result: RunResult) -> bool:
    """Tell whether a run has ended, for now."""
    return result.run.state in RUN_ENDED


def _given_file(folder: Path, file: str | Path) -> InputFile:
    path = next((p for p in (folder / file, Path.cwd() / file) if p.is_file()), None)
    if path is None or not path.is_relative_to(folder):
        raise InputError(
            f"{file}: there is no such file in {folder}",
            hint="a file that stands for an output must be in the workdir: copy or link it there",
        )
    inside = path.relative_to(folder)
    return InputFile(path=str(inside), identity=file_identity(folder, str(inside)))
