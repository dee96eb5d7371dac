"""`run`: start a run and carry it to its end."""

from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.options import (
    EXECUTION,
    LIMITS,
    PARTS,
    files_of_ports,
    given_files,
    isf_option,
    json_option,
    pkgrepo_option,
    ports_argument,
    settings_of,
    spare_option,
    with_options,
    workdir_option,
)
from euclid_dask.cli.outcome import carried_out, told

EPILOG = """\
\b
Examples:
  euclid-dask run pipeline.py image=raw.fits params=params.xml
  euclid-dask run pipeline.py --isf field_7.isf --workdir /scratch/field_7
  euclid-dask run pipeline.py --isf field_7.isf params=other.xml   (wins over the ISF)
  euclid-dask run pipeline.py --isf field_7.isf --until vis_coadd
  euclid-dask run pipeline.py --from remap --given stack.image=old/stack.fits
  euclid-dask run pipeline.py --isf field_7.isf --json > result.json
  euclid-dask run pipeline.py --isf field_7.isf --site site.toml --workdir /scratch/field_7

PORT=None means that there is no file. Work that an earlier run in the workdir finished is not
done again. Ctrl-C once lets running tasks finish, twice kills them; `resume` goes on.
"""


@click.command("run", epilog=EPILOG)
@click.argument("script", metavar="SCRIPT")
@ports_argument
@pkgrepo_option
@workdir_option
@isf_option
@with_options(PARTS)
@with_options(EXECUTION)
@with_options(LIMITS)
@spare_option
@json_option
def command(script: str, ports: tuple[str, ...], **given: Any) -> int:
    """Run the pipeline of SCRIPT on the files of its input ports.

    Input files are named on the command line, PORT=FILE, or in a data file (--isf). Progress goes
    to stderr; the outcome, or one JSON object, to stdout.
    """
    settings = settings_of(given)
    request, warnings = api.prepare(
        script,
        pkgrepo=given["pkgrepo"],
        workdir=given["workdir"],
        isf=given["isf"],
        settings=settings,
        given=given_files(given["stand_ins"]),
        inputs=files_of_ports(ports),
    )
    result = carried_out(lambda chosen: api.start(request, chosen, warnings), settings, given)
    return told(result, given)
