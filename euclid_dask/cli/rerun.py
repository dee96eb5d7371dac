"""`rerun`: run a task again, and what depends on it."""

from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.options import (
    EXECUTION,
    json_option,
    settings_of,
    with_options,
    workdir_argument,
)
from euclid_dask.cli.outcome import carried_out, told

EPILOG = """\
\b
Examples:
  euclid-dask rerun w vis_coadd
  euclid-dask rerun w correct.iterations.3.cosmics

A new run is started that takes over everything else. TASK is a task's id or an ending of it.
"""


@click.command("rerun", epilog=EPILOG)
@workdir_argument
@click.argument("task", metavar="TASK")
@click.option("--run", "run_id", metavar="RUN", help="The run to take from; default: the latest.")
@with_options(EXECUTION)
@json_option
def command(workdir: str, task: str, run_id: str | None, **given: Any) -> int:
    """Run TASK again, and all tasks that depend on it."""
    settings = settings_of(given)
    result = carried_out(lambda chosen: api.rerun(workdir, task, run_id, chosen), settings, given)
    return told(result, given)
