"""Make the master flat of one detector: relative sensitivity, with a mask of its dead pixels."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from detector import Raw, read_stack
from files import read_paths
from frames import DEAD, Flags, Image, by_detector, opened, write_fits
from program import Call, run

SENSITIVITY = (0.5, 1.5)


def combine(stack: list[Raw], bias: Image, dark_e_s: Image) -> tuple[Image, Flags]:
    """Return the sensitivity relative to the median, and DEAD where it is absurd.

    Args:
        stack: flat frames of one detector.
        bias: master bias, ADU.
        dark_e_s: master dark, electron/s.
    """
    images = []
    for raw in stack:
        electrons = (raw.image - bias) * raw.header["GAIN"] - dark_e_s * raw.header["EXPTIME"]
        images.append(electrons / np.median(electrons))
    flat = np.median(images, axis=0).astype(np.float32)
    dead = (flat < SENSITIVITY[0]) | (flat > SENSITIVITY[1])
    flat[dead] = 1.0
    return flat, np.where(dead, DEAD, 0).astype(np.uint8)


def step(call: Call) -> None:
    """Combine the flat frames of one detector."""
    stack = read_stack(read_paths(call.source("frames"), call.workdir), call.workdir)
    ccd = stack[0].ccd
    biases = read_paths(call.source("master_biases"), call.workdir)
    darks = read_paths(call.source("master_darks"), call.workdir)
    with opened(by_detector(biases, ccd)) as bias, opened(by_detector(darks, ccd)) as dark:
        flat, mask = combine(stack, bias[0].data, dark[0].data)
    header = fits.Header({"CCDID": ccd, "NFRAMES": len(stack)})
    header["NDEAD"] = int(np.count_nonzero(mask))
    write_fits(
        call.target("master_flat"),
        [fits.PrimaryHDU(flat, header), fits.ImageHDU(mask, name="MASK")],
    )


if __name__ == "__main__":
    run(step, inputs=("frames", "master_biases", "master_darks"), outputs=("master_flat",))
