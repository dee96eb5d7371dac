"""`transfers`: the queue of copies, and what became of them."""

import json
from typing import Any, Final

import click

from euclid_dask.api.copies import cancel, retry, transfers
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE, FAILED
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.core.errors import InputError
from euclid_dask.core.values import to_json
from euclid_dask.data.model import TransferState
from euclid_dask.data.registry.queues import Standing
from euclid_dask.data.states import ACTIVE
from euclid_dask.report.terminal import table
from euclid_dask.report.words import counted, moment, printable

EPILOG: Final = """\
\b
Examples:
  euclid-dask transfers
  euclid-dask transfers --failed
  euclid-dask transfers --retry && euclid-dask move --once
  euclid-dask transfers EUC_VIS_RAW.fits --all

\b
queued      waits for a mover that can bring it: `replicate`, or `move`
running     a mover copies it into a part file
publishing  all of it is there and compared; it gets its name
retry       failed in a way that may pass; tried again, later each time
done, failed, cancelled
"""
FAILURES: Final = frozenset({TransferState.FAILED, TransferState.RETRY})


@click.command("transfers", epilog=EPILOG)
@click.argument("names", metavar="[NAME ...]", nargs=-1)
@click.option("--failed", is_flag=True, help="Those that failed, for good or for now, and why.")
@click.option("--all", "every", is_flag=True, help="Also those that have ended.")
@click.option("--retry", "again", is_flag=True, help="Have what failed tried again at once.")
@click.option("--cancel", "give_up", is_flag=True, help="Give up those of the NAMEs.")
@click.option("--dry-run", is_flag=True, help="Of --retry and --cancel: only say how many.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@with_options(DATA)
@json_option
def command(names: tuple[str, ...], **given: Any) -> int:
    """List the copies that are queued, under way or to be tried again; of any file or of NAMEs."""
    if given["again"] and given["give_up"]:
        raise InputError("--retry and --cancel contradict each other", hint="give one of them")
    if given["again"]:
        return _retry(names, given)
    if given["give_up"]:
        return _cancel(names, given)
    states = FAILURES if given["failed"] else frozenset(TransferState) if given["every"] else ACTIVE
    found = transfers(data_settings(given), names, states=states, limit=given["limit"])
    if given["as_json"]:
        click.echo(json.dumps({"state": "ok", **json.loads(to_json(found))}))
        return DONE
    counts = ", ".join(f"{number:,} {state}" for state, number in sorted(found.counts.items()))
    if found.transfers:
        rows = [("file", "to", "state", "since"), *map(_row, found.transfers)]
        lines = table(rows).splitlines()
        click.echo(lines[0])
        for one, line in zip(found.transfers, lines[1:], strict=True):
            click.echo(line)
            if one.transfer.error:
                click.echo(printable(f"      {one.transfer.error}"))
    click.echo(f"in all: {counts or 'none'}")
    return DONE


def _row(one: Standing) -> tuple[str, str, str, str]:
    transfer = one.transfer
    return transfer.file, transfer.destination, str(transfer.state), moment(one.since_s)


def _retry(names: tuple[str, ...], given: dict[str, Any]) -> int:
    found = retry(data_settings(given), names, dry_run=given["dry_run"])
    code = FAILED if found.refused else DONE
    if given["as_json"]:
        state = "failed" if found.refused else "ok" if given["dry_run"] else "done"
        click.echo(json.dumps({"state": state, **json.loads(to_json(found))}))
        return code
    for name, why in found.refused.items():
        click.echo(f"{name} is not tried again: {why}")
    told = "would be queued again" if given["dry_run"] else "queued again; next: euclid-dask move"
    click.echo(f"{counted(len(found.again), 'transfer')} {told}")
    return code


def _cancel(names: tuple[str, ...], given: dict[str, Any]) -> int:
    if not names:
        raise InputError("--cancel needs names of files", hint="see `euclid-dask transfers`")
    number = cancel(data_settings(given), names, dry_run=given["dry_run"])
    if given["as_json"]:
        state = "ok" if given["dry_run"] else "done"
        click.echo(json.dumps({"state": state, "cancelled": number}))
    else:
        would = "would be " if given["dry_run"] else ""
        click.echo(f"{counted(number, 'transfer')} {would}cancelled")
    return DONE
