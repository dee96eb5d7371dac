"""Make the master bias of one detector: the median of its overscan-subtracted bias frames."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from detector import read_stack
from files import read_paths
from frames import Image, write_fits
from program import Call, run


def combine(images: list[Image]) -> Image:
    """Return the median of bias frames, in ADU."""
    return np.median(images, axis=0).astype(np.float32)


def step(call: Call) -> None:
    """Combine the bias frames of one detector."""
    stack = read_stack(read_paths(call.source("frames"), call.workdir), call.workdir)
    header = fits.Header({"CCDID": stack[0].ccd, "NFRAMES": len(stack), "BUNIT": "adu"})
    master = combine([raw.image for raw in stack])
    write_fits(call.target("master_bias"), [fits.PrimaryHDU(master, header)])


if __name__ == "__main__":
    run(step, inputs=("frames",), outputs=("master_bias",))
