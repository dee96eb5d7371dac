"""Detect and measure the sources of the combined image: the catalogue of the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import sep
from astropy.io import fits
from astropy.wcs import WCS
from frames import Frame, read_frame, table_hdu, write_fits
from products import data_file
from program import Call, run
from sources import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOX_PX: Final = 128


def catalogue(coadd: Frame, threshold: float) -> dict[str, NDArray[Any]]:
    """Return the columns of the catalogue.

    Args:
        coadd: the combined image.
        threshold: detection threshold in units of the noise.
    """
    sky = sep.Background(coadd.image, mask=coadd.weight <= 0, bw=BOX_PX, bh=BOX_PX)
    image = coadd.image - sky.back(dtype=np.float32)
    columns = measure(image, coadd.weight, coadd.flag, threshold)
    ra, dec = WCS(coadd.header).wcs_pix2world(columns["X_IMAGE"], columns["Y_IMAGE"], 1)
    columns |= {"RA": ra, "DEC": dec}
    zero = coadd.header["MAGTOTAL"]
    for kind in ("APER", "AUTO"):
        flux, error = columns[f"FLUX_{kind}"], columns[f"FLUXERR_{kind}"]
        positive = flux > 0
        safe = np.where(positive, flux, 1)
        columns[f"MAG_{kind}"] = np.where(positive, zero - 2.5 * np.log10(safe), 99.0)
        columns[f"MAGERR_{kind}"] = np.where(positive, 1.0857 * error / safe, 99.0)
    return columns


def step(call: Call) -> None:
    """Make the catalogue of the combined image."""
    coadd = read_frame(data_file(call.source("coadd"), call.workdir))
    columns = catalogue(coadd, call.options["threshold"])
    write_fits(call.target("catalogue"), [fits.PrimaryHDU(), table_hdu(columns, "CATALOGUE")])


if __name__ == "__main__":
    run(step, inputs=("coadd",), outputs=("catalogue",), options={"threshold": 1.5})
