"""`ingest`: register files where they lie."""

import json
from pathlib import Path
from typing import Any, Final

import click

from euclid_dask.api.data import ingest
from euclid_dask.cli.bars import bytes_bar
from euclid_dask.cli.data_options import DATA, data_settings, values_option
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.report.words import counted, size

EPILOG: Final = """\
\b
Examples:
  euclid-dask ingest /data/archive/raw
  euclid-dask ingest frame.xml --value Data.ObservationSequence.ObservationId --dry-run

Nothing is copied or changed: each file is read once, and its name, size, checksums and place are
registered. The data files of a product are looked for in `data` beside it, beside it, and in
../data. Doing it again reads only what is new or changed.
"""


@click.command("ingest", epilog=EPILOG)
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@values_option
@click.option("--dry-run", is_flag=True, help="Only say what would be registered.")
@with_options(DATA)
@json_option
def command(paths: tuple[Path, ...], **given: Any) -> int:
    """Register files, products and whole directories, where they lie in a storage."""
    with bytes_bar("reading", quiet=given["as_json"]) as watch:
        found, read = ingest(
            data_settings(given),
            paths,
            values=given["values"],
            dry_run=given["dry_run"],
            watch=lambda one, total: watch(one.size, total),
        )
    counts = {"files": len(found.files), "products": len(found.products), "bytes": found.size}
    if given["as_json"]:
        state = "ok" if given["dry_run"] else "done"
        click.echo(json.dumps({"state": state, **counts, "read": read}))
        return DONE
    would = "would register " if given["dry_run"] else "registered "
    click.echo(
        f"{would}{counted(len(found.files), 'file')} ({size(found.size)}), of these "
        f"{counted(len(found.products), 'product')}; read {counted(read, 'file')}"
    )
    return DONE
