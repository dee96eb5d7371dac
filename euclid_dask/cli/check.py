"""`check`: load, trace and validate a pipeline, offline."""

import json
from collections.abc import Mapping
from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import (
    MACHINE,
    files_of_ports,
    isf_option,
    json_option,
    pkgrepo_option,
    ports_argument,
    settings_of,
    site_option,
    with_options,
    workdir_option,
)
from euclid_dask.core.errors import PipelineError
from euclid_dask.core.values import to_json
from euclid_dask.dataflow.check import Severity
from euclid_dask.dataflow.draw import to_text
from euclid_dask.dataflow.steps import tasks
from euclid_dask.report.commands import command_lines

EPILOG = """\
\b
Examples:
  euclid-dask check pipeline.py
  euclid-dask check pipeline.py --isf field_7.isf
  euclid-dask check pipeline.py --commands image=raw.fits
  euclid-dask check pipeline.py --site site.toml    (does a pilot hold each task?)

As soon as one input is given, none may be left out; `run` looks for their files. Exit code 0, or 2
with all that is wrong.
"""
_COLOURS = {Severity.WARNING: "yellow", Severity.NOTICE: "cyan", Severity.ERROR: "red"}


@click.command("check", epilog=EPILOG)
@click.argument("script", metavar="SCRIPT")
@ports_argument
@pkgrepo_option
@workdir_option
@isf_option
@click.option("--commands", is_flag=True, help="Print the command line of every task.")
@site_option
@with_options(MACHINE)
@json_option
def command(script: str, ports: tuple[str, ...], **given: Any) -> int:
    """Check a pipeline SCRIPT without running it.

    Loads and traces the script, checks names, wiring and whether this machine, or some template of
    the site, and the disk of the workdir are large enough, and lists inputs, tasks, outputs and
    warnings. Nothing is started and nothing is written.
    """
    data = api.read_isf(given["isf"])
    loaded = api.load(script, given["pkgrepo"] or data.settings.get("pkgRepository"))
    own = files_of_ports(ports)
    files: dict[str, str | None] = {**data.ports, **own}
    inputs_given = files if ports or given["isf"] else None
    workdir = api.folder_of(loaded.flow, given["workdir"], data)
    settings = settings_of(given)
    site, places = settings.read_site(), api.places_of(data, own)
    found = api.report(loaded, inputs_given, settings.limit(), workdir, site, places)
    if found.errors:
        raise PipelineError("\n".join(str(problem) for problem in found.errors))
    lines = command_lines(found.flow, files) if given["commands"] else {}
    if given["as_json"]:
        click.echo(json.dumps(_described(found, files, lines)))
    else:
        _print(found, lines)
    return DONE


def _described(
    found: api.CheckReport, files: Mapping[str, str | None], lines: Mapping[str, str]
) -> dict[str, Any]:
    flow = found.flow
    return {
        "state": "ok",
        "pipeline": flow.name,
        "inputs": [
            {"port": name, "optional": name in flow.optional_inputs, "file": files.get(name)}
            for name in flow.body.inputs
        ],
        "outputs": [output.name for output in flow.body.outputs],
        "tasks": [
            {
                "task": path,
                "executable": node.executable,
                "needs": json.loads(to_json(flow.executables[node.executable].needs)),
                "where": node.where,
            }
            for path, node in tasks(flow).items()
        ],
        "warnings": [json.loads(to_json(problem)) for problem in found.warnings],
        "commands": dict(lines),
    }


def _print(found: api.CheckReport, lines: Mapping[str, str]) -> None:
    flow = found.flow
    click.echo(to_text(flow).rstrip("\n"))
    click.echo()
    for path, line in lines.items():
        click.echo(click.style(f"# {path}", fg="cyan"))
        click.echo(line)
    if lines:
        click.echo()
    for problem in found.warnings:
        label = click.style(f"{problem.severity}: ", fg=_COLOURS[problem.severity])
        click.echo(label + str(problem))
    click.echo(found.summary())
