"""`report`: what became of a run, as text or as one HTML file."""

import json
import shlex
from pathlib import Path
from typing import Any, Final

import click

from euclid_dask import api
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, run_argument, workdir_argument
from euclid_dask.report.html import write_html
from euclid_dask.report.stages import Stage, StageTotals, stages_of, together, totals
from euclid_dask.report.terminal import as_json, outcome, table
from euclid_dask.report.usage import Usage, usage_of
from euclid_dask.report.words import duration, lapse, percent, ram, size

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
    """Report on a run in WORKDIR: outcome, failures, outputs, resources, times."""
    result = api.open_run(workdir, run_id)
    reruns = api.why_again_in(result)
    if given["page"] is not None:
        write_html(result.run, Path(given["page"]), warnings=result.warnings, reruns=reruns)
    stages = totals(stages_of(result.run))
    if given["as_json"]:
        more = {"profile": result.profile(), "stages": [_as_json(part) for part in stages]}
        click.echo(json.dumps({**as_json(result.summary()), **more}))
        return DONE
    click.echo(outcome(result.summary(), result.workdir, reruns))
    rows = [_row(usage) for usage in usage_of(result.run)]
    if rows:
        _show("resources:", _HEAD, rows)
    if stages:
        means = [_stage_row(part) for part in (together(stages), *stages)]
        _show("where time went, on average:", _STAGES, means)
    if given["page"] is not None:
        click.echo(f"report: {Path(given['page']).absolute()}")
    else:
        click.echo(f"as a page: euclid-dask report {shlex.quote(workdir)} --html report.html")
    return DONE


_MOST: Final = 30
"""Rows of a table on a terminal."""


def _show(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print the first rows of a table, those of the executables with the most time."""
    click.echo(title)
    click.echo(table([head, *rows[:_MOST]]))
    if len(rows) > _MOST:
        click.echo(f"  and {len(rows) - _MOST} more, on the page and with --json")


_HEAD = ("executable", "tasks", "wall median", "longest", "CPU in all", "peak RAM", "of asked")


def _row(usage: Usage) -> tuple[str, ...]:
    return (
        usage.executable,
        f"{usage.count:,}",
        duration(usage.wall_s[0]),
        duration(usage.wall_s[2]),
        duration(usage.total_cpu_s),
        ram(usage.ram_bytes[2]),
        size(usage.asked.ram_bytes),
    )


_STAGES = ("executable", *Stage, "ours")


def _stage_row(part: StageTotals) -> tuple[str, ...]:
    means = (lapse(part.mean_s(stage)) for stage in Stage)
    return (part.executable, *means, percent(part.engine_share))


def _as_json(part: StageTotals) -> dict[str, Any]:
    seconds = {f"{stage}_s": round(part.seconds[stage], 6) for stage in Stage}
    return {
        "executable": part.executable,
        "attempts": part.count,
        **seconds,
        "engine_share": round(part.engine_share, 6),
    }
