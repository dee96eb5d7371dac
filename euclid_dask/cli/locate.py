"""`locate`: where files are, as URLs of this moment and this zone."""

import json
from typing import Any, Final

import click

from euclid_dask.api.data import Whereabouts, whereabouts
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.core.values import to_json
from euclid_dask.data.model import ReplicaState
from euclid_dask.report.words import moment, size

EPILOG: Final = """\
\b
Examples:
  euclid-dask locate EUC_VIS_RAW.fits
  euclid-dask locate EUC_VIS_RAW.fits --zone laptop
  euclid-dask locate EUC_VIS_RAW.fits --history
"""


@click.command("locate", epilog=EPILOG)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--history", is_flag=True, help="Also what has happened to the files, and why.")
@with_options(DATA)
@json_option
def command(names: tuple[str, ...], *, history: bool, **given: Any) -> int:
    """Show where files are: their replicas, and the URLs by which this zone reaches them."""
    found = whereabouts(data_settings(given), names)
    if given["as_json"]:
        click.echo(json.dumps({"state": "ok", "files": json.loads(to_json(found))}))
        return DONE
    for one in found:
        _tell(one, history=history)
    return DONE


def _tell(one: Whereabouts, *, history: bool) -> None:
    click.echo(f"{one.file.name}  {size(one.file.size)}, {one.file.state}")
    for checksum in one.file.checksums:
        click.echo(f"  {checksum.algorithm} {checksum.value}")
    for replica in one.replicas:
        click.echo(f"  {replica.state} in {replica.storage}: {replica.path}")
    for url in one.urls:
        click.echo(f"  {url}")
    if not one.urls:
        click.echo(f"  {_unreached(one)}")
    for owner in one.pinned_by:
        click.echo(f"  needed by {owner}")
    if history:
        for event in one.history:
            where = f" in {event.storage}" if event.storage else ""
            click.echo(f"  {moment(event.at_s)}  {event.kind}{where}  {event.detail}")


def _unreached(one: Whereabouts) -> str:
    """Return why there is no URL, and what can be done."""
    if not one.replicas:
        return f"it has no replica: it is {one.file.state}"
    if any(replica.state is ReplicaState.AVAILABLE for replica in one.replicas):
        return "this zone does not reach it; `euclid-dask replicate` brings it"
    return "none of its replicas can be read; see `euclid-dask why` and `euclid-dask fsck`"
