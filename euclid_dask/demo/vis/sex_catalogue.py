"""Detect and measure the sources of the combined image with source-extractor."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from astromatic import extract, folder, ldac_objects, unpack
from astropy.io import fits
from frames import table_hdu, write_fits
from products import data_file
from program import Call, run

SATURATED_FLAG: Final = 4
RENAMED: Final = {
    "NUMBER": "NUMBER",
    "X_IMAGE": "XWIN_IMAGE",
    "Y_IMAGE": "YWIN_IMAGE",
    "RA": "ALPHAWIN_J2000",
    "DEC": "DELTAWIN_J2000",
    "KRON_RADIUS": "KRON_RADIUS",
    "FLUX_RADIUS": "FLUX_RADIUS",
    "A_IMAGE": "A_IMAGE",
    "B_IMAGE": "B_IMAGE",
    "THETA_IMAGE": "THETA_IMAGE",
    "SNR": "SNR_WIN",
    "PEAK": "FLUX_MAX",
}


def renamed(objects: Any) -> dict[str, Any]:
    """Return the columns of source-extractor under the names of the demo's catalogues."""
    columns = {ours: np.asarray(objects[theirs]) for ours, theirs in RENAMED.items()}
    for kind in ("FLUX", "FLUXERR", "MAG", "MAGERR"):
        columns[f"{kind}_AUTO"] = np.asarray(objects[f"{kind}_AUTO"])
        columns[f"{kind}_APER"] = np.asarray(objects[f"{kind}_APER"]).reshape(len(objects))
    columns["FWHM_IMAGE"] = 2 * columns["FLUX_RADIUS"]
    flags = np.asarray(objects["FLAGS"])
    columns["SATURATED"] = (flags & SATURATED_FLAG) > 0
    columns["FLAGS"] = (flags & ~SATURATED_FLAG).astype(np.int32)
    return columns


def step(call: Call) -> None:
    """Make the catalogue of the combined image."""
    target = call.target("catalogue")
    with folder(target) as at:
        unpack(data_file(call.source("coadd"), call.workdir), at, "coadd")
        extract(at, "coadd", call.options["threshold"], stamps=False)
        columns = renamed(ldac_objects(at / "coadd.cat"))
        write_fits(target, [fits.PrimaryHDU(), table_hdu(columns, "CATALOGUE")])


if __name__ == "__main__":
    run(step, inputs=("coadd",), outputs=("catalogue",), options={"threshold": 1.5})
