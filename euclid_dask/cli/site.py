"""`site`: write, convert, look at and try site files."""

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from euclid_dask.cli.exits import DONE, REFUSED
from euclid_dask.cli.options import json_option
from euclid_dask.core.amounts import duration_text
from euclid_dask.core.errors import InputError
from euclid_dask.core.values import to_json
from euclid_dask.pilots.checkup import Check, checkup, scripts
from euclid_dask.pilots.ial import Imported, read_ial, render_import
from euclid_dask.pilots.site import Site, Template, doubts, example, read_site, tables_of
from euclid_dask.pilots.tables import help_of, rendered
from euclid_dask.report.words import counted, size
from euclid_dask.wiring import machine

EPILOG = """\
\b
Examples:
  euclid-dask site new --output site.toml
  euclid-dask site import server.cfg --output site.toml
  euclid-dask site show site.toml
  euclid-dask site check site.toml               (submits a job)
"""
_MORE = ("account", "prologue", "directives", "boot")
output_option = click.option(
    "--output", metavar="SITE.toml", help="Write to this new file; default: stdout."
)


@click.group("site", epilog=EPILOG)
def command() -> None:
    """Write, convert, look at and try site files.

    A site file is TOML and says everything about a data centre: the folder where runs work, the
    batch system, the kinds of pilots, the environments.
    """


@command.command("new")
@output_option
def new(output: str | None) -> int:
    """Write a site file to start from, with every key and its meaning."""
    _write(example(), output)
    return DONE


@command.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@output_option
@json_option
def import_(file: Path, output: str | None, *, as_json: bool) -> int:
    """Convert FILE, a configuration of the IAL Pipeline Runner.

    Pilots, sourcing scripts, workspace, queue and intervals are taken over. Every other key is
    kept as a comment that says why it has no place.
    """
    imported = read_ial(file)
    text = render_import(imported, file.name)
    if as_json:
        if output:
            _write(text, output)
        left_out = [dataclasses.asdict(left) for left in imported.left_out]
        told = {"state": "ok", "file": output, "toml": text, "checks": imported.checks}
        click.echo(json.dumps({**told, "left_out": left_out}))
        return DONE
    _write(text, output)
    _tell_import(imported)
    return DONE


@command.command("show")
@click.argument("file", metavar="SITE.toml", type=click.Path(path_type=Path))
@json_option
def show(file: Path, *, as_json: bool) -> int:
    """Show what a site file says, with all defaults, and what is doubtful in it."""
    site = read_site(file, os.environ)
    warnings = doubts(site, machine())
    if as_json:
        click.echo(json.dumps({"state": "ok", "site": tables_of(site), "warnings": warnings}))
        return DONE
    for line in _lines(site):
        click.echo(line)
    _warn(warnings)
    return DONE


@command.command("check")
@click.argument("file", metavar="SITE.toml", type=click.Path(path_type=Path))
@click.option("--no-job", is_flag=True, help="Only try what needs no job.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the job.",
)
@json_option
def check(file: Path, *, no_job: bool, wait: float, as_json: bool) -> int:
    """Try whether a site does what pilots need, and say what to do where it does not.

    The commands of the batch system, the workspace and the network are tried, by a small job too:
    it must run, see the workspace as this host does, and reach this host. The job scripts of the
    pilots are printed. Exit code 0, or 2 if something failed.
    """
    site = read_site(file, os.environ)
    found: list[Check] = []
    for one in checkup(site, job=not no_job, patience_s=wait):
        found.append(one)
        if not as_json:
            _tell_check(one)
    code = DONE if all(one.ok for one in found) else REFUSED
    written = scripts(site) if found[0].ok else {}
    if as_json:
        checks = [json.loads(to_json(one)) for one in found]
        state = "ok" if code == DONE else "failed"
        click.echo(json.dumps({"state": state, "checks": checks, "scripts": written}))
        return code
    for name, text in written.items():
        click.echo(click.style(f"\n# the job of a pilot '{name}'", fg="cyan"))
        click.echo(text.rstrip("\n"))
    return code


def _tell_check(one: Check) -> None:
    label = click.style("ok     ", fg="green") if one.ok else click.style("failed ", fg="red")
    click.echo(f"{label} {one.name + ':':<11}{one.found}" + ("" if one.ok else f"; {one.fix}"))


def _write(text: str, output: str | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with Path(output).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise InputError(f"{output} exists", hint="remove it, or write to another file") from error
    click.echo(f"written: {output}", err=True)


def _tell_import(imported: Imported) -> None:
    _warn(imported.checks)
    if imported.left_out:
        click.echo(f"no place for {counted(len(imported.left_out), 'line')}:", err=True)
    for left in imported.left_out:
        click.echo(f"  {left}", err=True)


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        click.echo(click.style("warning: ", fg="yellow") + warning, err=True)


def _lines(site: Site) -> Iterator[str]:
    yield from (f"{key:<11} {value}" for key, value in rendered(site).items())
    yield ""
    head = ("template", "cores", "RAM", "disk", "walltime", "slots", "running", "queued", "queue")
    yield from _columns([head, *(_row(name, site.templates[name]) for name in site.templates)])
    yield "(running, queued: most at a time)"
    for name, template in site.templates.items():
        own = rendered(template)
        more = [known for known in help_of(Template) if known.name in _MORE]
        yield from (
            f"{name}.{known.name} = {own[known.name]}"
            for known in more
            if own[known.name] != known.default
        )
    if site.environments:
        yield ""
        yield from (f"environment {name}: {script}" for name, script in site.environments.items())
    for section in ("limits", "retries", "pilots", "network", "intervals", "runner"):
        yield ""
        values = rendered(getattr(site, section))
        yield from (f"{section}.{key} = {value}" for key, value in values.items())


def _row(name: str, template: Template) -> tuple[str, ...]:
    return (
        name,
        f"{template.cores:g}",
        size(template.ram_bytes),
        size(template.disk_bytes) if template.disk_bytes else "-",
        duration_text(template.walltime_s),
        str(template.effective_slots),
        str(template.max_running) if template.max_running else "off",
        str(template.max_queued),
        template.queue or "-",
    )


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
