"""Correct one raw frame for overscan, bias, dark, flat, bad pixels and saturation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from detector import Raw, read_raw
from files import read_paths
from frames import (
    BAD,
    MAGZERO,
    SATURATED,
    Flags,
    Floats,
    Frame,
    Image,
    by_detector,
    opened,
    write_frame,
)
from program import Call, VisError, run

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FULL_WELL_MARGIN = 0.9
CAMERA_KEYWORDS = ("DATASEC", "BIASSEC", "CHECKSUM", "DATASUM", "BZERO", "BSCALE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Masters:
    """Calibrations of one detector: ADU, electron/s, a ratio; HOT and DEAD in the mask."""

    bias: Image
    dark_e_s: Image
    flat: Image
    mask: Flags


def read_masters(biases: list[Path], darks: list[Path], flats: list[Path], ccd: int) -> Masters:
    """Pick and read the calibrations of one detector."""
    with (
        opened(by_detector(biases, ccd)) as bias,
        opened(by_detector(darks, ccd)) as dark,
        opened(by_detector(flats, ccd)) as flat,
    ):
        return Masters(
            bias=bias[0].data.astype(np.float32),
            dark_e_s=dark[0].data.astype(np.float32),
            flat=flat[0].data.astype(np.float32),
            mask=(dark["MASK"].data | flat["MASK"].data).astype(np.uint8),
        )


def correct(raw: Raw, masters: Masters) -> Frame:
    """Return the calibrated image in electrons, with its inverse variance and flags."""
    gain, exptime_s = raw.header["GAIN"], raw.header["EXPTIME"]
    dark = masters.dark_e_s * exptime_s
    image = ((raw.image - masters.bias) * gain - dark) / masters.flat
    flag = masters.mask | raw.saturated * np.uint8(SATURATED)
    sky = max(float(np.median(image)), 1.0)
    variance = (sky * masters.flat + dark + raw.header["RDNOISE"] ** 2) / masters.flat**2
    bad = (flag & BAD) > 0
    image[bad] = fill(image, bad)
    weight = np.where(bad, 0, 1 / np.maximum(variance, 1.0))
    return Frame(
        image=image.astype(np.float32),
        weight=weight.astype(np.float32),
        flag=flag.astype(np.uint8),
        header=_header(raw.header, sky),
    )


def fill(image: Image, bad: NDArray[np.bool_]) -> Floats:
    """Return values for the bad pixels, interpolated along the rows from the good ones.

    Raises:
        VisError: no pixel is good.
    """
    good = np.flatnonzero(~bad)
    if not good.size:
        raise VisError("every pixel of the detector is bad")
    return np.interp(np.flatnonzero(bad), good, image.ravel()[good])


def _header(raw: fits.Header, sky: float) -> fits.Header:
    header = raw.copy()
    for keyword in CAMERA_KEYWORDS:
        header.remove(keyword, ignore_missing=True)
    header["SATURATE"] = float(raw["SATURATE"] * raw["GAIN"] * FULL_WELL_MARGIN)
    header["GAIN"] = 1.0
    header["BUNIT"] = "electron"
    header["SKYLEVEL"] = (round(sky, 3), "median, electron")
    header["MAGTOTAL"] = (MAGZERO, "magnitude of 1 electron in this exposure")
    header["MAGZERO"] = (
        MAGZERO - 2.5 * float(np.log10(raw["EXPTIME"])),
        "magnitude of 1 electron/s",
    )
    return header


def step(call: Call) -> None:
    """Correct one raw frame with the calibrations of its detector."""
    raw = read_raw(call.source("raw"), call.workdir)
    masters = read_masters(
        read_paths(call.source("master_biases"), call.workdir),
        read_paths(call.source("master_darks"), call.workdir),
        read_paths(call.source("master_flats"), call.workdir),
        raw.ccd,
    )
    write_frame(call.target("corrected"), correct(raw, masters))


if __name__ == "__main__":
    run(
        step,
        inputs=("raw", "master_biases", "master_darks", "master_flats"),
        outputs=("corrected",),
    )
