"""Tangent plane and polynomials: what stands between pixels and the sky.

Plane coordinates are in arcseconds, along right ascension and declination. A polynomial is an
array `c` of 4 x 4 coefficients, `sum c[i, j] u**i v**j`, of total degree at most three.
"""

from __future__ import annotations

from math import comb
from typing import Final

import numpy as np
from astropy.io import fits
from frames import Floats

DEGREE: Final = 3
ARCSEC: Final = 3600.0
TERMS: Final = tuple((n - j, j) for n in range(DEGREE + 1) for j in range(n + 1))
"""Exponents of all terms, constant first, then by degree."""


def project(ra_deg: Floats, dec_deg: Floats, centre_deg: tuple[float, float]) -> Floats:
    """Return plane coordinates (2, n) of sky positions around a centre, in arcsec."""
    ra, dec = np.deg2rad(ra_deg - centre_deg[0]), np.deg2rad(dec_deg)
    dec_0 = np.deg2rad(centre_deg[1])
    depth = np.sin(dec) * np.sin(dec_0) + np.cos(dec) * np.cos(dec_0) * np.cos(ra)
    xi = np.cos(dec) * np.sin(ra) / depth
    eta = (np.sin(dec) * np.cos(dec_0) - np.cos(dec) * np.sin(dec_0) * np.cos(ra)) / depth
    plane: Floats = np.rad2deg([xi, eta]) * ARCSEC
    return plane


def evaluate(coefficients: Floats, u: Floats, v: Floats) -> Floats:
    """Return the value of a polynomial."""
    value: Floats = np.asarray(np.polynomial.polynomial.polyval2d(u, v, coefficients), dtype=float)
    return value


def recentred(coefficients: Floats, u: float, v: float) -> Floats:
    """Return the same polynomial in coordinates counted from (u, v)."""
    moved = np.zeros_like(coefficients)
    for i, j in TERMS:
        for k in range(i + 1):
            for n in range(j + 1):
                step = comb(i, k) * u ** (i - k) * comb(j, n) * v ** (j - n)
                moved[k, n] += coefficients[i, j] * step
    return moved


def root(xi: Floats, eta: Floats, start: tuple[float, float]) -> tuple[float, float]:
    """Return where two polynomials are both zero, by Newton's method from `start`."""
    u, v = start
    for _ in range(20):
        f, g = recentred(xi, u, v), recentred(eta, u, v)
        jacobian = np.array([[f[1, 0], f[0, 1]], [g[1, 0], g[0, 1]]])
        du, dv = np.linalg.solve(jacobian, [-f[0, 0], -g[0, 0]])
        u, v = u + float(du), v + float(dv)
    return u, v


def sip_header(
    xi: Floats, eta: Floats, centre_deg: tuple[float, float], start: tuple[float, float]
) -> fits.Header:
    """Return world coordinates (TAN-SIP) of a map from pixels, from 1, to the plane.

    Args:
        xi: polynomial along right ascension, arcsec.
        eta: polynomial along declination, arcsec.
        centre_deg: where plane and sphere touch.
        start: pixel near that point.
    """
    u, v = root(xi, eta, start)
    xi, eta = recentred(xi, u, v) / ARCSEC, recentred(eta, u, v) / ARCSEC
    cd = np.array([[xi[1, 0], xi[0, 1]], [eta[1, 0], eta[0, 1]]])
    inverse = np.linalg.inv(cd)
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
    header["RADESYS"] = "ICRS"
    header["CRVAL1"], header["CRVAL2"] = centre_deg
    header["CRPIX1"], header["CRPIX2"] = u, v
    for row in (0, 1):
        for column in (0, 1):
            header[f"CD{row + 1}_{column + 1}"] = float(cd[row, column])
    header["A_ORDER"], header["B_ORDER"] = DEGREE, DEGREE
    for i, j in TERMS:
        if i + j > 1:
            a, b = inverse @ np.array([xi[i, j], eta[i, j]])
            header[f"A_{i}_{j}"], header[f"B_{i}_{j}"] = float(a), float(b)
    return header
