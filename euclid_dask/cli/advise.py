"""`advise`: what executables should ask for, and a patch of their package definitions."""

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option
from euclid_dask.core.values import to_json
from euclid_dask.dsl.patch import Change, patched, unified
from euclid_dask.planner.sizing import Goal
from euclid_dask.report.advice import LEAST, Advice
from euclid_dask.report.terminal import table
from euclid_dask.report.words import counted, duration, percent, ram, size

EPILOG = """\
\b
Examples:
  euclid-dask advise w
  euclid-dask advise w --patch > needs.patch && patch -p1 < needs.patch
  euclid-dask advise --store ~/profiles.sqlite --goal safe

A task that needs more RAM than it asks for is killed; --goal says how often that may be. "waste":
little is held and not used, second attempts included; "throughput": many tasks at once;
"safe": never, as far as is known.
"""
_HEAD = ("executable", "tasks", "cores", "RAM", "walltime", "risk", "core-h", "GB-h")


@click.command("advise", epilog=EPILOG)
@click.argument("workdir", metavar="[WORKDIR]", required=False)
@click.option("--store", metavar="FILE", help="Profiles to look at, instead of a workdir's.")
@click.option(
    "--goal",
    type=click.Choice([str(goal) for goal in Goal]),
    default=str(Goal.WASTE),
    show_default=True,
    help="What to ask for RAM by.",
)
@click.option(
    "--least",
    type=click.IntRange(min=1),
    default=LEAST,
    show_default=True,
    help="Tasks that are needed to advise to ask for less.",
)
@click.option("--patch", is_flag=True, help="Print a patch of the package definitions.")
@json_option
def command(workdir: str | None, **given: Any) -> int:
    """Say what executables should ask for, from what their tasks used.

    Looks at all runs in WORKDIR, or the current folder.
    """
    found = api.advise(workdir, store=given["store"], goal=given["goal"], least=given["least"])
    if given["as_json"]:
        click.echo(json.dumps({"state": "ok", "advice": [_as_json(one) for one in found]}))
    elif given["patch"]:
        _print_patch([one for one in found if one.is_change])
    else:
        for line in _lines(found):
            click.echo(line)
    return DONE


def _as_json(one: Advice) -> dict[str, Any]:
    fields = dataclasses.asdict(one)
    needs = {name: json.loads(to_json(fields[name])) for name in ("asked", "advised")}
    for name, resources in (("asked", one.asked), ("advised", one.advised)):
        needs[name] = {key: getattr(resources, key) for key in resources.__struct_fields__}
    return {**fields, **needs}


def _lines(found: Sequence[Advice]) -> Iterator[str]:
    if not found:
        yield "no task ran yet"
        return
    yield table([_HEAD, *map(_row, found)])
    yield "(asked -> advised, and what was used; risk: of a kill for RAM; saved, of what was held)"
    for one in found:
        if one.note:
            yield f"{one.executable}: {one.note}"
        if one.killed:
            yield f"{one.executable}: {counted(one.killed, 'attempt')} killed for a limit"
    if any(one.is_change for one in found):
        yield "as a patch: add --patch"
    else:
        yield "nothing to change"


def _row(one: Advice) -> tuple[str, ...]:
    asked, advised = one.asked, one.advised
    cores = f"{one.cores_used:.2g}" if one.cores_used else "-"
    return (
        one.executable,
        f"{one.count:,}",
        _cell(f"{asked.cores:g}", f"{advised.cores:g}", cores),
        _cell(size(asked.ram_bytes), size(advised.ram_bytes), ram(one.peak_ram_bytes)),
        _cell(duration(asked.walltime_s), duration(advised.walltime_s), duration(one.longest_s)),
        "-" if one.risk is None else f"< {percent(one.risk)}",
        _saved(one.saved_core_hours, one.core_hours),
        _saved(one.saved_gb_hours, one.gb_hours),
    )


def _cell(asked: str, advised: str, used: str) -> str:
    return f"{asked}{f' -> {advised}' if advised != asked else ''} ({used})"


def _saved(saved: float, held: float) -> str:
    return f"{saved:.2g} of {held:.2g}"


def _print_patch(found: Sequence[Advice]) -> None:
    files: dict[Path, list[Change]] = {}
    for one in found:
        file, _, line = one.defined_at.rpartition(":")
        change = Change(one.name, int(line) if line.isdigit() else 0, one.asked, one.advised)
        files.setdefault(Path(file), []).append(change)
    base = _base(list(files))
    for path, changes in files.items():
        try:
            before = path.read_bytes()
        except OSError as error:
            _refuse(path, {change.name: str(error.strerror) for change in changes})
            continue
        result = patched(before, changes)
        _refuse(path, result.refused)
        click.echo(unified(os.path.relpath(path, base), before, result.source), nl=False)
    if base != Path.cwd():
        click.echo(f"apply with: patch -p1 -d {base}", err=True)


def _base(paths: Sequence[Path]) -> Path:
    """Return the folder in which the patch is applied: this one, or one above all files."""
    if all(path.is_relative_to(Path.cwd()) for path in paths):
        return Path.cwd()
    return Path(os.path.commonpath([path.parent for path in paths]))


def _refuse(path: Path, refused: dict[str, str]) -> None:
    for name, why in refused.items():
        click.echo(f"not changed: {name} in {path}: {why}", err=True)
