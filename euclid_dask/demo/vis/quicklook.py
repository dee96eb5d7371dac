"""Draw the combined image with its sources: blue rings are stars, amber ones are galaxies."""

from __future__ import annotations

from typing import Final

import numpy as np
from files import whole
from frames import Flags, Image, Table, read_frame, read_table
from PIL import Image as Picture
from PIL import ImageDraw
from products import data_file
from program import Call, run

WIDEST_PX: Final = 1400
STAR_COLOUR: Final = (90, 170, 255)
GALAXY_COLOUR: Final = (255, 190, 80)
STELLAR_MARGIN: Final = 1.25


def stretch(image: Image, noise: float) -> Flags:
    """Return grey levels of an image, upside up.

    Args:
        image: of which the background is 0.
        noise: typical noise of a pixel, in the image's unit.
    """
    bright = np.arcsinh(np.clip(image / noise + 2, 0, 600)) / np.arcsinh(600)
    grey: Flags = np.rint(255 * bright[::-1]).astype(np.uint8)
    return grey


def draw(grey: Flags, sources: Table, fwhm_px: float) -> Picture.Image:
    """Return the picture with a ring around each source, at most `WIDEST_PX` wide."""
    height, width = grey.shape
    shrink = max(1, -(-width // WIDEST_PX))
    trimmed = grey[: height // shrink * shrink, : width // shrink * shrink]
    blocks = trimmed.reshape(height // shrink, shrink, width // shrink, shrink)
    picture = Picture.fromarray(blocks.max(axis=(1, 3))).convert("RGB")
    pen = ImageDraw.Draw(picture)
    for source in sources:
        x, y = (source["X_IMAGE"] - 1) / shrink, (height - source["Y_IMAGE"]) / shrink
        radius = max(3.0, 1.5 * source["FWHM_IMAGE"]) / shrink
        star = source["FWHM_IMAGE"] < STELLAR_MARGIN * fwhm_px
        pen.ellipse(
            (x - radius, y - radius, x + radius, y + radius),
            outline=STAR_COLOUR if star else GALAXY_COLOUR,
        )
    return picture


def step(call: Call) -> None:
    """Draw the combined image with its sources."""
    coadd = read_frame(data_file(call.source("coadd"), call.workdir))
    sources, _ = read_table(call.source("catalogue"), "CATALOGUE")
    used = coadd.weight[coadd.weight > 0]
    noise = float(1 / np.sqrt(np.median(used))) if used.size else 1.0
    picture = draw(stretch(coadd.image, noise), sources, coadd.header["PSFFWHM"])
    with whole(call.target("quicklook")) as temporary:
        picture.save(temporary, format="PNG")


if __name__ == "__main__":
    run(step, inputs=("coadd", "catalogue"), outputs=("quicklook",))
