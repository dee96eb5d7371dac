"""From a script and the names of files to a request that a runner can start."""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from euclid_dask.api.results import CheckReport
from euclid_dask.api.settings import Script, Settings
from euclid_dask.core.errors import InputError, PipelineError
from euclid_dask.core.events import InputFile, RunOptions
from euclid_dask.core.flow import Flow
from euclid_dask.core.resources import Resources
from euclid_dask.core.texts import NOTICE, QUESTION, is_question
from euclid_dask.core.values import replace
from euclid_dask.dataflow.check import NOWHERE, Problem, Severity
from euclid_dask.dataflow.check import check as check_flow
from euclid_dask.dataflow.names import did_you_mean
from euclid_dask.dataflow.select import inputs_of, select, template
from euclid_dask.dataflow.steps import tasks
from euclid_dask.dsl import LoadedPipeline, PipelineFunction
from euclid_dask.dsl import load as load_script
from euclid_dask.planner.fitting import misfit
from euclid_dask.runner.environments import read_environments, source_text, sourcing_script
from euclid_dask.runner.isf import Isf, parse_isf
from euclid_dask.runner.staging import find_input, inside
from euclid_dask.runner.start import RunRequest
from euclid_dask.runner.workspace import Workspace
from euclid_dask.worker.fingerprints import file_identity

if TYPE_CHECKING:
    from euclid_dask.api.asking import Answered
    from euclid_dask.pilots.site import Site


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
    /,
    *,
    pkgrepo: str | Path | None = None,
    workdir: str | Path | None = None,
    isf: str | Path | None = None,
    offer: Resources | None = None,
    site: str | Path | None = None,
    **inputs: str | Path | None,
) -> CheckReport:
    """Check a pipeline without running it: wiring, names, resources, and inputs if any are given.

    With `site`, a site file, each task must fit one of its templates.

    Raises:
        PipelineError, InputError, SiteError: The script or a file cannot be read at all.
    """
    data = read_isf(isf)
    loaded = load(script, pkgrepo or data.settings.get("pkgRepository"))
    ports = _ports(loaded.flow, inputs)
    given = {**data.ports, **ports} if isf is not None or inputs else None
    settings = Settings(site=site)
    return report(
        loaded,
        given,
        offer or settings.limit(),
        folder_of(loaded.flow, workdir, data),
        settings.read_site(),
        places_of(data, ports),
    )


def report(
    loaded: LoadedPipeline,
    given: Mapping[str, object] | None,
    limit: Resources | None,
    workdir: Path,
    site: "Site | None" = None,
    places: Mapping[str, str] = NOWHERE,
) -> CheckReport:
    """Return all problems of a loaded pipeline; `limit` is the largest task there is room for.

    A limit of the disk is added: that of the workdir, which need not be there yet. At a `site`,
    each task must fit some template, and the workdir must be where pilots see it.
    """
    if limit is not None and not limit.disk_bytes:
        limit = replace(limit, disk_bytes=Workspace(workdir).room_bytes())
    found = [
        *_unreadable(given or {}),
        *check_flow(loaded.flow, limit=limit, given=given, places=places),
    ]
    if site is not None:
        found = [*_misplaced(site, workdir), *_misfits(loaded.flow, site), *found]
    told = [Problem(severity=Severity.WARNING, message=text) for text in loaded.warnings]
    told += [Problem(severity=Severity.NOTICE, message=text) for text in loaded.notices]
    return CheckReport(loaded.flow, (*found, *told))


def _unreadable(given: Mapping[str, object]) -> Iterator[Problem]:
    """Yield an error for each question that cannot be read; nobody is asked."""
    for port, value in given.items():
        if not isinstance(value, str) or not is_question(value):
            continue
        from euclid_dask.data.query import parse_query  # noqa: PLC0415  few runs ask

        try:
            parse_query(value.removeprefix(QUESTION).strip())
        except InputError as error:
            yield Problem(
                severity=Severity.ERROR, message=f"{port}: {error.message}", hint=error.hint
            )


def _misplaced(site: "Site", workdir: Path) -> Iterator[Problem]:
    if not workdir.resolve().is_relative_to(Path(site.workspace).resolve()):
        yield Problem(
            severity=Severity.ERROR,
            message=f"the workdir {workdir} is not in the workspace of the site, {site.workspace}",
            hint=f"pilots see only what is there: --workdir {Path(site.workspace) / workdir.name}",
        )


