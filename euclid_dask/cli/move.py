"""`move`: a process that carries out what the registry's queues ask for."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import click

from euclid_dask.api.copies import Waiting, serve, waiting
from euclid_dask.cli.bars import bytes_bar
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE, FAILED
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.core.values import to_json
from euclid_dask.data.serving import Turn
from euclid_dask.report.words import counted

EPILOG: Final = """\
\b
Examples:
  euclid-dask move --once
  euclid-dask move --dry-run
  euclid-dask move --zone transfer-node --registry postgresql://db.site/euclid

It copies what is queued and this zone can bring, removes what is to be removed, and applies all
rules now and every 5 minutes. What fails in a way that may pass is tried again. It may be killed at
any moment; who comes next goes on. SIGTERM ends it. Several may serve one registry in PostgreSQL;
one in SQLite is served by one, and other commands write to it meanwhile.
"""


class _TerminatedError(KeyboardInterrupt):
    """Somebody sent SIGTERM."""


@click.command("move", epilog=EPILOG)
@click.option("--once", is_flag=True, help="End when nothing can be done now.")
@click.option("--rules/--no-rules", default=True, help="Whether rules are applied.")
@click.option("--dry-run", is_flag=True, help="Only say what is to be done.")
@with_options(DATA)
@json_option
def command(*, once: bool, rules: bool, dry_run: bool, **given: Any) -> int:
    """Carry out the transfers and removals that are queued, and what rules want."""
    as_json = given["as_json"]
    if dry_run:
        _tell_waiting(waiting(data_settings(given)), as_json=as_json)
        return DONE
    try:
        with _terminated(), bytes_bar("copying", quiet=as_json) as watch:
            turn = serve(
                data_settings(given),
                once=once,
                with_rules=rules,
                watch=lambda some: watch(some, None),
                tell=lambda one: _tell(one, as_json=as_json),
            )
    except _TerminatedError:
        return DONE
    _tell(turn, as_json=as_json)
    return FAILED if turn.drained.failed or turn.cleaned.failed else DONE


@contextmanager
def _terminated() -> Iterator[None]:
    def end(_: int, __: FrameType | None) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell_waiting(found: Waiting, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"state": "ok", **json.loads(to_json(found))}))
        return
    for one in found.ruled:
        click.echo(f"rule {one.rule}: {counted(one.files, 'file')}, {one.missing:,} to be copied")
    for transfer in found.transfers:
        click.echo(f"{transfer.state}: copy {transfer.file} to {transfer.destination}")
    for deletion in found.deletions:
        click.echo(f"{deletion.state}: remove {deletion.file} from {deletion.storage}")
    if not found.transfers and not found.deletions:
        click.echo("nothing is queued")


def _tell(turn: Turn, *, as_json: bool) -> None:
    drained, cleaned = turn.drained, turn.cleaned
    if as_json:
        state = "failed" if drained.failed or cleaned.failed else "done"
        click.echo(json.dumps({"state": state, **json.loads(to_json(turn))}))
        return
    if turn.error:
        click.echo(f"{turn.error}; it is asked again", err=True)
        return
    for one in turn.ruled:
        click.echo(f"rule {one.rule}: {counted(one.files, 'file')}, {one.missing:,} to be copied")
        for stuck in one.stuck[:3]:
            click.echo(f"  {counted(len(stuck.files), 'file')} stuck: {stuck.reason}")
    copied = f"{drained.done:,} copied, {drained.again:,} wait for another try"
    removed = f"{cleaned.removed:,} removed, {cleaned.waiting:,} wait to be removed"
    click.echo(f"{copied}, {drained.failed:,} failed; {removed}, {cleaned.failed:,} failed")
    if drained.failed:
        click.echo("  see: euclid-dask transfers --failed")
    for name, why in cleaned.untouched.items():
        click.echo(f"  nothing was removed from {name}: {why}")
