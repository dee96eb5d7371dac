"""`replicate`: have files copied to a storage."""

import json
from typing import Any, Final

import click

from euclid_dask.api.copies import replicate
from euclid_dask.cli.bars import copying
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.report.words import counted

EPILOG: Final = """\
\b
Examples:
  euclid-dask replicate EUC_VIS_RAW.fits --to SCRATCH
  euclid-dask replicate frame.xml --closure --to SCRATCH --dry-run

Each copy is read once, compared with all checksums, and gets its name only when it is whole and on
the disk. Killed at any moment, call it again: what is there is not copied again.
"""


@click.command("replicate", epilog=EPILOG)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--to", "storage", required=True, metavar="STORAGE", help="Where to.")
@click.option("--closure", is_flag=True, help="Of products also the files that they name.")
@click.option("--dry-run", is_flag=True, help="Only say which copies would be made first.")
@with_options(DATA)
@json_option
def command(names: tuple[str, ...], storage: str, **given: Any) -> int:
    """Copy files to a STORAGE, on the way with the fewest copies."""
    with copying(quiet=given["as_json"]) as progress:
        copies = replicate(
            data_settings(given),
            names,
            storage,
            closure=given["closure"],
            dry_run=given["dry_run"],
            progress=progress,
        )
    if given["as_json"]:
        told = [{"file": name, "to": goal} for name, goal in copies]
        state = "ok" if given["dry_run"] else "done"
        click.echo(json.dumps({"state": state, "copies": told}))
        return DONE
    if given["dry_run"]:
        for name, goal in copies:
            click.echo(f"would copy {name} to {goal}")
    else:
        what = "copy was" if len(copies) == 1 else "copies were"
        click.echo(f"{len(copies)} {what} made for {counted(len(names), 'name')}")
    return DONE
