"""Subtract the sky from one frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sep
from frames import Frame, read_frame, write_frame
from program import Call, VisError, run


def subtract(frame: Frame, box_px: int) -> Frame:
    """Return the frame without its smooth background.

    Args:
        frame: calibrated image.
        box_px: width of the mesh, pixels.
    """
    if np.all(frame.flag):
        raise VisError("every pixel of the frame is flagged, so it has no background")
    sky = sep.Background(frame.image, mask=frame.flag > 0, bw=box_px, bh=box_px)
    header = frame.header.copy()
    header["BACKLEV"] = (float(sky.globalback), "electron")
    header["BACKRMS"] = (float(sky.globalrms), "electron")
    image = frame.image - sky.back(dtype=np.float32)
    return replace(frame, image=image, header=header)


def step(call: Call) -> None:
    """Subtract the sky from one frame."""
    frame = subtract(read_frame(call.source("frame")), int(call.options["box"]))
    write_frame(call.target("subtracted"), frame)


if __name__ == "__main__":
    run(step, inputs=("frame",), outputs=("subtracted",), options={"box": 128})
