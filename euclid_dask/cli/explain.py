"""`explain`: why tasks do not run, and how they came to their ends."""

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, workdir_argument
from euclid_dask.core.errors import SiteError
from euclid_dask.core.states import RUN_ENDED
from euclid_dask.pilots.site import read_site
from euclid_dask.planner import Fleet
from euclid_dask.planner.nodes import Task
from euclid_dask.report.reasons import history, not_well, rows
from euclid_dask.report.terminal import state_text
from euclid_dask.report.words import printable
from euclid_dask.runner.believed import known_fleet, noted_pilots
from euclid_dask.runner.views import find_task
from euclid_dask.runner.workspace import Workspace, is_locked
from euclid_dask.wiring.sites import site_fleet
from euclid_dask.worker.clock import now_s

EPILOG = """\
\b
Examples:
  euclid-dask explain w                  all tasks that neither run nor are done
  euclid-dask explain w vis_coadd
  euclid-dask explain w 3.cosmics        an ending that only one task has
"""


@click.command("explain", epilog=EPILOG)
@workdir_argument
@click.argument("task", metavar="[TASK]", required=False)
@click.option("--run", "run_id", metavar="RUN", help="The run; default: the latest.")
@json_option
def command(workdir: str, task: str | None, run_id: str | None, **given: Any) -> int:
    """Tell why TASK, or every task that neither runs nor is done, stands where it stands.

    Tasks that share a reason share a line.
    """
    result = api.open_run(workdir, run_id)
    run, workspace = result.run, Workspace(result.workdir)
    tasks = not_well(run) if task is None else [find_task(run, task)]
    is_carried = run.state not in RUN_ENDED and is_locked(workspace)
    fleet = _fleet(result, workspace) if is_carried else Fleet()
    found = rows(run, tasks, fleet, now_s(), is_carried=is_carried)
    if given["as_json"]:
        told = {"run": run.id, "state": str(run.state), "tasks": [row.as_json() for row in found]}
        click.echo(json.dumps(told))
        return DONE
    if run.state not in RUN_ENDED and not is_carried:
        resume = f"euclid-dask resume {shlex.quote(str(result.workdir))}"
        click.echo(f"{run.id}: its runner died; go on with it: {resume}")
    elif not found:
        click.echo(f"{run.id}: {state_text(result.state)}; all of its tasks run or are done")
    for row in found:
        click.echo(row.text())
    if task is not None:
        for line in _history(tasks[0]):
            click.echo(line)
    return DONE


def _fleet(result: api.RunResult, workspace: Workspace) -> Fleet:
    """Return the pilots of a run that is carried out, with the templates of its site."""
    fleet = Fleet()
    if result.run.options.site:
        try:
            fleet = site_fleet(read_site(Path(result.run.options.site), os.environ))
        except SiteError as error:
            click.echo(f"warning: templates are not known: {error.message}", err=True)
        return known_fleet(workspace, fleet)
    noted_pilots(workspace.files(result.run.id), fleet)
    return fleet


def _history(task: Task) -> Iterator[str]:
    for name, text in history(task).items():
        yield f"  {name}: {printable(text)}"
