"""`get`: bring files and products into a folder."""

import json
from pathlib import Path
from typing import Any, Final

import click

from euclid_dask.api.folders import Got, Sought, get
from euclid_dask.cli.bars import bytes_bar
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE, FAILED
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.core.errors import InputError
from euclid_dask.core.values import to_json
from euclid_dask.data.filling import How
from euclid_dask.report.words import counted, printable, size

EPILOG: Final = """\
\b
Examples:
  euclid-dask get EUC_VIS_RAW.fits
  euclid-dask get frame.xml VIS-RAW-91100-2 --to w
  euclid-dask get --query 'DpdVisRawFrame where Data.TileIndex == 90346' --to w --dry-run

Several files come at once, each compared with all checksums before it gets its name. Where a
source fails another is taken. Cut off at any moment, call it again: what was cut goes on where it
was cut, and what is here is compared and kept. Nothing is replaced. What came is read only.
"""


@click.command("get", epilog=EPILOG)
@click.argument("names", metavar="[NAME ...]", nargs=-1)
@click.option("--query", default="", metavar="QUERY", help="Products that fulfil it.")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    metavar="DIR",
    help="Folder for the XML of products; data files go to DIR/data.",
)
@click.option("--only-xml", is_flag=True, help="Products without the files that they name.")
@click.option("--dry-run", is_flag=True, help="Only say what would be brought, and from where.")
@with_options(DATA)
@json_option
def command(names: tuple[str, ...], **given: Any) -> int:
    """Bring files and products, by their NAMEs or a query, into a folder."""
    if not names and not given["query"]:
        raise InputError("nothing is asked for", hint="give names, or --query")
    sought = Sought(names=names, query=given["query"], only_xml=given["only_xml"])
    dry_run, to = given["dry_run"], given["to"]
    with bytes_bar("bringing", quiet=given["as_json"]) as watch:
        got = get(data_settings(given), sought, to, dry_run=dry_run, watch=watch)
    code = FAILED if got.missed else DONE
    if given["as_json"]:
        state = "failed" if got.missed else "ok" if dry_run else "done"
        click.echo(json.dumps({"state": state, **_told(got)}))
    elif dry_run:
        for one in got.wanted:
            click.echo(f"{size(one.file.size)}  {to / one.place} from {one.sources[0].url}")
    else:
        _tell(got, to)
    return code


def _told(got: Got) -> dict[str, Any]:
    wanted = [
        {
            "file": one.file.name,
            "size": one.file.size,
            "place": one.place,
            "sources": [source.url for source in one.sources],
        }
        for one in got.wanted
    ]
    return {
        "wanted": wanted,
        "files": json.loads(to_json(got.files)),
        "missed": dict(got.missed),
        "troubles": list(got.troubles),
    }


def _tell(got: Got, to: Path) -> None:
    for trouble in got.troubles:
        click.echo(click.style("warning: ", fg="yellow") + printable(trouble), err=True)
    for name, why in got.missed.items():
        click.echo(printable(f"{name} is not here: {why}"), err=True)
    kept = sum(one.how is How.KEPT for one in got.files)
    brought = sum(one.brought for one in got.files)
    click.echo(
        f"{counted(len(got.files), 'file')} in {to} ({kept:,} were there), {size(brought)} brought"
    )
    if got.missed:
        click.echo(f"{counted(len(got.missed), 'file')} not; call it again to go on", err=True)
