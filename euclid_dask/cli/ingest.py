"""`ingest`: register files where they lie."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from euclid_dask.api.data import ingest
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.data.adopting import Lying
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
@click.option(
    "--value",
    "values",
    multiple=True,
    metavar="PATH",
    help="Texts of products to find them by, besides their headers, as Data.TileIndex.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be registered.")
@with_options(DATA)
@json_option
def command(paths: tuple[Path, ...], **given: Any) -> int:
    """Register files, products and whole directories, where they lie in a storage."""
    with _progress(quiet=given["as_json"]) as watch:
        found, read = ingest(
            data_settings(given),
            paths,
            values=given["values"],
            dry_run=given["dry_run"],
            watch=watch,
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


class _progress:  # noqa: N801  a context manager is named like a function
    """A bar of bytes on a terminal, nothing elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console  # noqa: PLC0415  slow to import
        from rich.progress import DownloadColumn, Progress, TransferSpeedColumn  # noqa: PLC0415

        console = Console(stderr=True)
        self._bar = Progress(
            *Progress.get_default_columns(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )

    def __enter__(self) -> Callable[[Lying, int], None]:
        self._bar.start()
        task = self._bar.add_task("reading", total=None)

        def watch(one: Lying, total: int) -> None:
            self._bar.update(task, advance=one.size, total=total)

        return watch

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
