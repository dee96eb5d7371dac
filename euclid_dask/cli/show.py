"""`show`: everything that is known of one task."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, workdir_argument
from euclid_dask.core.values import to_json
from euclid_dask.report.terminal import COLOURS
from euclid_dask.report.words import duration, moment, printable, ram, size
from euclid_dask.runner.details import AttemptView, FileView, TaskView, view_of
from euclid_dask.runner.views import find_task

EPILOG = """\
\b
Examples:
  euclid-dask show w vis_coadd
  euclid-dask show w correct.iterations.3.cosmics
  euclid-dask show w 3.cosmics               an ending that only one task has
"""


@click.command("show", epilog=EPILOG)
@workdir_argument
@click.argument("task", metavar="TASK")
@click.option("--run", "run_id", metavar="RUN", help="The run; default: the latest.")
@json_option
def command(workdir: str, task: str, run_id: str | None, **given: Any) -> int:
    """Show TASK: its command, environment, files, attempts, and the ends of its logs."""
    result = api.open_run(workdir, run_id)
    view = view_of(result.run, find_task(result.run, task))
    if given["as_json"]:
        click.echo(json.dumps(json.loads(to_json(view))))
    else:
        for line in _lines(view):
            click.echo(line)
    return DONE


def _lines(view: TaskView) -> Iterator[str]:
    state = click.style(view.state, fg=COLOURS.get(view.state), bold=True)
    yield f"{view.task}: {state}" + (f" by {view.blocked_by}" if view.blocked_by else "")
    yield f"executable: {view.executable}" + (f", defined in {view.where}" if view.where else "")
    yield f"needs:      {view.needs}"
    yield "command:"
    yield f"  {printable(view.command)}"
    yield "environment, added to the caller's:"
    for name, text in view.environment.items():
        yield f"  {name}={shlex.quote(text)}"
    yield from _files("inputs", view.inputs)
    yield from _files("outputs", view.outputs)
    for attempt in view.attempts:
        yield from _attempt(attempt)
    for path, text in view.logs.items():
        yield f"end of {path}:"
        for line in text.splitlines():
            yield click.style("  | ", dim=True) + printable(line)


def _files(title: str, files: tuple[FileView, ...]) -> Iterator[str]:
    if files:
        yield f"{title}:"
    width = max((len(file.port) for file in files), default=0)
    for file in files:
        if file.size is not None:
            told = size(file.size)
        elif file.is_gone:
            told = "temporary, and needed no more"
        else:
            told = "a text" if file.is_text else "not there"
        maker = f", made by {file.made_by}" if file.made_by else ""
        yield f"  {file.port:<{width}}  {Path(file.path)} ({told}{maker})"


def _attempt(attempt: AttemptView) -> Iterator[str]:
    yield f"attempt {attempt.number}: {attempt.outcome}" + (
        f" on {attempt.host}" if attempt.host else ""
    )
    if attempt.started_s:
        took = f", took {duration(attempt.wall_s)}" if attempt.ended_s else ""
        yield f"  begun {moment(attempt.started_s)}{took}"
    if attempt.ended_s:
        profile = attempt.profile
        yield (
            f"  CPU {duration(profile.cpu_s)}, peak RAM {ram(profile.peak_ram_bytes)}, "
            f"read {size(profile.read_bytes)}, written {size(profile.written_bytes)}"
        )
    if attempt.reason:
        yield "  " + click.style("failed: ", fg="red") + printable(attempt.reason)
    for warning in attempt.warnings:
        yield "  " + click.style("warning: ", fg="yellow") + printable(warning)
