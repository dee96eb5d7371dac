"""`resume`: go on with a run."""

from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.data_options import DATA
from euclid_dask.cli.options import (
    EXECUTION,
    json_option,
    run_argument,
    settings_of,
    spare_option,
    with_options,
    workdir_argument,
)
from euclid_dask.cli.outcome import carried_out, told
from euclid_dask.cli.registering import register_option

EPILOG = """\
\b
Examples:
  euclid-dask resume w                 the latest run in w
  euclid-dask resume w vis-20260101    the one whose id begins so

What is done stays done; failed, cancelled and interrupted tasks are tried again, and results that
are gone are made again. If the script, an input or a program has changed since, or failures were
put up with (on_error), a new run is started that takes over all the rest. A run on the pilots of
a site goes on there; what runs on them meanwhile is not started again.
"""


@click.command("resume", epilog=EPILOG)
@workdir_argument
@run_argument
@with_options(EXECUTION)
@with_options(DATA)
@register_option
@spare_option
@json_option
def command(workdir: str, run_id: str | None, **given: Any) -> int:
    """Go on with a run in WORKDIR that failed, was cancelled, or was killed."""
    settings = settings_of(given)
    result = carried_out(lambda chosen: api.resume(workdir, run_id, chosen), settings, given)
    return told(result, given)
