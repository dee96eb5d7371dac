"""`clean`: remove what runs made in a workdir."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import workdir_argument
from euclid_dask.core.errors import InputError, WorkdirError
from euclid_dask.report.words import counted, listed, size
from euclid_dask.runner.cleaning import CleaningPlan, cleaning
from euclid_dask.runner.workspace import REGISTERED, Workspace

EPILOG = """\
\b
Examples:
  euclid-dask clean w --dry-run
  euclid-dask clean w
  euclid-dask clean w --keep outputs --yes

Inputs, files that no task declared, and outputs that were changed since are never removed; nor
what is registered there, unless the registry knows good copies of it that last.
"""
MOST_PROBLEMS: Final = 10


@click.command("clean", epilog=EPILOG)
@workdir_argument
@click.option(
    "--keep",
    type=click.Choice(["outputs"]),
    help="Keep the outputs of the pipeline and the files that they name.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def command(workdir: str, **given: Any) -> int:
    """Remove what the engine and its tasks made in WORKDIR: outputs, lists, logs, records."""
    workspace = Workspace(Path(workdir).absolute())
    keep_outputs = given["keep"] == "outputs"

    def refuse_pilots(site: str) -> None:
        from euclid_dask.api import living  # noqa: PLC0415  fast start

        living.refuse_pilots(workspace, site)

    with cleaning(workspace, keep_outputs=keep_outputs, refuse_pilots=refuse_pilots) as (
        plan,
        remove,
    ):
        for line in _lines(plan, whole=given["dry_run"]):
            click.echo(line)
        registered = not keep_outputs and (workspace.records / REGISTERED).exists()
        if registered:
            _release(workspace, dry_run=True)
        if given["dry_run"]:
            return DONE
        if not given["yes"]:
            _ask()
        if registered:
            _release(workspace)
        problems = remove()
    if problems:
        raise WorkdirError(
            f"{counted(len(problems), 'file')} could not be removed:\n  "
            + "\n  ".join(problems[:MOST_PROBLEMS]),
            hint="call it again when they are free",
        )
    click.echo("removed")
    return DONE


def _lines(plan: CleaningPlan, *, whole: bool) -> Iterator[str]:
    if whole:
        yield from (f"would remove {path}" for path in (*plan.files, *plan.logs, plan.records))
    yield (f"{counted(len(plan.files), 'file')}, logs and records, {size(plan.size_bytes)} in all")
    if plan.unknown:
        names = listed(plan.unknown, most=5)
        yield f"{counted(len(plan.unknown), 'file')} will stay, as no task left it so: {names}"
    if plan.damaged:
        names = listed([*plan.damaged])
        yield f"what these runs made last will stay, as their journals are damaged: {names}"


def _release(workspace: Workspace, *, dry_run: bool = False) -> None:
    """Have registered files go by the registry; with `dry_run` only refuse what it refuses."""
    from euclid_dask.api.registering import release  # noqa: PLC0415  few runs are registered

    for name in release(workspace, dry_run=dry_run):
        if dry_run:
            click.echo(f"registered, with a good copy elsewhere: {name}")


def _ask() -> None:
    if not sys.stdin.isatty():
        raise InputError("nobody can be asked here", hint="add --yes to remove without asking")
    click.confirm("remove them?", abort=True)
