"""`find`: products by what they say."""

import json
from collections.abc import Iterator
from typing import Any, Final

import click

from euclid_dask.api.data import open_registry
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.core.values import to_json
from euclid_dask.data.model import FoundProduct
from euclid_dask.data.query import parse_query
from euclid_dask.data.registry import Registry
from euclid_dask.report.terminal import table

PAGE: Final = 1000
EPILOG: Final = """\
\b
Examples:
  euclid-dask find DpdVisRawFrame
  euclid-dask find 'DpdVisRawFrame where Data.ObservationSequence.ObservationId == 31283'
  euclid-dask find 'Header.DataSetRelease=SC8_MAIN_V0 && Data.TileIndex==90346'

A path is the names of XML elements from below the root, joined by dots. There are == (or =), !=,
<, <=, >, >=, like *TEXT*, && and ||, ! and parentheses. Fields of headers can always be asked for,
others if they were given to `ingest --value`.
"""


@click.command("find", epilog=EPILOG)
@click.argument("query", metavar="QUERY")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@with_options(DATA)
@json_option
def command(query: str, limit: int, **given: Any) -> int:
    """List the products that fulfil a QUERY."""
    wanted = parse_query(query)
    with open_registry(data_settings(given), read_only=True) as registry:
        found = list(_found(registry, wanted, limit + 1))
    more = len(found) > limit
    found = found[:limit]
    if given["as_json"]:
        told = json.loads(to_json(found))
        click.echo(json.dumps({"state": "ok", "products": told, "more": more}))
        return DONE
    rows = [("product", "type", "file"), *((one.product_id, one.type, one.xml) for one in found)]
    click.echo(table(rows) if found else "no product fulfils it")
    if more:
        click.echo(f"and more: --limit shows more than {limit}", err=True)
    return DONE


def _found(registry: Registry, wanted: Any, limit: int) -> Iterator[FoundProduct]:
    after = ""
    while limit > 0:
        page = registry.find(wanted, limit=min(PAGE, limit), after=after)
        yield from page
        if len(page) < min(PAGE, limit):
            return
        limit -= len(page)
        after = page[-1].product_id
