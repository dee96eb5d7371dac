"""`rm`: remove replicas that nobody needs."""

import getpass
import json
from typing import Any, Final

import click

from euclid_dask.api.upkeep import Removed, Wish, remove
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE, FAILED
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.core.values import to_json

EPILOG: Final = """\
\b
Examples:
  euclid-dask rm EUC_VIS_RAW.fits --from SCRATCH
  euclid-dask rm EUC_VIS_RAW.fits --from SCRATCH --dry-run
  euclid-dask rm EUC_VIS_BAD.fits --last-copy --adopted --reason 'detector was warm'

A replica stays, and it is said why, when a run has pinned its file, a transfer of it is under way,
a rule wants it there, or no other good one is in a durable storage. Only --last-copy takes that,
and then the file is gone: its name is never used for other content. What `ingest` registered where
it lay stays without --adopted: whoever put it there may not know of the registry.
"""
TOLD: Final = {
    "removed": "removed from",
    "kept": "stays in",
    "waiting": "waits to be removed from",
    "free": "would be removed from",
}


@click.command("rm", epilog=EPILOG)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--from", "storages", multiple=True, metavar="STORAGE", help="Where; may be given twice."
)
@click.option("--last-copy", is_flag=True, help="Also the last good copy, and so the file.")
@click.option(
    "--adopted", is_flag=True, help="Also files that were registered where they lay, by `ingest`."
)
@click.option("--reason", metavar="TEXT", help="Why, for the record; default: who asked for it.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="How long they stay; then `euclid-dask move` removes them.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@with_options(DATA)
@json_option
def command(names: tuple[str, ...], storages: tuple[str, ...], **given: Any) -> int:
    """Remove the files of these NAMEs from storages; never the last copy, unless you say so."""
    wish = Wish(
        names=names,
        storages=storages,
        reason=given["reason"] or f"rm by {getpass.getuser()}",
        last_copy=given["last_copy"],
        adopted=given["adopted"],
        grace_s=given["grace"],
    )
    done = remove(data_settings(given), wish, dry_run=given["dry_run"])
    kept = any(one.state == "kept" for one in done)
    if given["as_json"]:
        state = "failed" if kept else "ok" if given["dry_run"] else "done"
        click.echo(json.dumps({"state": state, "replicas": json.loads(to_json(done))}))
    else:
        for one in done:
            click.echo(_line(one))
    return FAILED if kept else DONE


def _line(one: Removed) -> str:
    reason = f": {one.reason}" if one.reason else ""
    return f"{one.file} {TOLD[one.state]} {one.storage}{reason}"
