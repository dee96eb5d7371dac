"""FITS files: calibrated images with weight and flags, and tables."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from files import whole
from numpy.typing import NDArray
from program import VisError

Image = NDArray[np.float32]
Flags = NDArray[np.uint8]
Floats = NDArray[np.float64]
Table = NDArray[Any]

HOT: Final = 1
DEAD: Final = 2
SATURATED: Final = 4
COSMIC: Final = 8
BAD: Final = HOT | DEAD | COSMIC
MAGZERO: Final = 30.75
"""Magnitude of one electron in the whole exposure, in every calibrated image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A calibrated image.

    Args:
        image: electrons.
        weight: inverse variance, 1/electron^2; 0 where the pixel is of no use.
        flag: bits HOT, DEAD, SATURATED, COSMIC.
        header: keywords, the world coordinates among them.
    """

    image: Image
    weight: Image
    flag: Flags
    header: fits.Header


@contextmanager
def opened(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading.

    Raises:
        VisError: it is no FITS file, is cut short, or lacks something that the block asks for.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="File may have been truncated")
            with fits.open(path, memmap=False) as hdus:
                yield hdus
    except (OSError, KeyError, IndexError, TypeError, ValueError, AstropyUserWarning) as error:
        raise VisError(f"'{path.name}' cannot be read as FITS: {error}") from error


def write_fits(path: Path, hdus: Sequence[Any]) -> None:
    """Write a FITS file."""
    with whole(path) as temporary:
        fits.HDUList(list(hdus)).writeto(temporary, overwrite=True, output_verify="silentfix")


def read_frame(path: Path) -> Frame:
    """Read a calibrated image."""
    with opened(path) as hdus:
        return Frame(
            image=np.ascontiguousarray(hdus[0].data, dtype=np.float32),
            weight=np.ascontiguousarray(hdus["WEIGHT"].data, dtype=np.float32),
            flag=np.ascontiguousarray(hdus["FLAG"].data, dtype=np.uint8),
            header=hdus[0].header,
        )


def write_frame(path: Path, frame: Frame) -> None:
    """Write a calibrated image."""
    write_fits(
        path,
        (
            fits.PrimaryHDU(frame.image, frame.header),
            fits.ImageHDU(frame.weight, name="WEIGHT"),
            fits.ImageHDU(frame.flag, name="FLAG"),
        ),
    )


def read_table(path: Path, name: str) -> tuple[Table, fits.Header]:
    """Read the table `name` of a FITS file, and the header of its primary part."""
    with opened(path) as hdus:
        # column by column: the raw records hold logical values as letters
        columns = {key: np.asarray(hdus[name].data[key]) for key in hdus[name].columns.names}
        kinds = [(key, values.dtype.newbyteorder("=")) for key, values in columns.items()]
        table = np.empty(len(hdus[name].data), dtype=kinds)
        for key, values in columns.items():
            table[key] = values
        return table, hdus[0].header


def table_hdu(columns: Mapping[str, Any], name: str) -> fits.BinTableHDU:
    """Return a table extension; 64-bit floats stay so, the others keep their own kind."""
    formats = {"f8": "D", "f4": "E", "i8": "K", "i4": "J", "i2": "I", "b1": "L"}
    arrays = {key: np.asarray(values) for key, values in columns.items()}
    cards = [
        fits.Column(key, formats[array.dtype.str[1:]], array=array) for key, array in arrays.items()
    ]
    return fits.BinTableHDU.from_columns(cards, name=name)


def by_detector(paths: Iterable[Path], ccd: int) -> Path:
    """Return the one file of a detector.

    Raises:
        VisError: there is none, or more than one.
    """
    found = []
    for path in paths:
        with opened(path) as hdus:
            if hdus[0].header["CCDID"] == ccd:
                found.append(path)
    if len(found) != 1:
        raise VisError(f"{len(found)} calibration files are of detector {ccd}, not one")
    return found[0]


def mad_sigma(values: NDArray[Any]) -> float:
    """Return the scatter of values as the width of a Gaussian, by the median deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
