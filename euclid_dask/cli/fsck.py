"""`fsck`: compare storages with what the registry says of them."""

import json
from typing import Any, Final

import click

from euclid_dask.api.upkeep import check_files
from euclid_dask.cli.bars import count
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE, FAILED
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.core.values import to_json
from euclid_dask.data.fsck import Choices, Finding, Report, What
from euclid_dask.report.words import counted, printable

EPILOG: Final = """\
\b
Examples:
  euclid-dask fsck
  euclid-dask fsck ARCHIVE --read-all
  euclid-dask fsck ARCHIVE --confirm

\b
lost     the registry knows a replica, and there is no file
changed  the file has other bytes
dark     there is a file that the registry does not know: ingest it, or remove it
part     what a copy left that was cut off
unread   it cannot be read, or nothing is known to compare it with
good     it was doubted or touched, and its content is right

What is lost or changed becomes suspect, and is not read any more. Look at it; a second check with
--confirm makes it lost or bad, and rules have it copied anew. Where the storage's marker is not
seen nothing is known, and nothing is changed. Exit code 1 says that something is not in order.
"""


@click.command("fsck", epilog=EPILOG)
@click.argument("names", metavar="[STORAGE ...]", nargs=-1)
@click.option("--read-all", is_flag=True, help="Read every file, not only what looks odd.")
@click.option(
    "--confirm", is_flag=True, help="What an earlier check found, and is so still, is lost or bad."
)
@click.option("--dry-run", is_flag=True, help="Change nothing.")
@with_options(DATA)
@json_option
def command(names: tuple[str, ...], **given: Any) -> int:
    """Compare STORAGEs with the registry: all that this zone reads, if none is named."""
    choices = Choices(
        confirm=given["confirm"], read_all=given["read_all"], dry_run=given["dry_run"]
    )
    with count("files", quiet=given["as_json"]) as watch:
        reports = check_files(data_settings(given), names, choices, watch)
    odd = any(one.error or any(map(_is_odd, one.findings)) for one in reports)
    if given["as_json"]:
        state = "failed" if odd else "ok"
        click.echo(json.dumps({"state": state, "storages": json.loads(to_json(reports))}))
    else:
        for report in reports:
            _tell(report)
        if not reports:
            click.echo("this zone reads no storage of ours")
    return FAILED if odd else DONE


def _is_odd(one: Finding) -> bool:
    return one.what is not What.GOOD and one.done != "removed"


def _tell(report: Report) -> None:
    if report.error:
        click.echo(f"{report.storage} cannot be checked, and nothing was changed: {report.error}")
        return
    odd = counted(sum(map(_is_odd, report.findings)), "file")
    told = "all is in order" if not any(map(_is_odd, report.findings)) else f"{odd} not in order"
    click.echo(f"{report.storage}: {counted(report.files, 'file')}, {told}")
    for one in report.findings:
        done = f" -> {one.done}" if one.done else ""
        detail = f": {one.detail}" if one.detail else ""
        click.echo(printable(f"  {one.what:8} {one.path}{detail}{done}"))
