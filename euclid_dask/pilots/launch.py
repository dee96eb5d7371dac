"""Jobs of ours, pilots and runners: where they are submitted, scripts, words."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from euclid_dask.core.ids import PilotId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import BatchSystem
from euclid_dask.core.values import replace
from euclid_dask.pilots.batch.commands import Calls
from euclid_dask.pilots.batch.files import prune
from euclid_dask.pilots.batch.systems import open_batch
from euclid_dask.pilots.scripts import JobRequest, job_script
from euclid_dask.pilots.site import Site, Template
from euclid_dask.worker.clock import now_s

COMMAND_LINE: Final = "euclid_dask"
"""The module that is the command line."""
SUPERVISOR_PROGRAM: Final = "euclid_dask.pilots.supervisor"
"""The module that a pilot runs."""


def batch_of(site: Site, *, prefix: str, folder: Path) -> BatchSystem:
    """Return the batch system of a site, for jobs whose names begin with `prefix`.

    Scripts, and what jobs say, are kept in `folder`, for some time.
    """
    prune(folder, now_s())
    remote = ("ssh", "-o", "BatchMode=yes", site.batch_host) if site.batch_host else ()
    calls = Calls(remote=remote, timeout_s=site.intervals.command_s)
    return open_batch(site.batch, prefix=prefix, folder=folder, calls=calls)


def pilot_script(
    site: Site,
    pilot: PilotId,
    template: str,
    avoid: Sequence[str] = (),
    *,
    workdir: Path,
    source: str = "",
) -> str:
    """Return the script of the job that becomes a pilot, on none of the hosts `avoid`.

    `source` is what tasks will source.

    Raises:
        SiteError: The template cannot be put in the words of the batch system.
    """
    command = supervisor_command(site, pilot, template, workdir=workdir, source=source)
    return script_of(site, site.templates[template], command, avoid)


def runner_script(site: Site, words: Sequence[str], folder: Path) -> str:
    """Return the script of a job that says the command `euclid-dask WORDS` in a folder.

    Raises:
        SiteError: The job cannot be put in the words of the batch system.
    """
    job = site.runner.template()
    there = f"cd {shlex.quote(str(folder))} || exit 2"
    job = replace(job, prologue=(*job.prologue, there))
    return script_of(site, job, ("-m", COMMAND_LINE, *words))


def script_of(
    site: Site, template: Template, command: tuple[str, ...], avoid: Sequence[str] = ()
) -> str:
    """Return the script of a job of this template that runs a command of our own."""
    request = JobRequest(
        command=(site.pilots.python or sys.executable, *command),
        offer=Resources(
            cores=template.cores,
            ram_bytes=template.ram_bytes,
            walltime_s=template.walltime_s,
            disk_bytes=template.disk_bytes,
        ),
        queue=template.queue,
        account=template.account,
        directives=template.directives,
        prologue=template.prologue,
        avoid=tuple(avoid),
    )
    return job_script(site.batch, request)


def supervisor_command(
    site: Site, pilot: PilotId, template: str, *, workdir: Path, source: str
) -> tuple[str, ...]:
    """Return the words after `python` that make a job a pilot."""
    of = site.templates[template]
    options = {
        "pilot": pilot,
        "workspace": str(workdir),
        "template": template,
        "cores": f"{of.cores:g}",
        "ram": str(of.ram_bytes),
        "slots": str(of.effective_slots),
        "disk": str(of.disk_bytes),
        "walltime": f"{of.walltime_s:g}",
        "grace": f"{site.farewell_s(of):g}",
        "idle": f"{site.pilots.idle_timeout_s:g}",
        "lease": f"{site.pilots.lease_s:g}",
        "scratch": site.pilots.scratch,
        "source": source,
    }
    words = [word for name, text in options.items() if text for word in (f"--{name}", text)]
    return ("-m", SUPERVISOR_PROGRAM, *words)
