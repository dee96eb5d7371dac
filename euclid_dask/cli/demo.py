"""`demo`: simulate exposures of a small VIS-like camera, and run its pipeline on them."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import click

import euclid_dask
from euclid_dask import api
from euclid_dask.cli.exits import DONE, OF_STATE
from euclid_dask.cli.options import EXECUTION, json_option, settings_of, with_options
from euclid_dask.cli.outcome import carried_out, told
from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.report.html import write_html
from euclid_dask.report.terminal import as_json

EPILOG = """\
\b
Examples:
  euclid-dask demo
  euclid-dask demo --size 512 --exposures 2 --detectors 1 --workdir /tmp/small
  euclid-dask demo --flavour astromatic      (needs source-extractor, scamp, SWarp, psfex)

The exposures are simulated once for a workdir; call it again and finished work is not redone.
"""
HOME: Final = Path(euclid_dask.__file__).parent / "demo"
NEEDED: Final = ("numpy", "astropy", "scipy", "sep", "astroscrappy", "PIL")
ISF: Final = "vis.isf"


@click.command("demo", epilog=EPILOG)
@click.option("--workdir", metavar="DIR", default="vis_demo", show_default=True)
@click.option(
    "--size",
    type=click.IntRange(min=128),
    default=1024,
    show_default=True,
    help="Width of a detector in pixels.",
)
@click.option(
    "--exposures",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Dithered exposures of the field.",
)
@click.option(
    "--detectors",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Detectors of the camera, side by side.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Decides the field, the noise and the flaws.",
)
@click.option(
    "--flavour",
    type=click.Choice(["python", "astromatic"]),
    default="python",
    show_default=True,
    help="Our own programs, or those of astromatic.net.",
)
@with_options(EXECUTION)
@json_option
def command(**given: Any) -> int:
    """Simulate a small VIS-like camera and run the whole pipeline on its exposures.

    From raw exposures and calibration frames to a combined image, a catalogue, and a comparison
    with the simulated truth: about 70 tasks.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SiteError(
            f"the demo needs Python packages that are not installed: {', '.join(missing)}",
            hint="pip install 'euclid-dask[demo]'",
        )
    workdir = Path(given["workdir"]).absolute()
    simulate(workdir, given)
    settings = settings_of(given)
    request, warnings = api.prepare(
        HOME / "pipelines" / f"vis_{given['flavour']}_pipeline.py",
        pkgrepo=HOME / "pipelines",
        workdir=workdir,
        isf=workdir / ISF,
        settings=settings,
        inputs={},
    )
    result = carried_out(lambda chosen: api.start(request, chosen, warnings), settings, given)
    page = workdir / "report.html"
    write_html(result.run, page, warnings=result.warnings, reruns=result.reruns)
    measured = measurements(result)
    if given["as_json"]:
        more = {"measured": measured, "report": page.name}
        click.echo(json.dumps({**as_json(result.summary()), **more}))
        return OF_STATE[result.state]
    code = told(result, given)
    for line in _lines(measured):
        click.echo(line)
    click.echo(f"report: {page}")
    if code == DONE and "quicklook" in result.outputs:
        click.echo(f"quick-look image: {result.outputs['quicklook']}")
    return code


def simulate(workdir: Path, given: Mapping[str, Any]) -> None:
    """Have the simulator fill the workdir, unless it did so before with the same parameters.

    Raises:
        InputError: The workdir holds another simulation.
        SiteError: The simulator failed.
    """
    wanted = {name: given[name] for name in ("size", "exposures", "detectors", "seed")}
    note = workdir / "simulation.json"
    if (workdir / ISF).is_file() and note.is_file():
        if json.loads(note.read_text()) == wanted:
            return
        raise InputError(
            f"{workdir} holds another simulation: {note.read_text().strip()}",
            hint="give another --workdir, or remove this one",
        )
    options = [f"--{name}={value}" for name, value in wanted.items()]
    click.echo(f"simulating {wanted['exposures']} exposures in {workdir}", err=True)
    line = [sys.executable, str(HOME / "vis" / "simulate.py"), f"--workdir={workdir}", *options]
    workdir.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise SiteError(f"the simulator failed: {' '.join(said) or done.returncode}")
    note.write_text(json.dumps(wanted) + "\n")


def measurements(result: api.RunResult) -> dict[str, Any]:
    """Return what the pipeline's check measured; nothing if it did not run."""
    path = result.outputs.get("check")
    if path is None or not path.is_file():
        return {}
    measured = json.loads(path.read_text())
    assert isinstance(measured, dict)
    return measured


def _lines(measured: Mapping[str, Any]) -> Iterator[str]:
    if not measured:
        return
    yield f"measured against the simulated truth, {measured['sources']} sources found:"
    for mags, share in measured["completeness"].items():
        if share is not None:
            number = measured["truth"][mags]
            yield f"  completeness at magnitude {mags}: {share:.1%} of {number}"
    sky, light = measured["astrometry_mas"], measured["photometry_mag"]
    for axis in ("ra", "dec"):
        offset, scatter = sky[f"{axis}_offset"], sky[f"{axis}_scatter"]
        name = f"{axis.upper()}:"
        yield f"  astrometry {name:<4} offset {offset:+.2f} mas, scatter {scatter:.2f} mas"
    for kind in ("aper", "auto"):
        offset, scatter = light[f"{kind}_offset"], light[f"{kind}_scatter"]
        yield f"  photometry {kind}: offset {offset:+.4f} mag, scatter {scatter:.4f} mag"
    yield f"  image width: {measured['fwhm_px']:.2f} px; spurious: {measured['spurious_share']:.1%}"
