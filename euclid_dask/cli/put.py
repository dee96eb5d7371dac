"""`put`: copy files and products into a storage, and register them."""

import json
from pathlib import Path
from typing import Any, Final

import click

from euclid_dask.api.folders import put
from euclid_dask.cli.bars import bytes_bar
from euclid_dask.cli.data_options import DATA, data_settings, values_option
from euclid_dask.cli.exits import DONE, FAILED
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.core.values import to_json
from euclid_dask.report.words import counted, printable, size

EPILOG: Final = """\
\b
Examples:
  euclid-dask put result.xml --to ARCHIVE
  euclid-dask put w/products --to ARCHIVE --value Data.TileIndex --dry-run

The data files of a product are looked for in `data` beside it, beside it, and in ../data. They are
copied first, the XML last, and the product is registered when all is there. Nothing is replaced: a
name never gets other content. Killed at any moment, call it again. Files that lie in a storage
already are registered by `ingest`, without a copy.
"""


@click.command("put", epilog=EPILOG)
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--to", "storage", required=True, metavar="STORAGE", help="Where to.")
@values_option
@click.option("--dry-run", is_flag=True, help="Look at everything, and copy nothing.")
@with_options(DATA)
@json_option
def command(paths: tuple[Path, ...], storage: str, **given: Any) -> int:
    """Copy files, products and whole directories into a STORAGE, and register them."""
    dry_run = given["dry_run"]
    with bytes_bar("copying", quiet=given["as_json"]) as watch:
        found, done = put(
            data_settings(given),
            paths,
            storage,
            values=given["values"],
            dry_run=dry_run,
            watch=watch,
        )
    code = FAILED if done.refused else DONE
    if given["as_json"]:
        state = "failed" if done.refused else "ok" if dry_run else "done"
        told = {"files": len(found.files), "bytes": found.size, **json.loads(to_json(done))}
        click.echo(json.dumps({"state": state, **told}))
        return code
    if dry_run:
        files, products = counted(len(found.files), "file"), counted(len(found.products), "product")
        click.echo(f"would put {files} ({size(found.size)}), of these {products}, into {storage}")
        return code
    for name, why in done.refused.items():
        click.echo(printable(f"{name} is not put: {why}"), err=True)
    copied, products = counted(len(done.copied), "file"), counted(len(done.products), "product")
    click.echo(
        f"{copied} copied into {storage}, {len(done.kept):,} were there; {products} registered"
    )
    return code