def _misfits(flow: Flow, site: "Site") -> Iterator[Problem]:
    """Yield an error for each executable that no template holds, with the smallest fix."""
    from euclid_dask.wiring.sites import site_fleet  # noqa: PLC0415  fast start

    fleet = site_fleet(site)
    calls: dict[str, str] = {}
    for path, node in tasks(flow).items():
        calls.setdefault(node.executable, path)
    for executable, path in calls.items():
        spec = flow.executables[executable]
        if why := misfit(spec.needs, fleet):
            what, _, fix = why.partition(". ")
            message = f"task '{path}' {what}"
            yield Problem(severity=Severity.ERROR, message=message, hint=fix, where=spec.where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a caller wants to run, read and checked: nothing is done yet.

    `ports` are the values of the input ports, None for no file.
    """

    loaded: LoadedPipeline
    ports: dict[str, str | None]
    workdir: Path
    data: Isf
    repository: str | Path | None
    warnings: tuple[str, ...]

    @property
    def questions(self) -> dict[str, str]:
        """The ports that ask for products instead of naming a file."""
        return {port: text for port, text in self.ports.items() if text and is_question(text)}


def read_call(
    script: Script,
    *,
    pkgrepo: str | Path | None,
    workdir: str | Path | None,
    isf: str | Path | None,
    settings: Settings,
    inputs: Mapping[str, str | Path | None],
) -> Call:
    """Load and check a pipeline and what is given for it.

    Raises:
        PipelineError, InputError, SiteError: It cannot run; all errors are in the message.
    """
    if not isinstance(settings, Settings):
        raise InputError(
            f"settings are to be api.Settings, not {settings!r}",
            hint="a port that is named settings is given as settings_=FILE",
        )
    data = read_isf(isf)
    repository = pkgrepo or data.settings.get("pkgRepository")
    loaded = load(script, repository)
    ports: dict[str, str | None] = {**_unused(loaded.flow, settings), **data.ports}
    ports |= _ports(loaded.flow, inputs)
    folder = folder_of(loaded.flow, workdir, data)
    found = report(
        loaded,
        ports,
        settings.limit(),
        folder,
        settings.read_site(),
        places_of(data, inputs),
    )
    if found.errors:
        raise PipelineError("\n".join(str(problem) for problem in found.errors))
    return Call(
        loaded=loaded,
        ports=ports,
        workdir=folder,
        data=data,
        repository=repository,
        warnings=tuple(
            NOTICE * (problem.severity is Severity.NOTICE) + str(problem)
            for problem in found.warnings
        ),
    )


def _unused(flow: Flow, settings: Settings) -> dict[str, None]:
    """Return the inputs that only tasks use that are left out: they may be absent."""
    if not (settings.until or settings.from_ or settings.skip):
        return {}
    chosen = select(flow, until=settings.until, start=settings.from_, skip=settings.skip)
    used = inputs_of(flow, chosen)
    return {name: None for name in flow.body.inputs if name not in used}


def _ports(flow: Flow, inputs: Mapping[str, str | Path | None]) -> dict[str, str | None]:
    """Return files by port; a port that is named like an argument of ours has `_` behind it."""
    given: dict[str, str | None] = {}
    for name, file in inputs.items():
        plain = name.removesuffix("_")
        is_port = name in flow.body.inputs or plain not in flow.body.inputs
        given[name if is_port else plain] = None if file is None else str(file)
    return given


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

    Questions for inputs are asked, and their answers are staged into the workdir.

    Raises:
        PipelineError, InputError, SiteError: It cannot run; all errors are in the message.
    """
    call = read_call(
        script, pkgrepo=pkgrepo, workdir=workdir, isf=isf, settings=settings, inputs=inputs
    )
    data, site, folder = call.data, settings.read_site(), call.workdir
    dials, flow, repository = settings.completed(site), call.loaded.flow, call.repository
    answered = _answered(call, settings) if call.questions else None
    ports = {**call.ports, **(answered.files if answered else {})}
    here = Path.cwd()
    search = [here, folder] if isf is None else [folder, data.path.parent, here]
    options = RunOptions(
        policy=dials.policy,
        science_retries=dials.science_retries,
        lost_retries=dials.lost_retries,
        larger_retries=dials.larger_retries,
        until=settings.until,
        from_=settings.from_,
        skip=settings.skip,
        given=_given_files(flow, settings, folder, given or {}),
        fuse=settings.fuse,
        group=settings.group,
        pkgrepo=str(Path(repository).absolute()) if repository else "",
        asked=call.questions,
        answers=answered.path if answered else "",
    )
    request = RunRequest(
        flow=flow,
        inputs={name: ports.get(name) for name in flow.body.inputs},
        workdir=folder,
        search=search,
        search_first=dict.fromkeys(inputs, here),
        logdir=settings.logdir or data.settings.get("logdir") or "logs",
        options=options,
        source=source_text(settings.source.strip()) or _source(settings, site, data),
        enforce_ram=dials.enforce_ram,
        enforce_walltime=dials.enforce_walltime,
        grace_s=dials.grace_s,
        sample_interval_s=site.intervals.sample_s if site is not None else 1.0,
        identity_by=settings.identity_by,
        fresh=settings.fresh,
    )
    told = [*call.warnings, *(answered.warnings if answered else ())]
    environments = settings.environments or (site is not None and site.environments)
    if data.settings.get("edenVersion") and not (environments or settings.source):
        told.append(
            f"{data.where('edenVersion')}: edenVersion is not used: the environment is your own; "
            "give the scripts of the versions with --environments FILE"
        )
    if site is not None:
        told += _unseen(request, site)
    return request, tuple(told)


def _answered(call: Call, settings: Settings) -> "Answered":
    from euclid_dask.api.asking import answer  # noqa: PLC0415  few runs ask

    return answer(call.loaded.flow, call.questions, settings, call.workdir)


def _unseen(request: RunRequest, site: "Site") -> Iterator[str]:
    """Yield a warning if there are inputs that nodes may not see.

    Those are neither in the workspace of the site nor on the same file system.
    """
    shared = Path(site.workspace).resolve()
    unseen = []
    for port, value in request.inputs.items():
        first = [request.search_first[port]] if port in request.search_first else []
        file = find_input(value, [*first, *request.search]) if value else None
        if file is not None and not _is_shared(file.resolve(), shared):
            unseen.append(f"{port} ({file})")
    if unseen and site.batch != "local":
        yield (
            "nodes may not see inputs that are not on the file system of the workspace "
            f"{shared}: {', '.join(unseen)}; if they do not, copy them there"
        )


def _is_shared(file: Path, shared: Path) -> bool:
    return (
        file.is_relative_to(shared)
        or not shared.is_dir()
        or file.stat().st_dev == shared.stat().st_dev
    )


def folder_of(flow: Flow, workdir: str | Path | None, data: Isf) -> Path:
    """Return the workdir: as given, else as the data file says, else named after the pipeline.

    Raises:
        InputError: It is the empty text.
    """
    if workdir == "":
        raise InputError("the workdir is the empty text", hint="name a folder, or leave it out")
    return Path(workdir or data.settings.get("workdir") or f"{flow.name}_workdir").absolute()


def _source(settings: Settings, site: "Site | None", data: Isf) -> str:
    """Return the shell text that the version in the data file asks for."""
    version = data.settings.get("edenVersion")
    if settings.environments is not None:
        environments = read_environments(settings.environments)
    else:
        environments = {} if site is None else site.environments
    where = data.where("edenVersion") if version else ""
    return sourcing_script(environments, version, where) if environments else ""


def read_isf(isf: str | Path | None) -> Isf:
    """Return what a data file says; an empty one for None."""
    if isf is None:
        return Isf(Path(), {}, {}, {})
    return parse_isf(Path(isf).absolute(), os.environ)


def places_of(data: Isf, own: Collection[str]) -> dict[str, str]:
    """Return where the ports of a data file stand in it, but for the caller's `own`."""
    return {port: data.where(port) for port in data.ports if port not in own}


def _given_files(
    flow: Flow, settings: Settings, folder: Path, given: Mapping[str, str | Path]
) -> dict[str, InputFile]:
    """Return the files that stand for outputs of tasks that do not run.

    Raises:
        InputError: There is no such output, or its task runs and would write over the file.
    """
    if not given:
        return {}
    nodes = tasks(flow)
    outputs = {
        f"{path}.{port.name}": path
        for path, node in nodes.items()
        for port in flow.executables[node.executable].outputs
    }
    runs = select(flow, until=settings.until, start=settings.from_, skip=settings.skip)
    for key in given:
        task = outputs.get(template(key))
        if task is None:
            raise InputError(
                f"--given {key}: there is no such output",
                hint=did_you_mean(key, outputs, "outputs"),
            )
        if "*" in key and key != template(key):
            raise InputError(
                f"--given {key}: it is not clear which branches are meant",
                hint=f"for all: --given {template(key)}=FILE, for one: a number for each *",
            )
        if task in runs:
            raise InputError(
                f"--given {key}: the task runs, and would write over the file",
                hint=f"leave it out with --skip {task}, or begin behind it with --from",
            )
    return {key: _given_file(folder, file) for key, file in given.items()}


def _given_file(folder: Path, file: str | Path) -> InputFile:
    path = next((p for p in (folder / file, Path.cwd() / file) if p.is_file()), None)
    name = None if path is None else _name_inside(folder, path)
    if name is None:
        raise InputError(
            f"{file}: there is no such file in {folder}",
            hint="a file that stands for an output must be in the workdir: copy or link it there",
        )
    return InputFile(path=name, identity=file_identity(folder, name))


def _is_one(file: Path, other: Path) -> bool:
    return file.exists() and file.samefile(other)


def _name_inside(folder: Path, path: Path) -> str | None:
    """Return the path of a file relative to the workdir, by any of its names; None if outside."""
    names = (inside(folder, path), inside(folder.resolve(), path.resolve()))
    return next((name for name in names if name and _is_one(folder / name, path)), None)
