"""`register`: register the outputs of a run where they lie."""

import json
from typing import Any, Final

import click

from euclid_dask.api.registering import Choices, register
from euclid_dask.cli.bars import bytes_bar
from euclid_dask.cli.data_options import DATA, data_settings, values_option
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, run_argument, with_options, workdir_argument
from euclid_dask.cli.registering import registered_text
from euclid_dask.core.values import to_json

EPILOG: Final = """\
\b
Examples:
  euclid-dask register w
  euclid-dask register w vis-20260101 --value Data.TileIndex
  euclid-dask register w --dry-run

No byte is copied: the workdir becomes a storage that does not last, and what is registered there is
made read-only. Copies that rules want are made then, as into an archive. Killed at any moment, call
it again. `clean` removes what is registered only when it has good copies elsewhere.
"""


@click.command("register", epilog=EPILOG)
@workdir_argument
@run_argument
@values_option
@click.option("--no-copy", is_flag=True, help="Leave the copies that rules want to `move`.")
@click.option("--dry-run", is_flag=True, help="Only say what would be registered.")
@with_options(DATA)
@json_option
def command(workdir: str, run_id: str | None, **given: Any) -> int:
    """Register the outputs of a run in WORKDIR that is done, and the files that they name.

    Products are kept with the run, task and attempt that made them, and with the products that they
    were made from: see `product show`.
    """
    with bytes_bar("reading", quiet=given["as_json"]) as watch:
        choices = Choices(
            values=given["values"],
            copy=not given["no_copy"],
            dry_run=given["dry_run"],
            watch=watch,
        )
        done = register(workdir, run_id, data_settings(given), choices)
    if given["as_json"]:
        state = "ok" if given["dry_run"] else "done"
        click.echo(json.dumps({"state": state, **json.loads(to_json(done))}))
        return DONE
    for line in registered_text(done, would=given["dry_run"]):
        click.echo(line)
    return DONE
