"""`why`: why a file is where it is, and why it is not elsewhere."""

import json
from collections.abc import Iterator
from typing import Any, Final

import click

from euclid_dask.api.upkeep import Reasons, why
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.core.errors import InputError
from euclid_dask.core.values import to_json
from euclid_dask.report.words import moment, printable, size

EPILOG: Final = """\
\b
Examples:
  euclid-dask why EUC_VIS_RAW.fits
  euclid-dask why EUC_VIS_RAW.fits --in SCRATCH
"""


@click.command("why", epilog=EPILOG)
@click.argument("name", metavar="NAME")
@click.option("--in", "storage", metavar="STORAGE", help="Only this storage.")
@with_options(DATA)
@json_option
def command(name: str, storage: str | None, **given: Any) -> int:
    """Tell why the file NAME is where it is and not elsewhere, and what happened to it."""
    found = why(data_settings(given), name)
    if storage is not None and storage not in found.storages:
        raise InputError(
            f"there is no storage {storage}", hint=f"there are: {', '.join(found.storages)}"
        )
    if given["as_json"]:
        click.echo(json.dumps({"state": "ok", **json.loads(to_json(found))}))
        return DONE
    for line in _lines(found, storage):
        click.echo(printable(line))
    return DONE


def _lines(found: Reasons, storage: str | None) -> Iterator[str]:
    place = found.place
    yield f"{place.file.name}  {size(place.file.size)}, {place.file.state}"
    yield from _of_file(found)
    for name in [storage] if storage else found.storages:
        yield from _of_storage(found, name)
    yield "what happened:"
    for event in place.history:
        if storage and event.storage not in {storage, ""}:
            continue
        where = f" in {event.storage}" if event.storage else ""
        detail = f": {event.detail}" if event.detail else ""
        yield f"  {moment(event.at_s)}  {event.kind}{where}{detail}"


def _of_file(found: Reasons) -> Iterator[str]:
    for product in found.products:
        yield f"  belongs to product {product}"
    if found.more_products:
        yield f"  and to {found.more_products:,} more"
    for owner in found.place.pinned_by:
        yield f"  pinned by {owner}: no replica of it is removed"
    for claim in found.claims:
        if not claim.storage:
            yield f"  rule {claim.rule} is stuck: {claim.error}"


def _of_storage(found: Reasons, name: str) -> Iterator[str]:
    replica, told = found.of(name)
    stands = f"{replica.state}, {replica.path}" if replica else "not there"
    yield f"  {name}: {stands}"
    yield from (f"    {line}" for line in told)
    if not told:
        yield "    nobody asked for it: no rule wants it there, and no transfer"
