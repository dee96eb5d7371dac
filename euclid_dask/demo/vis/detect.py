"""Detect and measure the sources of one frame."""

from __future__ import annotations

from astropy.io import fits
from frames import SATURATED, read_frame, table_hdu, write_fits
from program import Call, run
from sources import measure


def step(call: Call) -> None:
    """Detect and measure the sources of one frame."""
    frame = read_frame(call.source("frame"))
    columns = measure(frame.image, frame.weight, frame.flag & SATURATED, call.options["threshold"])
    header = frame.header.copy()
    header["IMWIDTH"] = (frame.image.shape[1], "pixels")
    header["IMHEIGHT"] = (frame.image.shape[0], "pixels")
    write_fits(
        call.target("detections"),
        [fits.PrimaryHDU(header=header), table_hdu(columns, "DETECTIONS")],
    )


if __name__ == "__main__":
    run(step, inputs=("frame",), outputs=("detections",), options={"threshold": 3.0})
