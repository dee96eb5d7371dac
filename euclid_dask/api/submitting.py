"""Runs whose runner is a job of the batch system, too.

All that `run` and `resume` refuse at once is refused here, before anything is submitted.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from euclid_dask.api.settings import Settings
from euclid_dask.core.errors import InputError, WorkdirError
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.pilots import JobState
from euclid_dask.pilots.batch.files import job_files
from euclid_dask.pilots.batch.systems import cancel_line
from euclid_dask.pilots.launch import batch_of, pilot_script, runner_script
from euclid_dask.pilots.names import runner_prefix
from euclid_dask.pilots.site import Site
from euclid_dask.runner.history import replay
from euclid_dask.runner.start import RunRequest, plan_run
from euclid_dask.runner.workspace import Lock, Workspace
from euclid_dask.wiring.sites import JOBS
from euclid_dask.worker.clock import SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that is a runner: its id, what it runs, and where it writes what.

    `stdout` has the outcome of the run in the end, `stderr` its progress; `cancel` is the line of
    shell that cancels the job. Without a `job` nothing was submitted.
    """

    workdir: Path
    name: str
    script: str
    stdout: str
    stderr: str
    job: str = ""
    cancel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerPlace:
    """Where a runner is to work, once nothing speaks against it."""

    site: Site
    workspace: Workspace


def place_of_run(request: RunRequest, settings: Settings, *, dry_run: bool = False) -> RunnerPlace:
    """Return where a prepared run would be carried out by a job.

    Its inputs are staged; with `dry_run` that is taken back.

    Raises:
        InputError: It has no site, or inputs are missing.
        SiteError: The site cannot be used.
        WorkdirError: The workdir cannot be used, or another runner works there.
    """
    workspace = Workspace(request.workdir.absolute())
    place = _place(settings.read_site(), workspace)
    lock = Lock.take(workspace)
    try:
        with workspace.unless_refused(lock.made, lock):
            plan_run(request, SystemClock(), lock.made)
        if dry_run:
            workspace.take_back(lock.made, lock)
    finally:
        lock.release()
    return place


def place_of_runs(folder: Path, settings: Settings) -> RunnerPlace:
    """Return where a job would carry out several runs, whose workdirs are in a folder.

    Raises:
        InputError: There is no site.
        SiteError: The site cannot be used.
        WorkdirError: The folder cannot be used.
    """
    workspace = Workspace(folder)
    place = _place(settings.read_site(), workspace)
    workspace.create()
    return place


def place_of_resumed(workdir: str | Path, settings: Settings) -> RunnerPlace:
    """Return where a job would go on with the latest run of a workdir.

    Raises:
        InputError: There is no run, or it has no site.
        SiteError: The site cannot be used.
        WorkdirError: Another runner works there.
        JournalError: The journal cannot be read.
    """
    workspace = Workspace(Path(workdir).absolute())
    known = workspace.find(None)
    Lock.take(workspace).release()
    own = replay(workspace.files(known).journal).options.site
    settings = dataclasses.replace(settings, site=settings.site or own)
    return _place(settings.read_site(), workspace)


def submit(place: RunnerPlace, words: Sequence[str], *, dry_run: bool = False) -> Submission:
    """Submit a job that says `euclid-dask WORDS` in the current folder; not with `dry_run`.

    Raises:
        SiteError: The job cannot be put in the words of the batch system.
        WorkdirError: A job for the workdir is there already.
        BatchError: The batch system does not take it.
    """
    site, workspace = place.site, place.workspace
    script = runner_script(site, words, Path.cwd())
    prefix, folder = runner_prefix(site, workspace.workdir), workspace.records / JOBS
    numbers = [int(path.stem.rpartition(".")[2]) for path in folder.glob(f"{prefix}*.sh")]
    name = f"{prefix}{max(numbers, default=0) + 1}"
    files = job_files(folder, name)
    planned = Submission(
        workdir=workspace.workdir,
        name=name,
        script=script,
        stdout=files.stdout,
        stderr=files.stderr,
    )
    if dry_run:
        return planned
    batch = batch_of(site, prefix=prefix, folder=folder)
    for job in batch.jobs():
        if job.name.startswith(prefix) and job.state is not JobState.ENDED:
            raise WorkdirError(
                f"job {job.id} is a runner of {workspace.workdir} already ({job.state})",
                hint=f"wait for it, or cancel it: {cancel_line(site.batch, job.id)}",
            )
    job_id: JobId = batch.submit(script, name)
    return dataclasses.replace(planned, job=job_id, cancel=cancel_line(site.batch, job_id))


def _place(site: Site | None, workspace: Workspace) -> RunnerPlace:
    if site is None:
        raise InputError("a job needs a site", hint="give it: --site SITE.toml")
    for name in site.templates:
        pilot_script(site, PilotId(name), name, workdir=workspace.workdir)
    return RunnerPlace(site=site, workspace=workspace)
