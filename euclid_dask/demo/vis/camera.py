"""The simulated camera: its detectors and their flaws, its pointings, the light that falls on it.

Each frame has its own stream of chance, so one more exposure changes no calibration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import sky
from astropy.io import fits
from astropy.wcs import WCS
from frames import Floats
from sky import SCALE_ARCSEC, Seeing, Sky

EXPTIME_S: Final = 565.0
DARK_E_S: Final = 0.01
SKY_E: Final = 90.0
GAP_PX: Final = 40
DISTORTION_PX: Final = 0.6  # at DISTORTION_RADIUS_PX from the axis
DISTORTION_RADIUS_PX: Final = 1024.0
COSMICS_PER_MPX: Final = 143.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """How big the camera is and what it takes; `root` is where the files go."""

    root: Path
    size: int
    exposures: int
    detectors: int
    seed: int

    def chance(self, *stream: int) -> np.random.Generator:
        """Return the random numbers of one purpose."""
        return np.random.default_rng([self.seed, *stream])

    @property
    def step_px(self) -> tuple[float, float]:
        """Return the dither from one exposure to the next, pixels along x and y."""
        return 0.058 * self.size, 0.024 * self.size

    def wcs(self, ra_deg: float, dec_deg: float, turn_deg: float, detector: int) -> WCS:
        """Return the undistorted world coordinates of a detector, numbered from 1."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.cunit = ["deg", "deg"]
        wcs.wcs.radesys = "ICRS"
        wcs.wcs.crval = [ra_deg, dec_deg]
        cos, sin = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
        wcs.wcs.cd = SCALE_ARCSEC / 3600 * np.array([[-cos, sin], [sin, cos]])
        middle = (self.detectors * (self.size + GAP_PX) - GAP_PX) / 2
        left = (detector - 1) * (self.size + GAP_PX)
        wcs.wcs.crpix = [middle - left + 0.5, self.size / 2 + 0.5]
        wcs.wcs.set()
        return wcs


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """The flaws of one detector: fixed pattern (ADU), dark current (electron/s), sensitivity."""

    number: int
    pattern: Floats
    dark_e_s: Floats
    flat: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointing:
    """One exposure: where the telescope was told to look, and what it really did.

    Args:
        number: of the exposure, from 1.
        told_deg: commanded right ascension and declination.
        true_deg: the real ones.
        turn_deg: rotation that was not commanded.
        seeing: point spread function.
        transparency: share of the light that arrives.
        sky_e: background, electron/px.
    """

    number: int
    told_deg: tuple[float, float]
    true_deg: tuple[float, float]
    turn_deg: float
    seeing: Seeing
    transparency: float
    sky_e: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """Light on a detector: electrons before the noise, and the keywords of the frame."""

    electrons: Floats
    kind: str
    exptime_s: float
    keywords: fits.Header = field(default_factory=fits.Header)


