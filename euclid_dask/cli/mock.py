"""`mock`: stand-ins for the executables of a pipeline, and input data for it."""

import json
from pathlib import Path
from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import json_option, pkgrepo_option
from euclid_dask.core.values import to_json
from euclid_dask.mock import MockReport, MockSettings, build_mock
from euclid_dask.report.words import counted
from euclid_dask.wiring import machine

EPILOG = """\
\b
Examples:
  euclid-dask mock pipeline.py --workdir m
  euclid-dask mock pipeline.py --workdir m --duration 0.5-2 --cpu 1 --ram 80%
  euclid-dask mock pipeline.py --workdir m --items 100 --failure-rate 0.01 --seed 3
  euclid-dask mock pipeline.py --workdir m --set vis_split.items=36 --set vis_split.duration=10
  euclid-dask mock pipeline.py --workdir m --plan m/mock.toml

Edit mock.toml and call it again with --plan to change single executables. Prints the line that
runs the pipeline with the stand-ins.
"""


@click.command("mock", epilog=EPILOG)
@click.argument("script", metavar="SCRIPT")
@click.option(
    "--workdir", metavar="DIR", required=True, help="Where the input data goes, and runs."
)
@pkgrepo_option
@click.option(
    "--bin",
    "bin_",
    metavar="DIR",
    default="",
    help="Folder of the stand-ins; default: WORKDIR/mock-bin.",
)
@click.option("--seed", type=int, help="Decides what fails, and the content of all files.")
@click.option("--items", type=click.IntRange(min=0), help="Length of lists; default: 3.")
@click.option("--duration", metavar="S|MIN-MAX", help="Seconds that each task takes; default: 0.")
@click.option("--ram", metavar="SIZE", help="Peak RAM: 2GB, or 80% of what is declared.")
@click.option(
    "--cpu", type=float, metavar="FRACTION", help="How busy the declared cores are; default: 0."
)
@click.option(
    "--io", metavar="SIZE", help="Written and read again, beside the outputs; default: 0."
)
@click.option(
    "--output-size", metavar="SIZE", help="Size of each data file; default: 0, the smallest."
)
@click.option(
    "--failure-rate", type=float, metavar="F", help="Share of tasks that fail; default: 0."
)
@click.option(
    "--set", "changes", multiple=True, metavar="EXECUTABLE.KEY=VALUE", help="For one executable."
)
@click.option("--plan", metavar="FILE", default="", help="A plan (mock.toml) to start from.")
@json_option
def command(script: str, workdir: str, **given: Any) -> int:
    """Write stand-ins for the executables of a pipeline SCRIPT, and input data for it.

    The stand-ins take the time, cores, RAM and disk they are told to, fail as often as they are
    told to, and write outputs of the declared formats, so the pipeline runs whole on any machine.
    """
    loaded = api.load(script, given["pkgrepo"])
    settings = MockSettings(
        bin=given["bin_"],
        pkgrepo=given["pkgrepo"] or "",
        offer=machine(),
        **{
            key: given[key]
            for key in (
                "seed",
                "items",
                "duration",
                "ram",
                "cpu",
                "io",
                "output_size",
                "failure_rate",
                "changes",
                "plan",
            )
        },
    )
    report = build_mock(loaded.flow, Path(workdir), settings)
    if given["as_json"]:
        click.echo(json.dumps({"state": "ok", **json.loads(to_json(report))}))
    else:
        _print(report)
    return DONE


def _print(report: MockReport) -> None:
    for warning in report.warnings:
        click.echo(click.style("warning: ", fg="yellow") + warning, err=True)
    used = [path for path in report.inputs.values() if path]
    click.echo(f"{counted(len(report.stand_ins), 'stand-in')} in {report.bin}")
    click.echo(f"{counted(len(used), 'input')} in {report.workdir}: {', '.join(used) or 'none'}")
    click.echo(f"settings in {report.plan}: edit it, and give it with --plan")
    click.echo("run it:")
    click.echo(f"  {report.command}")
