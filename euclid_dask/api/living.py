"""Whether pilots live for which there is no run any more."""

import os
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Final

from euclid_dask.core.errors import EuclidDaskError, WorkdirError
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.core.seams import BatchSystem
from euclid_dask.pilots.batch.systems import cancel_line
from euclid_dask.pilots.launch import batch_of
from euclid_dask.pilots.names import job_names
from euclid_dask.pilots.site import read_site
from euclid_dask.runner.believed import PILOTS
from euclid_dask.runner.workspace import Workspace
from euclid_dask.wiring.sites import JOBS

PATIENCE_S: Final = 10.0
"""For so long the end of jobs is awaited that a runner has cancelled at its own end."""
_LOOK_S: Final = 0.5


def refuse_pilots(workspace: Workspace, site_file: str, patience_s: float = PATIENCE_S) -> None:
    """Refuse to go on while pilots of a workdir live, as the batch system of their site says.

    Raises:
        WorkdirError: They do, or nobody can tell.
    """
    try:
        site = read_site(Path(site_file), os.environ)
        names = job_names(site, workspace.workdir)
        batch = batch_of(site, prefix=names.prefix, folder=workspace.records / JOBS)
        living = _lasting(batch, patience_s)
    except EuclidDaskError as error:
        raise WorkdirError(
            f"nobody can tell whether pilots of {workspace.workdir} live: {error.message}",
            hint=f"if you know that none does, remove {workspace.records / PILOTS}",
        ) from error
    if living:
        raise WorkdirError(
            f"pilots live in {workspace.workdir} although no run needs them: "
            + ", ".join(f"{names.pilot(job.name)} (job {job.id}, {job.state})" for job in living),
            hint="they end when they have been idle for long enough; or end them: "
            + "; ".join(cancel_line(site.batch, job.id) for job in living),
        )


def _lasting(batch: BatchSystem, patience_s: float) -> list[Job]:
    """Return the jobs that still live after a while; at once if there are none."""
    until_s = monotonic() + patience_s
    while living := [job for job in batch.jobs() if job.state is not JobState.ENDED]:
        if monotonic() > until_s:
            break
        Event().wait(_LOOK_S)
    return living
