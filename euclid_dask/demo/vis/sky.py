"""The simulated sky: a catalogue of stars and galaxies, and how they look through the telescope.

Every profile is a sum of Gaussians, and so is the point spread function: their convolution is
known in closed form, and nothing has to be interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from frames import MAGZERO, Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE_ARCSEC: Final = 0.2
RA_DEG: Final = 150.1
DEC_DEG: Final = 2.2
STARS_PER_MPX: Final = 110.0
GALAXIES_PER_MPX: Final = 520.0
STARS_IN_A_FRAME: Final = 60
FAINTEST_MAG: Final = 25.5
BRIGHTEST_STAR_MAG: Final = 16.8
COUNT_SLOPE: Final = 0.35
WINGS_SEEN_TO_MAG: Final = 21.0

# (share of the flux, width): relative to the core of the PSF, or to the half-light radius
PSF: Final = ((0.70, 1.0), (0.24, 1.9), (0.06, 4.0))
DISC: Final = (
    (0.0007, 0.024),
    (0.0097, 0.065),
    (0.0695, 0.136),
    (0.3535, 0.502),
    (0.5172, 0.944),
    (0.0475, 1.9),
)
BULGE: Final = ((0.15, 0.12), (0.25, 0.35), (0.27, 0.8), (0.22, 1.7), (0.11, 3.6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sky:
    """What is really there, one element an object.

    Args:
        ra_deg: right ascension.
        dec_deg: declination.
        mag: total magnitude.
        star: True for a star, False for a galaxy.
        radius_arcsec: half-light radius; 0 for a star.
        axis_ratio: minor over major axis.
        angle_rad: position angle of the major axis, from the image's x.
        bulge: True for a centrally concentrated galaxy.
    """

    ra_deg: Floats
    dec_deg: Floats
    mag: Floats
    star: NDArray[np.bool_]
    radius_arcsec: Floats
    axis_ratio: Floats
    angle_rad: Floats
    bulge: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeing:
    """The point spread function of one exposure: core width in pixels, and its ellipticity."""

    sigma_px: float
    e1: float
    e2: float

    def core(self, u: float, v: float) -> Floats:
        """Return the core's covariance (xx, yy, xy) in px^2, at field position -1..1."""
        width = self.sigma_px * (1 + 0.02 * u + 0.015 * v * v)
        e1, e2 = self.e1 + 0.02 * u * v, self.e2 + 0.01 * (u * u - v * v)
        return width**2 * np.array([1 + e1, 1 - e1, e2])


def populate(rng: np.random.Generator, half_width_px: float, half_height_px: float) -> Sky:
    """Return the objects of a field.

    Args:
        rng: where chance comes from.
        half_width_px: half of the field's width, in pixels of the camera.
        half_height_px: half of its height.
    """
    area_mpx = 4e-6 * half_width_px * half_height_px
    frame_mpx = 4e-6 * half_height_px**2
    stars = int(area_mpx * max(STARS_PER_MPX, STARS_IN_A_FRAME / frame_mpx))
    total = stars + int(area_mpx * GALAXIES_PER_MPX)
    star = np.arange(total) < stars
    x_px = rng.uniform(-half_width_px, half_width_px, total)
    y_px = rng.uniform(-half_height_px, half_height_px, total)
    dec = DEC_DEG + y_px * SCALE_ARCSEC / 3600
    faintness = np.log10(rng.uniform(10 ** (-6 * COUNT_SLOPE), 1, total)) / COUNT_SLOPE
    star_mag = BRIGHTEST_STAR_MAG + 8.0 * rng.beta(1.6, 1.0, total)
    mag = np.where(star, star_mag, FAINTEST_MAG + faintness)
    size = 0.35 * 10 ** (-0.11 * (mag - 23)) * rng.lognormal(0, 0.25, total)
    return Sky(
        ra_deg=RA_DEG - x_px * SCALE_ARCSEC / 3600 / np.cos(np.deg2rad(dec)),
        dec_deg=dec,
        mag=mag,
        star=star,
        radius_arcsec=np.where(star, 0, np.clip(size, 0.1, 1.5)),
        axis_ratio=np.where(star, 1, rng.uniform(0.3, 1, total)),
        angle_rad=rng.uniform(0, np.pi, total),
        bulge=~star & (rng.random(total) < 0.3),
    )


def shape(sky: Sky, index: int, core: Floats) -> list[tuple[float, Floats]]:
    """Return an object as Gaussians: (share of the flux, covariance in px^2)."""
    wings = PSF if sky.mag[index] < WINGS_SEEN_TO_MAG or sky.star[index] else PSF[:2]
    if sky.star[index]:
        return [(share, width**2 * core) for share, width in wings]
    profile = BULGE if sky.bulge[index] else DISC
    total = sum(share for share, _ in profile) * sum(share for share, _ in wings)
    cos, sin = np.cos(sky.angle_rad[index]), np.sin(sky.angle_rad[index])
    major = (sky.radius_arcsec[index] / SCALE_ARCSEC) ** 2
    minor = major * sky.axis_ratio[index] ** 2
    round_shape = np.array(
        [
            major * cos**2 + minor * sin**2,
            major * sin**2 + minor * cos**2,
            (major - minor) * cos * sin,
        ]
    )
    return [
        (share * wing / total, radius**2 * round_shape + width**2 * core)
        for share, radius in profile
        for wing, width in wings
    ]


def add_gaussian(image: Floats, x: float, y: float, flux: float, covariance: Floats) -> None:
    """Add one elliptical Gaussian to an image.

    Args:
        image: what it is added to.
        x: column of its centre, from 0.
        y: row of its centre, from 0.
        flux: its total.
        covariance: (xx, yy, xy) in px^2.
    """
    xx, yy, xy = covariance
    reach = int(np.ceil(5.0 * np.sqrt(max(xx, yy)))) + 1
    rows = slice(max(0, int(y) - reach), min(image.shape[0], int(y) + reach + 1))
    columns = slice(max(0, int(x) - reach), min(image.shape[1], int(x) + reach + 1))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    dx = np.arange(columns.start, columns.stop) - x
    dy = (np.arange(rows.start, rows.stop) - y)[:, None]
    determinant = xx * yy - xy * xy
    distance = (yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy) / determinant
    image[rows, columns] += flux / (2 * np.pi * np.sqrt(determinant)) * np.exp(-0.5 * distance)


def electrons(mag: float) -> float:
    """Return the electrons of an object in one exposure of full transparency."""
    return float(10 ** (-0.4 * (mag - MAGZERO)))
