"""Raw detector frames: read, take off the overscan, find the pixels at full well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from frames import Flags, Image, opened
from products import data_file
from program import VisError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.io import fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """A raw frame without its overscan.

    Args:
        image: ADU above the overscan level.
        saturated: 1 where the converter or the well was full.
        header: keywords of the camera.
    """

    image: Image
    saturated: Flags
    header: fits.Header

    @property
    def ccd(self) -> int:
        """Return the number of the detector, from 1."""
        return int(self.header["CCDID"])


def read_raw(product: Path, workdir: Path) -> Raw:
    """Read the raw frame of a product and subtract the level of its overscan, row by row."""
    with opened(data_file(product, workdir)) as hdus:
        header, counts = hdus[0].header, hdus[0].data
        if counts is None or counts.ndim != 2:
            raise VisError(f"'{product.name}' holds no image")
        width = _width(header["DATASEC"])
        if not 0 < width < counts.shape[1]:
            raise VisError(f"'{product.name}' has no overscan right of column {width}")
        saturated = (counts[:, :width] >= header["SATURATE"]).astype(np.uint8)
        values = counts.astype(np.float32)
        level = np.median(values[:, width:], axis=1, keepdims=True)
        return Raw(image=values[:, :width] - level, saturated=saturated, header=header)


def read_stack(frames: Sequence[Path], workdir: Path) -> list[Raw]:
    """Read the raw frames of one detector.

    Raises:
        VisError: they are of several detectors or sizes.
    """
    stack = [read_raw(frame, workdir) for frame in frames]
    if len({raw.ccd for raw in stack}) > 1:
        raise VisError(f"the frames are of several detectors: {sorted({r.ccd for r in stack})}")
    if len({raw.image.shape for raw in stack}) > 1:
        raise VisError("the frames differ in size")
    return stack


def _width(section: str) -> int:
    """Return the number of light-sensitive columns from a section such as `[1:512,1:512]`."""
    try:
        return int(section.strip("[]").split(",")[0].split(":")[1])
    except (IndexError, ValueError):
        raise VisError(f"the header's DATASEC is '{section}', which is no section") from None
