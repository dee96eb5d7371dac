"""From a script and the names of files to a request that a runner can start."""

import os
from collections.abc import Mapping
from pathlib import Path

from euclid_dask.api.results import CheckReport
from euclid_dask.api.settings import Script, Settings
from euclid_dask.core.errors import InputError, PipelineError
from euclid_dask.core.events import InputFile, RunOptions
from euclid_dask.core.flow import Flow
from euclid_dask.core.resources import Resources
from euclid_dask.core.values import replace
from euclid_dask.dataflow.check import Problem, Severity
from euclid_dask.dataflow.check import check as check_flow
from euclid_dask.dataflow.names import did_you_mean
from euclid_dask.dataflow.select import select, template
from euclid_dask.dataflow.steps import tasks
from euclid_dask.dsl import LoadedPipeline, PipelineFunction
from euclid_dask.dsl import load as load_script
from euclid_dask.runner.environments import read_environments, source_text, sourcing_script
from euclid_dask.runner.isf import Isf, parse_isf
from euclid_dask.runner.start import RunRequest
from euclid_dask.runner.workspace import Workspace
from euclid_dask.wiring import machine
from euclid_dask.worker.fingerprints import file_identity


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
    workdir: str | Path | None = None,
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
    return report(loaded, given, offer or machine(), folder_of(loaded.flow, workdir, data))


def report(
    loaded: LoadedPipeline,
    given: Mapping[str, object] | None,
    limit: Resources | None,
    workdir: Path,
) -> CheckReport:
    """Return all problems of a loaded pipeline; `limit` is the largest task there is room for.

    A limit of the disk is added: that of the workdir, which need not be there yet.
    """
    if limit is not None and not limit.disk_bytes:
        limit = replace(limit, disk_bytes=Workspace(workdir).room_bytes())
    found = check_flow(loaded.flow, limit=limit, given=given)
    told = [Problem(severity=Severity.WARNING, message=text) for text in loaded.warnings]
    told += [Problem(severity=Severity.NOTICE, message=text) for text in loaded.notices]
    return CheckReport(loaded.flow, (*found, *told))


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
    folder = folder_of(flow, workdir, data)
    found = report(loaded, ports, settings.limit(), folder)
    if found.errors:
        raise PipelineError("\n".join(str(problem) for problem in found.errors))
    here = Path.cwd()
    search = [here, folder] if isf is None else [folder, data.path.parent, here]
    options = RunOptions(
        policy=settings.policy,
        science_retries=settings.science_retries,
        lost_retries=settings.lost_retries,
        until=settings.until,
        from_=settings.from_,
        skip=settings.skip,
        given=_given_files(flow, settings, folder, given or {}),
        fuse=settings.fuse,
        group=settings.group,
        pkgrepo=str(Path(repository).absolute()) if repository else "",
    )
    request = RunRequest(
        flow=flow,
        inputs={name: ports.get(name) for name in flow.body.inputs},
        workdir=folder,
        search=search,
        search_first=dict.fromkeys(inputs, here),
        logdir=settings.logdir or data.settings.get("logdir") or "logs",
        options=options,
        source=source_text(settings.source.strip()) or _source(settings, data),
        enforce_ram=settings.enforce_ram,
        enforce_walltime=settings.enforce_walltime,
        grace_s=settings.grace_s,
        identity_by=settings.identity_by,
        fresh=settings.fresh,
    )
    told = [str(problem) for problem in found.warnings]
    if data.settings.get("edenVersion") and not (settings.environments or settings.source):
        told.append(
            f"{data.where('edenVersion')}: edenVersion is not used: the environment is your own; "
            "give the scripts of the versions with --environments FILE"
        )
    return request, tuple(told)


def folder_of(flow: Flow, workdir: str | Path | None, data: Isf) -> Path:
    """Return the workdir: as given, else as the data file says, else named after the pipeline."""
    return Path(workdir or data.settings.get("workdir") or f"{flow.name}_workdir").absolute()


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
        if task in runs:
            raise InputError(
                f"--given {key}: the task runs, and would write over the file",
                hint=f"leave it out with --skip {task}, or begin behind it with --from",
            )
    return {key: _given_file(folder, file) for key, file in given.items()}


def _given_file(folder: Path, file: str | Path) -> InputFile:
    path = next((p for p in (folder / file, Path.cwd() / file) if p.is_file()), None)
    if path is None or not path.is_relative_to(folder):
        raise InputError(
            f"{file}: there is no such file in {folder}",
            hint="a file that stands for an output must be in the workdir: copy or link it there",
        )
    inside = path.relative_to(folder)
    return InputFile(path=str(inside), identity=file_identity(folder, str(inside)))
