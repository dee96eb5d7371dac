"""`status`: how a run stands, also while another process carries it out."""

import json
import shlex
from collections.abc import Iterator
from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, run_argument
from euclid_dask.core.states import RUN_ENDED, TaskState
from euclid_dask.planner import Fleet
from euclid_dask.report.pilots import pilots_rows, pilots_text
from euclid_dask.report.terminal import as_json, failures_text, state_text
from euclid_dask.report.words import counted, duration, moment
from euclid_dask.runner import views
from euclid_dask.runner.believed import known_fleet
from euclid_dask.runner.workspace import Workspace, holder, is_locked
from euclid_dask.worker.clock import now_s

EPILOG = """\
\b
Examples:
  euclid-dask status               the latest run in this folder
  euclid-dask status w             the latest run in w
  euclid-dask status w vis-2026    the one whose id begins so
  watch euclid-dask status w       follow a run of another process
"""
MOST_RUNNING = 20


@click.command("status", epilog=EPILOG)
@click.argument("workdir", metavar="[WORKDIR]", default=".")
@run_argument
@json_option
def command(workdir: str, run_id: str | None, **given: Any) -> int:
    """Tell how a run in WORKDIR stands, and whether a runner is at work."""
    result = api.open_run(workdir, run_id)
    workspace = Workspace(result.workdir)
    runner = _runner(result, workspace)
    if given["as_json"]:
        at = views.progress(result.run, now_s())
        more = {
            "runner": runner,
            "running": list(at.running),
            "eta_s": at.eta_s,
            "pilots": pilots_rows(_fleet(workspace, runner)),
        }
        click.echo(json.dumps({**as_json(result.summary()), **more}))
    else:
        for line in _lines(result, workspace, runner):
            click.echo(line)
    return DONE


def _runner(result: api.RunResult, workspace: Workspace) -> str:
    """Return what is known of the runner: "active", "died", or "" for a run that ended."""
    if result.run.state in RUN_ENDED:
        return ""
    return "active" if is_locked(workspace) else "died"


def _fleet(workspace: Workspace, runner: str) -> Fleet:
    """Return the pilots that may live: some outlive a runner that died, none a run that ended."""
    return known_fleet(workspace) if runner else Fleet()


def _lines(result: api.RunResult, workspace: Workspace, runner: str) -> Iterator[str]:
    run = result.run
    yield f"{run.id}: {state_text(result.state)}, begun {moment(run.started_s)}"
    workdir = shlex.quote(str(result.workdir))
    if runner == "active":
        yield f"  a runner is at work: {holder(workspace)}"
    elif runner == "died":
        yield f"  its runner died; go on with it: euclid-dask resume {workdir}"
    end_s = now_s() if runner == "active" else run.ended_s or run.last_s
    at = views.progress(run, end_s)
    parts = {
        "done": at.done,
        "skipped": at.skipped,
        "omitted": run.count(TaskState.OMITTED),
        "running" if runner == "active" else "interrupted": len(at.running),
        "ordered": run.count(TaskState.ORDERED),
        "waiting": at.waiting,
        "failed": at.failed,
        "blocked": at.blocked,
        "cancelled": run.count(TaskState.CANCELLED),
    }
    told = ", ".join(f"{number:,} {name}" for name, number in parts.items() if number)
    left = f", about {duration(at.eta_s)} left" if at.eta_s is not None and runner else ""
    yield f"  {counted(at.total, 'task')}: {told or 'none yet'}; {duration(at.elapsed_s)}{left}"
    if pilots := pilots_text(_fleet(workspace, runner), end_s):
        yield f"  {pilots}"
    if runner == "active":
        yield from _running(result, end_s)
    yield from failures_text(result.failures)
    for name, path in run.outputs().items():
        yield f"  output {name}: {path}"
    others = [known for known in workspace.runs() if known != run.id]
    if others:
        yield f"  other runs here: {', '.join(others[-5:])}"


def _running(result: api.RunResult, at_s: float) -> Iterator[str]:
    tasks = [t for t in result.run.active if t.state is TaskState.RUNNING]
    for task in sorted(tasks, key=lambda t: t.started_s)[:MOST_RUNNING]:
        yield f"  running {task.id} for {duration(at_s - task.started_s)}"
    if len(tasks) > MOST_RUNNING:
        yield f"  and {len(tasks) - MOST_RUNNING:,} more"
