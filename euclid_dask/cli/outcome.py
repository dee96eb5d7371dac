"""Carrying out a run from the command line: progress meanwhile, outcome and exit code after."""

import dataclasses
import errno
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import click

from euclid_dask.api import RunResult, Settings
from euclid_dask.cli.exits import OF_STATE
from euclid_dask.cli.registering import refuse_early, registered, registered_text
from euclid_dask.core.errors import StoppedError
from euclid_dask.core.values import to_json
from euclid_dask.report.display import usual_display
from euclid_dask.report.progress import LineProgress, ProgressDisplay
from euclid_dask.report.terminal import as_json, outcome


def carried_out(
    run: Callable[[Settings], RunResult], settings: Settings, given: Mapping[str, Any]
) -> RunResult:
    """Have `run` carry out a run, with progress on stderr unless `--quiet`.

    Raises:
        StoppedError: The disk is full; the run can go on later.
    """
    refuse_early(given)
    display = _display(quiet=given["quiet"])
    if display is None:
        with _full_disk_told():
            return run(settings)
    watched = dataclasses.replace(settings, on_start=display.on_start, on_turn=display.on_turn)
    try:
        with _full_disk_told():
            return run(watched)
    finally:
        display.end()


def told(result: RunResult, given: Mapping[str, Any]) -> int:
    """Print how a run ended, and register its outputs if asked for; return the exit code."""
    summary = result.summary()
    if given["as_json"]:
        done = registered(result, given)
        more = {} if done is None else {"registered": json.loads(to_json(done))}
        click.echo(json.dumps({**as_json(summary), **more}))
        return OF_STATE[result.state]
    click.echo(outcome(summary, result.workdir, result.reruns))
    if (done := registered(result, given)) is not None:
        for line in registered_text(done):
            click.echo(line)
    return OF_STATE[result.state]


def _display(*, quiet: bool) -> ProgressDisplay | None:
    if quiet:
        return None
    return usual_display() or LineProgress(_echo)


def _echo(text: str) -> None:
    """Write a line to stderr; a run does not end because nobody can read how it goes."""
    with suppress(OSError):
        click.echo(text, err=True)


@contextmanager
def _full_disk_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        place = f" ({error.filename})" if error.filename else ""
        raise StoppedError(
            f"the run was stopped, since the disk is full{place}",
            hint="free some space, then go on with `euclid-dask resume`: what is done is recorded",
        ) from error
