"""What has changed since a run was started, and how to start one like it."""

from pathlib import Path

from euclid_dask.core.flow import Flow
from euclid_dask.core.values import replace
from euclid_dask.dsl import load
from euclid_dask.planner.run import Run
from euclid_dask.runner.programs import program_versions
from euclid_dask.runner.start import RunRequest
from euclid_dask.runner.workspace import Workspace
from euclid_dask.worker.fingerprints import file_identity


def changes_since(before: Run, workdir: Path) -> list[str]:
    """Return what is not as it was when `before` was started, in words."""
    changes: list[str] = []
    if before.flow.script and Path(before.flow.script).is_file():
        flow = _reloaded(before)
        if flow != before.flow:
            changes.append(f"the pipeline of {before.flow.script}")
    changes += [
        f"input {name}"
        for name, file in before.board.facts.inputs.items()
        if file.path
        and file_identity(workdir, file.path, before.options.identity_by) != file.identity
    ]
    changes += [
        f"{file.path}, given for {name}"
        for name, file in before.options.given.items()
        if file_identity(workdir, file.path) != file.identity
    ]
    changes += [
        f"the program of {key}"
        for key, identity in program_versions(
            before.flow, workdir, before.place.source, before.place.environment
        ).items()
        if before.options.versions.get(key) != identity
    ]
    return changes


def request_like(before: Run, workspace: Workspace) -> RunRequest:
    """Return the request for a run like `before`, with the script as it is now."""
    place, workdir = before.place, workspace.workdir
    given = {
        name: replace(file, identity=file_identity(workdir, file.path))
        for name, file in before.options.given.items()
    }
    return RunRequest(
        flow=_reloaded(before) if before.flow.script else before.flow,
        inputs={name: file.path or None for name, file in before.board.facts.inputs.items()},
        workdir=workspace.workdir,
        logdir=place.logdir,
        options=replace(before.options, versions={}, given=given),
        source=place.source,
        environment=place.environment,
        enforce_ram=place.enforce_ram,
        enforce_walltime=place.enforce_walltime,
        grace_s=place.grace_s,
        sample_interval_s=place.sample_interval_s,
        identity_by=before.options.identity_by,
    )


def _reloaded(before: Run) -> Flow:
    repository = before.options.pkgrepo
    return load(Path(before.flow.script), Path(repository) if repository else None).flow
