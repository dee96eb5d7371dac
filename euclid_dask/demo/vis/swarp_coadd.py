"""Resample and combine all frames with SWarp: clipped weighted mean."""

from __future__ import annotations

import json
from typing import Final

import numpy as np
from astromatic import folder, start, unpack
from astropy.io import fits
from files import read_reduced
from frames import MAGZERO, opened, write_fits
from products import new_data_file, write_product
from program import Call, VisError, run
from scamp_astrometry import frame_name

WORLD_KEYWORDS: Final = (
    *("CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "RADESYS", "EQUINOX", "CRVAL1", "CRVAL2"),
    *("CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "GAIN", "SATURATE"),
)
OPTIONS: Final = {
    "IMAGEOUT_NAME": "coadd.fits",
    "WEIGHTOUT_NAME": "coadd.weight.fits",
    "WEIGHT_TYPE": "MAP_WEIGHT",
    "WEIGHT_SUFFIX": ".weight.fits",
    "RESCALE_WEIGHTS": "N",
    "COMBINE_TYPE": "CLIPPED",
    "CLIP_SIGMA": 5,
    "SUBTRACT_BACK": "N",
    "PIXELSCALE_TYPE": "MANUAL",
    "PIXEL_SCALE": 0.2,
    "CENTER_TYPE": "ALL",
    "RESAMPLING_TYPE": "LANCZOS3",
    "RESAMPLE_DIR": ".",
    "VMEM_DIR": ".",
    "FSCALASTRO_TYPE": "NONE",
    "GAIN_DEFAULT": 1.0,
    "DELETE_TMPFILES": "Y",
    "WRITE_XML": "N",
    "VERBOSE_TYPE": "QUIET",
    "NTHREADS": 1,
}


def world(header: fits.Header) -> fits.Header:
    """Return the keywords of SWarp's header that we keep: no dates, no paths."""
    kept = fits.Header()
    for keyword in WORLD_KEYWORDS:
        if keyword in header:
            kept[keyword] = header[keyword]
    kept["BUNIT"] = "electron"
    kept["MAGTOTAL"] = (MAGZERO, "magnitude of 1 electron")
    return kept


def step(call: Call) -> None:
    """Combine all frames into one image of the field."""
    target = call.target("coadd")
    solution = json.loads(call.source("solution").read_text(encoding="utf-8"))
    names, widths = [], []
    with folder(target) as at:
        for row in read_reduced(call.source("reduced"), call.workdir):
            name = frame_name(row.frame)
            if name not in solution:
                raise VisError(f"frame {name} has no solution")
            unpack(row.frame, at, name)
            (at / f"{name}.head").write_text(solution[name])
            names.append(f"{name}.fits")
            with opened(row.psf) as hdus:
                widths.append(hdus[0].header["FWHM"])
        start("SWarp", names, OPTIONS, at)
        with opened(at / "coadd.fits") as image, opened(at / "coadd.weight.fits") as weight:
            header = world(image[0].header)
            header["NFRAMES"] = len(names)
            header["PSFFWHM"] = (float(np.median(widths)), "of the frames, pixels")
            hdus = [
                fits.PrimaryHDU(image[0].data, header),
                fits.ImageHDU(weight[0].data, name="WEIGHT"),
                fits.ImageHDU(np.zeros(image[0].data.shape, dtype=np.uint8), name="FLAG"),
            ]
    data = new_data_file(call, "coadd")
    write_fits(data, hdus)
    write_product(target, "DpdVisStackedFrame", {"DataStorage": data.name})


if __name__ == "__main__":
    run(step, inputs=("reduced", "solution"), outputs=("coadd",))
