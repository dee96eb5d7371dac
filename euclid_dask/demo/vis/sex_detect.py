"""Detect the sources of one frame with source-extractor: a FITS_LDAC catalogue with stamps."""

from __future__ import annotations

import shutil

from astromatic import extract, folder, ldac_objects, unpack
from files import whole
from program import Call, run


def step(call: Call) -> None:
    """Detect and measure the sources of one frame."""
    target = call.target("detections")
    with folder(target) as at:
        unpack(call.source("frame"), at, "frame")
        extract(at, "frame", call.options["threshold"], stamps=True)
        ldac_objects(at / "frame.cat")
        with whole(target) as temporary:
            shutil.move(at / "frame.cat", temporary)


if __name__ == "__main__":
    run(step, inputs=("frame",), outputs=("detections",), options={"threshold": 3.0})
