"""Measure the point spread function of one frame: the stack of its stars, of sum 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.io import fits
from frames import Floats, Image, Table, read_frame, read_table, write_fits
from program import Call, VisError, run
from sources import point_like

HALF_PX: Final = 12
LEAST_SNR: Final = 40.0
MOST_STARS: Final = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Psf:
    """A stacked star: its stamp, full width at half maximum in pixels, and how many stars."""

    stamp: Floats
    fwhm_px: float
    stars: int


def shifted(stamp: Floats, dx: float, dy: float) -> Floats:
    """Return a stamp moved by a part of a pixel, by the phases of its Fourier transform."""
    rows, columns = stamp.shape
    phase_y = np.exp(-2j * np.pi * np.fft.fftfreq(rows) * dy)[:, None]
    phase_x = np.exp(-2j * np.pi * np.fft.fftfreq(columns) * dx)[None, :]
    moved: Floats = np.fft.ifft2(np.fft.fft2(stamp) * phase_y * phase_x).real
    return moved


def stack(image: Image, table: Table) -> Psf:
    """Return the point spread function from the stars in a table of detections.

    Raises:
        VisError: there are fewer than three stars.
    """
    stars = np.flatnonzero(point_like(table, LEAST_SNR))
    stars = stars[np.argsort(-table["SNR"][stars], kind="stable")][:MOST_STARS]
    stamps = []
    for star in stars:
        x, y = table["X_IMAGE"][star] - 1, table["Y_IMAGE"][star] - 1
        column, row = round(float(x)), round(float(y))
        if min(column, row) < HALF_PX:
            continue
        stamp = image[row - HALF_PX : row + HALF_PX + 1, column - HALF_PX : column + HALF_PX + 1]
        if stamp.shape == (2 * HALF_PX + 1, 2 * HALF_PX + 1):
            stamp = stamp / table["FLUX_APER"][star]
            stamps.append(shifted(stamp.astype(float), column - x, row - y))
    if len(stamps) < 3:
        raise VisError(f"{len(stamps)} stars are too few to measure a point spread function")
    mean = np.median(stamps, axis=0)
    mean /= mean.sum()
    return Psf(stamp=mean, fwhm_px=fwhm(mean), stars=len(stamps))


def fwhm(stamp: Floats) -> float:
    """Return the full width at half maximum, pixels, from the area above half of the peak."""
    fine = 8
    rows = np.arange(-4, 4, 1 / fine) + stamp.shape[0] // 2
    values = _interpolated(stamp, rows)
    above = np.count_nonzero(values > 0.5 * values.max()) / fine**2
    return float(2 * np.sqrt(above / np.pi))


def _interpolated(stamp: Floats, at: Floats) -> Floats:
    """Return a stamp on the grid `at` x `at`, by windowed sinc (Lanczos 4)."""
    distance = at[:, None] - np.arange(stamp.shape[0])[None, :]
    window = np.where(np.abs(distance) < 4, np.sinc(distance / 4), 0)
    kernel = np.sinc(distance) * window
    kernel /= kernel.sum(axis=1, keepdims=True)
    values: Floats = kernel @ stamp @ kernel.T
    return values


def step(call: Call) -> None:
    """Measure the point spread function of one frame."""
    frame = read_frame(call.source("frame"))
    table, _ = read_table(call.source("detections"), "DETECTIONS")
    psf = stack(frame.image, table)
    header = fits.Header({"CCDID": frame.header["CCDID"], "EXPID": frame.header["EXPID"]})
    header["FWHM"] = (round(psf.fwhm_px, 4), "pixels")
    header["NSTARS"] = psf.stars
    write_fits(call.target("psf"), [fits.PrimaryHDU(psf.stamp.astype(np.float32), header)])


if __name__ == "__main__":
    run(step, inputs=("frame", "detections"), outputs=("psf",))
