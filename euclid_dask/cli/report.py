"""`report`: what became of a run, as text or as one HTML file."""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, run_argument, workdir_argument
from euclid_dask.report.html import write_html
from euclid_dask.report.terminal import as_json, outcome
from euclid_dask.report.usage import Usage, usage_of
from euclid_dask.report.words import duration, size

EPILOG = """\
\b
Examples:
  euclid-dask report w
  euclid-dask report w --html report.html      one file; works offline

Also for a run that goes on: it tells how far it got.
"""


@click.command("report", epilog=EPILOG)
@workdir_argument
@run_argument
@click.option("--html", "page", metavar="FILE", help="Write an HTML page to this file.")
@json_option
def command(workdir: str, run_id: str | None, **given: Any) -> int:
    """Report on a run in WORKDIR: outcome, failures, outputs, resources."""
    result = api.open_run(workdir, run_id)
    reruns = api.why_again_in(result)
    if given["page"] is not None:
        write_html(result.run, Path(given["page"]), warnings=result.warnings, reruns=reruns)
    if given["as_json"]:
        click.echo(json.dumps({**as_json(result.summary()), "profile": result.profile()}))
        return DONE
    click.echo(outcome(result.summary(), result.workdir, reruns))
    rows = [_row(usage) for usage in usage_of(result.run)]
    if rows:
        click.echo("resources:")
        click.echo(_table([_HEAD, *rows]))
    if given["page"] is not None:
        click.echo(f"report: {Path(given['page']).absolute()}")
    else:
        click.echo(f"as a page: euclid-dask report {shlex.quote(workdir)} --html report.html")
    return DONE


_HEAD = ("executable", "tasks", "wall median", "longest", "CPU in all", "peak RAM", "of asked")


def _row(usage: Usage) -> tuple[str, ...]:
    return (
        usage.executable,
        f"{usage.count:,}",
        duration(usage.wall_s[0]),
        duration(usage.wall_s[2]),
        duration(usage.total_cpu_s),
        size(usage.ram_bytes[2]),
        size(usage.asked.ram_bytes),
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  "
        + row[0].ljust(widths[0])
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )
