"""Package definition: the executables of the VIS demo, pure Python flavour.

Resources are what a detector of 1024 x 1024 pixels needs, with room; walltime is in hours.
"""

import shlex
import sys
from pathlib import Path

from euclid_dask import ComputingResources, Executable, Input, Output

PROGRAMS = Path(__file__).resolve().parent.parent / "vis"


def command(program: str, options: str = "") -> str:
    """Return the command line that starts a program of the demo with literal options."""
    interpreter, path = shlex.quote(sys.executable), shlex.quote(str(PROGRAMS / program))
    return f"{interpreter} {path} {options}".strip()


small = ComputingResources(cores=1, ram=0.3, walltime=0.05)
medium = ComputingResources(cores=1, ram=0.5, walltime=0.05)
large = ComputingResources(cores=1, ram=1.0, walltime=0.2)

vis_master_bias = Executable(
    command=command("master_bias.py"),
    inputs=[Input("frames", content_type="listfile")],
    outputs=[Output("master_bias", mime_type="fits")],
    resources=small,
)

vis_master_dark = Executable(
    command=command("master_dark.py"),
    inputs=[
        Input("frames", content_type="listfile"),
        Input("master_biases", content_type="listfile"),
    ],
    outputs=[Output("master_dark", mime_type="fits")],
    resources=small,
)

vis_master_flat = Executable(
    command=command("master_flat.py"),
    inputs=[
        Input("frames", content_type="listfile"),
        Input("master_biases", content_type="listfile"),
        Input("master_darks", content_type="listfile"),
    ],
    outputs=[Output("master_flat", mime_type="fits")],
    resources=small,
)

vis_correct = Executable(
    command=command("correct.py"),
    inputs=[
        Input("raw", dm_type="DpdVisRawFrame"),
        Input("master_biases", content_type="listfile"),
        Input("master_darks", content_type="listfile"),
        Input("master_flats", content_type="listfile"),
    ],
    outputs=[Output("corrected", mime_type="fits")],
    resources=medium,
)

vis_cosmics = Executable(
    command=command("cosmics.py", "--sigma=6"),
    inputs=[Input("frame")],
    outputs=[Output("cleaned", mime_type="fits")],
    resources=small,
)

vis_background = Executable(
    command=command("background.py", "--box=128"),
    inputs=[Input("frame")],
    outputs=[Output("subtracted", mime_type="fits")],
    resources=small,
)

vis_detect = Executable(
    command=command("detect.py", "--threshold=3"),
    inputs=[Input("frame")],
    outputs=[Output("detections", mime_type="fits")],
    resources=small,
)

vis_psf = Executable(
    command=command("psf.py"),
    inputs=[Input("frame"), Input("detections")],
    outputs=[Output("psf", mime_type="fits")],
    resources=small,
)

vis_astrometry = Executable(
    command=command("astrometry.py"),
    inputs=[
        Input("reduced", content_type="listfile"),
        Input("reference_catalogue", dm_type="DpdVisReferenceCatalogue"),
    ],
    outputs=[Output("solution", mime_type="fits")],
    resources=small,
)

vis_coadd = Executable(
    command=command("coadd.py"),
    inputs=[Input("reduced", content_type="listfile"), Input("solution")],
    outputs=[Output("coadd", dm_type="DpdVisStackedFrame", mime_type="xml")],
    resources=large,
)

vis_catalogue = Executable(
    command=command("catalogue.py", "--threshold=1.5"),
    inputs=[Input("coadd", dm_type="DpdVisStackedFrame")],
    outputs=[Output("catalogue", mime_type="fits")],
    resources=medium,
)

vis_check = Executable(
    command=command("check.py"),
    inputs=[Input("catalogue"), Input("truth_catalogue", dm_type="DpdVisTruthCatalogue")],
    outputs=[Output("report", mime_type="json")],
    resources=small,
)

vis_quicklook = Executable(
    command=command("quicklook.py"),
    inputs=[Input("coadd", dm_type="DpdVisStackedFrame"), Input("catalogue")],
    outputs=[Output("quicklook", mime_type="png")],
    resources=medium,
)
