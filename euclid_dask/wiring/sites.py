"""The pilots of a site, put together; apart, since most runs are without."""

from functools import partial
from typing import Final

from euclid_dask.core.ids import PilotId
from euclid_dask.core.seams import Clock, Executor
from euclid_dask.executors.dask.executor import DaskExecutor
from euclid_dask.executors.server import Server
from euclid_dask.pilots.batch.systems import LOCAL
from euclid_dask.pilots.launch import batch_of, pilot_script
from euclid_dask.pilots.lease import Leases
from euclid_dask.pilots.names import job_names
from euclid_dask.pilots.reconciler import Pace
from euclid_dask.pilots.site import Site
from euclid_dask.pilots.supply import BatchSupply
from euclid_dask.planner import Fleet
from euclid_dask.runner.believed import PILOTS
from euclid_dask.runner.pilots import PilotDesk
from euclid_dask.runner.workspace import Workspace

JOBS: Final = "jobs"
"""Where, among the records of a workdir, the scripts of its pilots are, and what they say."""
LEAST_POLL_S: Final = 0.5


def site_fleet(site: Site) -> Fleet:
    """Return the pilots of a site as the planner sees them, before there is any."""
    return Fleet(templates={one.name: one for one in site.pilot_templates()}, rules=site.rules)


def make_pilots(
    site: Site, workspace: Workspace, clock: Clock, *, source: str = ""
) -> tuple[Executor, PilotDesk]:
    """Return an executor that pilots of a site come to, and what has them come and go.

    `source` is the shell text that tasks source.

    Raises:
        SiteError: A template cannot be put in the words of the batch system.
    """
    workdir = workspace.workdir
    script = partial(pilot_script, site, workdir=workdir, source=source)
    for name in site.templates:
        script(PilotId(name), name)
    names = job_names(site, workdir)
    batch = batch_of(site, prefix=names.prefix, folder=workspace.records / JOBS)
    poll_s = site.intervals.poll_s
    pace = Pace(
        leases=Leases(records=workspace.records, lasts_s=site.pilots.lease_s),
        poll_s=poll_s,
        watch_s=max(LEAST_POLL_S, poll_s / 10),
        submit_s=site.intervals.submit_s,
    )
    supply = BatchSupply(batch, names=names, script=script, pace=pace)
    server = Server(
        folder=workspace.records,
        host="127.0.0.1" if site.batch == LOCAL and not site.network.interface else "",
        interface=site.network.interface,
        port=site.network.port,
    )
    desk = PilotDesk(workspace.records / PILOTS, supply, site_fleet(site), clock)
    return DaskExecutor(server=server), desk
