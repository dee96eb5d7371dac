"""`profiles`: what tasks used, by executable, and how to gather it anew."""

import json
from pathlib import Path
from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option
from euclid_dask.core.errors import InputError
from euclid_dask.report.terminal import table
from euclid_dask.report.usage import quantiles
from euclid_dask.report.words import counted, duration, ram
from euclid_dask.runner.profiles import DONE as SUCCEEDED
from euclid_dask.runner.profiles import Definition, ProfileStore, Usage
from euclid_dask.runner.workspace import Workspace

EPILOG = """\
\b
Examples:
  euclid-dask profiles show w
  euclid-dask profiles rebuild w1 w2 --store ~/profiles.sqlite
"""
_HEAD = ("executable", "tasks", "wall median", "90 %", "longest", "CPU median", "RAM median",
         "largest")  # fmt: skip


@click.group("profiles", epilog=EPILOG)
def command() -> None:
    """Look at what tasks used, or gather it anew.

    Every run adds what its tasks used to one file: with the records of its workdir or of its site,
    unless --profiles or EUCLID_DASK_PROFILES says where.
    """


@command.command("show")
@click.argument("workdir", metavar="[WORKDIR]", required=False)
@click.option("--store", metavar="FILE", help="Profiles to look at, instead of a workdir's.")
@json_option
def show(workdir: str | None, store: str | None, *, as_json: bool) -> int:
    """Show what the tasks of each executable used, in its latest version."""
    with api.open_profiles(workdir, store) as profiles:
        found = [(one, profiles.usages(one.executable, one.version))
                 for one in profiles.definitions()]  # fmt: skip
    rows = [_quantiles(one, done) for one, used in found if (done := _succeeded(used))]
    if as_json:
        click.echo(json.dumps({"state": "ok", "executables": rows}))
    else:
        click.echo(table([_HEAD, *map(_row, rows)]) if rows else "no task succeeded yet")
    return DONE


@command.command("rebuild")
@click.argument("workdirs", metavar="WORKDIR...", nargs=-1, required=True)
@click.option("--store", metavar="FILE", help="The file to make; default: that of the one WORKDIR.")
def rebuild(workdirs: tuple[str, ...], store: str | None) -> int:
    """Make the file of profiles anew, from the journals in workdirs."""
    workspaces = [Workspace(Path(workdir).absolute()) for workdir in workdirs]
    for workspace in workspaces:
        workspace.find(None)
    if store is None and len(workspaces) > 1:
        raise InputError("of several workdirs one file is made", hint="say which: --store FILE")
    path = Path(store).absolute() if store else api.profiles_of(workspaces[0], api.Settings())
    half = path.with_name(f".{path.name}.new")
    try:
        half.unlink(missing_ok=True)
        with ProfileStore.open(half) as profiles:
            for workspace in workspaces:
                for problem in profiles.take_in_workdir(workspace):
                    click.echo(click.style("warning: ", fg="yellow") + problem, err=True)
        half.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}", hint="give another with --store"
        ) from error
    finally:
        half.unlink(missing_ok=True)
    click.echo(f"{path}: {counted(sum(len(one.runs()) for one in workspaces), 'run')}")
    return DONE


def _succeeded(used: list[Usage]) -> list[Usage]:
    return [use for use in used if use.verdict == SUCCEEDED]


def _quantiles(one: Definition, done: list[Usage]) -> dict[str, Any]:
    rams = [float(use.peak_ram_bytes) for use in done if use.peak_ram_bytes] or [0.0]
    return {
        "executable": one.executable,
        "version": one.version,
        "tasks": len(done),
        "wall_s": quantiles(use.wall_s for use in done),
        "cpu_s": quantiles(use.cpu_s for use in done),
        "peak_ram_bytes": quantiles(rams),
    }


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    wall, rams = found["wall_s"], found["peak_ram_bytes"]
    return (
        found["executable"],
        f"{found['tasks']:,}",
        *map(duration, wall),
        duration(found["cpu_s"][0]),
        ram(rams[0]),
        ram(rams[2]),
    )
