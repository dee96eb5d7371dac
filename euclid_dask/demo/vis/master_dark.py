"""Make the master dark of one detector: electrons a second, with a mask of its hot pixels."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from detector import Raw, read_stack
from files import read_paths
from frames import HOT, Flags, Image, by_detector, opened, write_fits
from program import Call, run


def combine(stack: list[Raw], bias: Image, hot_e_s: float) -> tuple[Image, Flags]:
    """Return the dark current in electron/s, and HOT where it is far above the usual.

    Args:
        stack: dark frames of one detector.
        bias: master bias, ADU.
        hot_e_s: how far above the median a pixel is hot, electron/s.
    """
    rates = [(r.image - bias) * (r.header["GAIN"] / r.header["EXPTIME"]) for r in stack]
    dark = np.median(rates, axis=0).astype(np.float32)
    return dark, np.where(dark > np.median(dark) + hot_e_s, HOT, 0).astype(np.uint8)


def step(call: Call) -> None:
    """Combine the dark frames of one detector."""
    stack = read_stack(read_paths(call.source("frames"), call.workdir), call.workdir)
    ccd = stack[0].ccd
    masters = read_paths(call.source("master_biases"), call.workdir)
    with opened(by_detector(masters, ccd)) as hdus:
        dark, mask = combine(stack, hdus[0].data, call.options["hot"])
    header = fits.Header({"CCDID": ccd, "NFRAMES": len(stack), "BUNIT": "electron/s"})
    header["NHOT"] = int(np.count_nonzero(mask))
    write_fits(
        call.target("master_dark"),
        [fits.PrimaryHDU(dark, header), fits.ImageHDU(mask, name="MASK")],
    )


if __name__ == "__main__":
    run(
        step,
        inputs=("frames", "master_biases"),
        outputs=("master_dark",),
        options={"hot": 0.1},
    )
