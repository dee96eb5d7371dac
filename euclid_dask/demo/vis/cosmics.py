"""Find cosmic-ray hits in one frame, flag them and fill them from their surroundings."""

from __future__ import annotations

from dataclasses import replace

import astroscrappy
import numpy as np
from frames import COSMIC, Frame, read_frame, write_frame
from program import Call, run


def clean(frame: Frame, sigma: float) -> Frame:
    """Return the frame with hits flagged COSMIC, weighted 0 and filled.

    Args:
        frame: calibrated image, sky included.
        sigma: how far above the noise a hit is.
    """
    hits, image = astroscrappy.detect_cosmics(
        frame.image,
        inmask=frame.flag > 0,
        gain=1.0,
        readnoise=frame.header["RDNOISE"],
        satlevel=frame.header["SATURATE"],
        sigclip=sigma,
        sigfrac=0.3,
        objlim=5.0,
        fsmode="median",
        cleantype="medmask",
        niter=1,  # a second pass finds no more hits, but twice as many cores of stars
    )
    header = frame.header.copy()
    header["NHITS"] = (int(np.count_nonzero(hits)), "pixels hit by cosmic rays")
    return replace(
        frame,
        image=image.astype(np.float32),
        weight=np.where(hits, 0, frame.weight).astype(np.float32),
        flag=(frame.flag | np.where(hits, COSMIC, 0)).astype(np.uint8),
        header=header,
    )


def step(call: Call) -> None:
    """Flag and fill the cosmic-ray hits of one frame."""
    frame = clean(read_frame(call.source("frame")), call.options["sigma"])
    write_frame(call.target("cleaned"), frame)


if __name__ == "__main__":
    run(step, inputs=("frame",), outputs=("cleaned",), options={"sigma": 6.0})
