"""`shell`: a shell as a task would see it."""

import os
import subprocess

import click

from euclid_dask import api
from euclid_dask.cli.options import workdir_argument
from euclid_dask.core.errors import SiteError
from euclid_dask.runner.details import added_environment
from euclid_dask.runner.views import command_of, find_task
from euclid_dask.worker.commands import sourced
from euclid_dask.worker.procfs import ATTEMPT_MARKER, RUN_MARKER, TASK_MARKER

EPILOG = """\
\b
Examples:
  euclid-dask shell w vis_coadd
  $ echo $EUCLID_DASK_COMMAND
  $ eval "$EUCLID_DASK_COMMAND"      run the task by hand
"""
_MARKERS = frozenset({RUN_MARKER, TASK_MARKER, ATTEMPT_MARKER})


@click.command("shell", epilog=EPILOG)
@workdir_argument
@click.argument("task", metavar="TASK")
@click.option("--run", "run_id", metavar="RUN", help="The run; default: the latest.")
def command(workdir: str, task: str, run_id: str | None) -> int:
    """Open $SHELL in WORKDIR with the environment of TASK.

    Its command line is in $EUCLID_DASK_COMMAND. The shell does not count as a process of the
    run: it is not killed when the run is resumed.
    """
    run = api.open_run(workdir, run_id).run
    found = find_task(run, task)
    added = {k: v for k, v in added_environment(run, found).items() if k not in _MARKERS}
    environment = {**os.environ, **added, "EUCLID_DASK_COMMAND": command_of(run, found)}
    shell = os.environ.get("SHELL") or "/bin/sh"
    click.echo(f"in {run.place.workdir}; the command is in $EUCLID_DASK_COMMAND", err=True)
    try:
        line = sourced([shell], run.place.source)
        done = subprocess.run(line, cwd=run.place.workdir, env=environment, check=False)
    except OSError as error:
        raise SiteError(
            f"cannot start the shell {shell}: {error.strerror}", hint="set the variable SHELL"
        ) from error
    return done.returncode if done.returncode >= 0 else 128 - done.returncode
