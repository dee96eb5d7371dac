"""Model the point spread function of one frame with PSFEx: its stamp at the frame's middle."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import numpy as np
from astromatic import folder, start
from astropy.io import fits
from frames import opened, write_fits
from program import Call, VisError, run

if TYPE_CHECKING:
    from pathlib import Path

DEGREE_FROM_STARS: Final = 20
OPTIONS: Final = {
    "PSF_SIZE": "21,21",
    "PSF_SAMPLING": 1.0,
    "SAMPLE_FWHMRANGE": "2,6",
    "SAMPLE_VARIABILITY": 0.3,
    "SAMPLE_MINSN": 40,
    "PHOTFLUX_KEY": "FLUX_APER(1)",
    "PHOTFLUXERR_KEY": "FLUXERR_APER(1)",
    "CHECKPLOT_TYPE": "NONE",
    "CHECKIMAGE_TYPE": "NONE",
    "WRITE_XML": "N",
    "VERBOSE_TYPE": "QUIET",
    "NTHREADS": 1,
}


def model(path: Path) -> fits.PrimaryHDU:
    """Return the constant part of a PSFEx model as an image of sum 1.

    Raises:
        VisError: PSFEx accepted no star.
    """
    with opened(path) as hdus:
        header = hdus["PSF_DATA"].header
        stamp = hdus["PSF_DATA"].data["PSF_MASK"][0][0].astype(float)
    if header["ACCEPTED"] < 1 or not stamp.sum() > 0:
        raise VisError("PSFEx accepted no star")
    image = fits.PrimaryHDU((stamp / stamp.sum()).astype(np.float32))
    image.header["FWHM"] = (round(float(header["PSF_FWHM"]), 4), "pixels")
    image.header["NSTARS"] = header["ACCEPTED"]
    return image


def step(call: Call) -> None:
    """Model the point spread function of one frame."""
    target = call.target("psf")
    with folder(target) as at:
        shutil.copy(call.source("detections"), at / "frame.cat")
        with opened(at / "frame.cat") as hdus:
            bright = int(np.count_nonzero(hdus["LDAC_OBJECTS"].data["SNR_WIN"] > 40))
        degree = 1 if bright >= DEGREE_FROM_STARS else 0
        start("psfex", ["frame.cat"], {**OPTIONS, "PSFVAR_DEGREES": degree}, at)
        write_fits(target, [model(at / "frame.psf")])


if __name__ == "__main__":
    run(step, inputs=("detections",), outputs=("psf",))
