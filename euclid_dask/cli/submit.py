"""`submit`: have a job of the batch system carry out a run."""

import dataclasses
import json
import shlex
from typing import TYPE_CHECKING, Any, Final

import click

from euclid_dask import api
from euclid_dask.cli import resume
from euclid_dask.cli.data_options import DATA
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import (
    EXECUTION,
    GROUPING,
    LIMITS,
    PARTS,
    answers_option,
    files_of_ports,
    given_files,
    isf_option,
    json_option,
    pkgrepo_option,
    ports_argument,
    settings_of,
    with_options,
    words_of,
    workdir_option,
)
from euclid_dask.cli.registering import register_option
from euclid_dask.report.terminal import warning_text

if TYPE_CHECKING:
    from euclid_dask.api import RunnerPlace

EPILOG = """\
\b
Examples:
  euclid-dask submit pipeline.py --site site.toml --workdir /scratch/w image=raw.fits
  euclid-dask submit pipeline.py --site site.toml --isf field_7.isf --dry-run
  euclid-dask submit --resume /scratch/w
  euclid-dask submit pipeline.py --site site.toml frames='query: DpdX' --group-by Data.TileIndex

What the job asks for is in the table [runner] of the site file. It begins in the current folder,
which nodes must see. At its walltime only the runner ends: pilots and what runs there go on, for
`submit --resume`. Exit code 0 once the job is submitted, or 2 if nothing was.
"""
_OWN: Final = {"script", "ports", "resumed", "dry_run", "as_json"}


@click.command("submit", epilog=EPILOG)
@click.argument("script", metavar="[SCRIPT]", required=False)
@ports_argument
@click.option("--resume", "resumed", metavar="WORKDIR", help="Go on with the latest run there.")
@click.option("--dry-run", is_flag=True, help="Print the script of the job, and submit nothing.")
@pkgrepo_option
@workdir_option
@isf_option
@with_options(PARTS)
@with_options(EXECUTION)
@with_options(LIMITS)
@with_options(DATA)
@answers_option
@register_option
@with_options(GROUPING)
@json_option
@click.pass_context
def command(
    context: click.Context, /, script: str | None, ports: tuple[str, ...], **given: Any
) -> int:
    """Submit a job that runs the pipeline of SCRIPT at a site, and its pilots.

    For sites where nothing may run for long on the login node. The options are those of `run`, or,
    with --resume, of `resume`; all that those refuse is refused before anything is submitted.
    """
    if (script is None) == (given["resumed"] is None):
        raise click.UsageError("give either SCRIPT or --resume WORKDIR", context)
    settings = settings_of(given)
    warnings: tuple[str, ...] = ()
    words = ["--spare-pilots", *words_of(context, _OWN), "--", script or given["resumed"], *ports]
    if script is None:
        words = ["resume", *words]
        resume.command.make_context("euclid-dask resume", words[1:])  # refuses
        place = api.place_of_resumed(given["resumed"], settings)
    else:
        words = ["run", *words]
        call = {name: given[name] for name in ("pkgrepo", "workdir", "isf")}
        call["inputs"] = files_of_ports(ports)
        place, warnings, frozen = _place(script, call, settings, given)
        words[1:1] = frozen
    _tell(api.submit(place, words, dry_run=given["dry_run"]), warnings, given)
    return DONE


def _place(
    script: str, call: dict[str, Any], settings: api.Settings, given: dict[str, Any]
) -> tuple["RunnerPlace", tuple[str, ...], list[str]]:
    """Return where the job works, warnings, and words by which it asks nothing again."""
    if given["group_by"] or given["links"] or given["at_once"]:
        from euclid_dask.cli.campaigns import place_of_campaign  # noqa: PLC0415  fast start

        return *place_of_campaign(script, call, settings, given), []
    stand_ins = given_files(given["stand_ins"])
    request, warnings = api.prepare(script, settings=settings, given=stand_ins, **call)
    answers = request.options.answers  # the registry may say something else when the job begins
    frozen = [f"--answers={request.workdir / answers}"] if answers else []
    place = api.place_of_run(request, settings, dry_run=given["dry_run"])
    return place, warnings, frozen


def _tell(submission: api.Submission, warnings: tuple[str, ...], given: dict[str, Any]) -> None:
    follow = shlex.join(["euclid-dask", "status", str(submission.workdir)])
    if given["group_by"]:
        follow = shlex.join(["cat", str(submission.workdir / "campaign.csv")])
    if given["as_json"]:
        told = dataclasses.asdict(submission) | {"workdir": str(submission.workdir)}
        state = "submitted" if submission.job else "ok"
        click.echo(json.dumps({"state": state, **told, "follow": follow, "warnings": warnings}))
        return
    for warning in warnings:
        click.echo(warning_text(warning), err=True)
    if not submission.job:
        click.echo(submission.script, nl=False)
        return
    click.echo(f"job {submission.job} was submitted; it is the runner in {submission.workdir}")
    click.echo(f"  follow:    {follow}")
    click.echo(f"  progress:  {submission.stderr}")
    click.echo(f"  outcome:   {submission.stdout}")
    click.echo(f"  stop it:   {submission.cancel}")
