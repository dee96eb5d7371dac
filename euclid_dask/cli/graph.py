"""`graph`: a drawing of a pipeline, or of a run with the states of its tasks."""

from pathlib import Path
from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import pkgrepo_option, run_argument
from euclid_dask.dataflow.draw import to_text
from euclid_dask.report.drawing import svg_of, to_mermaid, to_svg

EPILOG = """\
\b
Examples:
  euclid-dask graph pipeline.py
  euclid-dask graph pipeline.py --svg pipeline.svg
  euclid-dask graph pipeline.py --mermaid > pipeline.mmd
  euclid-dask graph w --svg run.svg           (a workdir: coloured by state)
"""


@click.command("graph", epilog=EPILOG)
@click.argument("source", metavar="SCRIPT|WORKDIR")
@run_argument
@pkgrepo_option
@click.option("--svg", metavar="FILE", help="Write an SVG file; - for stdout.")
@click.option("--mermaid", is_flag=True, help="Print Mermaid text, for documents.")
@click.option("--text", is_flag=True, help="Print a tree (default).")
def command(source: str, run_id: str | None, **given: Any) -> int:
    """Draw the pipeline of a SCRIPT, or the run in a WORKDIR."""
    run = api.open_run(source, run_id).run if Path(source).is_dir() else None
    flow = run.flow if run is not None else api.load(source, given["pkgrepo"]).flow
    if given["svg"] is not None:
        drawing = svg_of(run) if run is not None else to_svg(flow)
        if given["svg"] == "-":
            click.echo(drawing)
        else:
            Path(given["svg"]).write_text(drawing, encoding="utf-8")
            click.echo(f"drawing: {Path(given['svg']).absolute()}")
    if given["mermaid"]:
        click.echo(to_mermaid(flow), nl=False)
    if given["text"] or (given["svg"] is None and not given["mermaid"]):
        click.echo(to_text(flow), nl=False)
    return DONE