def build_detector(camera: Camera, number: int) -> Detector:
    """Return a detector with its pattern, hot pixels, vignetting, dust and a dead column."""
    size, rng = camera.size, camera.chance(1, number)
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    pattern = 4 * np.sin(x / 37.0 + number) + rng.normal(0, 1.0, (1, size))
    hot = np.where(rng.random((size, size)) < 5e-4, rng.exponential(2.0, (size, size)), 0)
    middle = size / 2
    flat = 1 - 0.12 * ((x - middle) ** 2 + (y - middle) ** 2) / size**2
    flat += rng.normal(0, 0.01, (size, size))
    for dust_x, dust_y in rng.uniform(0, size, (6, 2)):
        flat *= 1 - 0.08 * np.exp(-((x - dust_x) ** 2 + (y - dust_y) ** 2) / 288.0)
    flat[:, int(rng.integers(size // 20, size - size // 20))] = 0.02
    return Detector(
        number=number, pattern=pattern, dark_e_s=hot + DARK_E_S, flat=flat / np.median(flat)
    )


def aim(camera: Camera, number: int) -> Pointing:
    """Return the pointing of an exposure, whose errors are about 1 arcsec and 0.02 deg."""
    rng = camera.chance(2, number)
    middle = (camera.exposures + 1) / 2
    dx, dy = ((number - middle) * step * SCALE_ARCSEC / 3600 for step in camera.step_px)
    told = (sky.RA_DEG + dx, sky.DEC_DEG + dy)
    ra_error, dec_error = rng.normal(0, 0.8 / 3600, 2)
    return Pointing(
        number=number,
        told_deg=told,
        true_deg=(told[0] + ra_error, told[1] + dec_error),
        turn_deg=rng.normal(0, 0.02),
        seeing=Seeing(
            sigma_px=rng.uniform(1.02, 1.16), e1=rng.normal(0, 0.02), e2=rng.normal(0, 0.02)
        ),
        transparency=1 - 0.04 * rng.random(),
        sky_e=SKY_E * rng.uniform(0.9, 1.15),
    )


def look(camera: Camera, field_sky: Sky, pointing: Pointing, detector: Detector) -> Exposed:
    """Return the light of the field on one detector."""
    size = camera.size
    image = _objects(camera, field_sky, pointing, detector.number)
    slope = (np.arange(size) - size / 2) / size
    image += pointing.sky_e * (1 + 0.08 * slope[None, :] - 0.05 * slope[:, None])
    image *= detector.flat
    image += detector.dark_e_s * EXPTIME_S
    rng = camera.chance(3, pointing.number, detector.number)
    hits = _add_cosmics(image, rng)
    keywords = camera.wcs(*pointing.told_deg, 0.0, detector.number).to_header()
    for keyword in ("LATPOLE", "LONPOLE", "MJDREF"):
        keywords.remove(keyword, ignore_missing=True)
    keywords["EXPID"] = pointing.number
    keywords["OBJECT"] = "FIELD1"
    keywords["DATE-OBS"] = f"2026-01-01T00:{pointing.number:02d}:00"
    keywords["MJD-OBS"] = 61041.0 + pointing.number / 1440
    keywords["NCOSMIC"] = (hits, "cosmic rays that were simulated")
    return Exposed(electrons=image, kind="SCIENCE", exptime_s=EXPTIME_S, keywords=keywords)


def _objects(camera: Camera, field_sky: Sky, pointing: Pointing, detector: int) -> Floats:
    size = camera.size
    wcs = camera.wcs(*pointing.true_deg, pointing.turn_deg, detector)
    x, y = wcs.wcs_world2pix(field_sky.ra_deg, field_sky.dec_deg, 0)
    axis_x, axis_y = (x - (wcs.wcs.crpix[0] - 1)), (y - (wcs.wcs.crpix[1] - 1))
    stretch = DISTORTION_PX * (axis_x**2 + axis_y**2) / DISTORTION_RADIUS_PX**3
    x, y = x + stretch * axis_x, y + stretch * axis_y
    image = np.zeros((size, size))
    radius = camera.detectors * size / 2
    near = (np.abs(x - size / 2) < size / 2 + 40) & (np.abs(y - size / 2) < size / 2 + 40)
    for index in np.flatnonzero(near).tolist():
        flux = pointing.transparency * sky.electrons(field_sky.mag[index])
        core = pointing.seeing.core(axis_x[index] / radius, axis_y[index] / radius)
        for share, covariance in sky.shape(field_sky, index, core):
            sky.add_gaussian(image, x[index], y[index], flux * share, covariance)
    return image


def _add_cosmics(image: Floats, rng: np.random.Generator) -> int:
    """Add short bright tracks; return how many."""
    size = image.shape[0]
    hits = int(rng.poisson(COSMICS_PER_MPX * size * size / 1e6))
    for _ in range(hits):
        steps = np.arange(int(rng.exponential(6)) + 1)
        angle, (x, y) = rng.uniform(0, np.pi), rng.uniform(0, size, 2)
        charge = rng.exponential(1500) + 300
        columns = (x + steps * np.cos(angle)).astype(int)
        rows = (y + steps * np.sin(angle)).astype(int)
        inside = (columns >= 0) & (columns < size) & (rows < size)
        np.add.at(image, (rows[inside], columns[inside]), charge)
    return hits
