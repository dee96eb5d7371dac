"""Fit the world coordinates of all frames at once to the external reference catalogue.

Each frame has its own shift, rotation and scale (an affine map); the higher terms belong to the
detector and are the same in all exposures. The photometric scale of each exposure comes from the
stars among the same pairs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from astropy.io import fits
from files import read_reduced
from frames import MAGZERO, Floats, Table, mad_sigma, read_table, write_fits
from plane import TERMS, evaluate, project, sip_header
from products import data_file
from program import Call, VisError, run
from sources import point_like

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

REFERENCE_ERROR_ARCSEC: Final = 0.015
CENTROID_ERROR_PX: Final = 0.01
POINTING_ERROR_ARCSEC: Final = 6.0
VOTE_BIN_ARCSEC: Final = 0.4
BRIGHTEST: Final = 150
LEAST_SNR: Final = 15.0
STELLAR_SNR: Final = 40.0
LEAST_MATCHES: Final = 5
RADII_ARCSEC: Final = (0.8, 0.5, 0.3, 0.3)
OUTLIER_SIGMA: Final = 4.5
AFFINE_TERMS: Final = 3
MATCHES_FOR_TERMS: Final = ((60, 10), (30, 6), (0, 3))
"""From how many reference objects on a detector how many terms are fitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The external catalogue: positions in degrees, and magnitudes."""

    ra_deg: Floats
    dec_deg: Floats
    mag: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one frame saw, and where the reference objects should be.

    Args:
        header: of the frame, with the commanded world coordinates.
        table: usable detections.
        u: their column, -1 to 1 over the frame.
        v: their row, -1 to 1 over the frame.
        wanted: plane positions of all reference objects, (2, m), arcsec.
        guess: polynomials (2, 4, 4) from (u, v) to the plane, arcsec.
    """

    header: fits.Header
    table: Table
    u: Floats
    v: Floats
    wanted: Floats
    guess: Floats

    @property
    def exposure(self) -> int:
        """Return the number of the exposure."""
        return int(self.header["EXPID"])

    @property
    def detector(self) -> int:
        """Return the number of the detector."""
        return int(self.header["CCDID"])

    @property
    def middle(self) -> Floats:
        """Return the pixel, from 1, where u and v are 0; they are 1 that many pixels further."""
        return (np.array([self.header["IMWIDTH"], self.header["IMHEIGHT"]]) + 1) / 2

    @property
    def pointing_deg(self) -> tuple[float, float]:
        """Return the commanded right ascension and declination."""
        return float(self.header["CRVAL1"]), float(self.header["CRVAL2"])

    def plane(self) -> Floats:
        """Return the detections in the plane, by the guess."""
        return np.array([evaluate(self.guess[axis], self.u, self.v) for axis in (0, 1)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Index of the detection and of the reference object of each match."""

    seen: NDArray[np.intp]
    known: NDArray[np.intp]


def read_reference(table: Table) -> Reference:
    """Return the external catalogue of a table."""
    return Reference(ra_deg=table["X_WORLD"], dec_deg=table["Y_WORLD"], mag=table["MAG"])


def look(table: Table, header: fits.Header, reference: Reference) -> View:
    """Return what a frame saw, with the commanded world coordinates as the first guess."""
    good = (table["FLAGS"] == 0) & ~table["SATURATED"] & (table["SNR"] > LEAST_SNR)
    middle = (np.array([header["IMWIDTH"], header["IMHEIGHT"]]) + 1) / 2
    pointing = (float(header["CRVAL1"]), float(header["CRVAL2"]))
    turn = [[header.get(f"PC{i}_{j}", float(i == j)) for j in (1, 2)] for i in (1, 2)]
    steps = np.array([header.get("CDELT1", 1.0), header.get("CDELT2", 1.0)])
    linear = 3600 * steps[:, None] * np.array(turn)
    guess = np.zeros((2, 4, 4))
    guess[:, 0, 0] = linear @ (middle - [header["CRPIX1"], header["CRPIX2"]])
    guess[:, 1, 0], guess[:, 0, 1] = linear[:, 0] * middle[0], linear[:, 1] * middle[1]
    return View(
        header=header,
        table=table[good],
        u=(table["X_IMAGE"][good] - middle[0]) / middle[0],
        v=(table["Y_IMAGE"][good] - middle[1]) / middle[1],
        wanted=project(reference.ra_deg, reference.dec_deg, pointing),
        guess=guess,
    )


def pointing_error(views: Sequence[View]) -> Floats:
    """Return by how much the frames of one exposure are off, (2,) arcsec.

    The most frequent difference between bright detections and reference objects is the shift;
    wrong pairs differ by anything.
    """
    differences = []
    for view in views:
        bright = np.argsort(-view.table["FLUX_AUTO"], kind="stable")[:BRIGHTEST]
        pairs = view.wanted[:, :, None] - view.plane()[:, None, bright]
        near = np.all(np.abs(pairs) < POINTING_ERROR_ARCSEC, axis=0)
        differences.append(pairs[:, near])
    votes = np.concatenate(differences, axis=1)
    if not votes.size:
        return np.zeros(2)
    edges = np.arange(-POINTING_ERROR_ARCSEC, POINTING_ERROR_ARCSEC + 0.01, VOTE_BIN_ARCSEC)
    counts, _, _ = np.histogram2d(votes[0], votes[1], bins=(edges, edges))
    padded = np.pad(counts, 1)
    rows, columns = counts.shape
    smooth = sum(padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
    peak = np.unravel_index(int(np.argmax(smooth)), counts.shape)
    at = np.array([edges[peak[0]], edges[peak[1]]]) + VOTE_BIN_ARCSEC / 2
    near = np.all(np.abs(votes - at[:, None]) < 1.5 * VOTE_BIN_ARCSEC, axis=0)
    shift: Floats = np.median(votes[:, near], axis=1)
    return shift


def shifted(views: Sequence[View]) -> list[View]:
    """Return the frames with the pointing error of each exposure in their guess."""
    errors = {
        exposure: pointing_error([view for view in views if view.exposure == exposure])
        for exposure in sorted({view.exposure for view in views})
    }
    moved = []
    for view in views:
        guess = view.guess.copy()
        guess[:, 0, 0] += errors[view.exposure]
        moved.append(replace(view, guess=guess))
    return moved


def match(view: View, radius_arcsec: float) -> Pairs:
    """Return the detections and reference objects that are each other's nearest.

    Raises:
        VisError: there are too few to fit anything.
    """
    plane = view.plane()
    distance = np.hypot(*(plane[:, :, None] - view.wanted[:, None, :]))
    if distance.size:
        nearest = np.argmin(distance, axis=1)
        seen = np.arange(nearest.size)
        mutual = np.argmin(distance, axis=0)[nearest] == seen
        seen = seen[mutual & (distance[seen, nearest] < radius_arcsec)]
    else:
        nearest = seen = np.zeros(0, dtype=np.intp)
    if seen.size < LEAST_MATCHES:
        raise VisError(
            f"{seen.size} sources of exposure {view.exposure}, detector {view.detector} match "
            f"the reference catalogue, which is less than {LEAST_MATCHES}"
        )
    residual = plane[:, seen] - view.wanted[:, nearest[seen]]
    keep = np.ones(seen.size, dtype=bool)
    for along in residual:
        spread = max(mad_sigma(along), REFERENCE_ERROR_ARCSEC)
        keep &= np.abs(along - np.median(along)) < OUTLIER_SIGMA * spread
    return Pairs(seen=seen[keep], known=nearest[seen[keep]])


def terms_of(views: Sequence[View], pairs: Sequence[Pairs]) -> dict[int, int]:
    """Return how many terms of the polynomial each detector's matches can bear."""
    known: dict[int, set[int]] = {}
    for view, pair in zip(views, pairs, strict=True):
        known.setdefault(view.detector, set()).update(pair.known.tolist())
    return {
        detector: next(terms for least, terms in MATCHES_FOR_TERMS if len(objects) >= least)
        for detector, objects in known.items()
    }


def solve(views: Sequence[View], pairs: Sequence[Pairs]) -> list[View]:
    """Return the frames with the least-squares solution as their guess."""
    terms = terms_of(views, pairs)
    first_shared: dict[int, int] = {}
    unknowns = AFFINE_TERMS * len(views)
    for detector, count in sorted(terms.items()):
        first_shared[detector] = unknowns
        unknowns += count - AFFINE_TERMS
    blocks, wanted, weights = [], [], []
    for number, (view, pair) in enumerate(zip(views, pairs, strict=True)):
        u, v = view.u[pair.seen], view.v[pair.seen]
        block = np.zeros((u.size, unknowns))
        for term in range(terms[view.detector]):
            column = _column(number, term, first_shared[view.detector])
            block[:, column] = u ** TERMS[term][0] * v ** TERMS[term][1]
        blocks.append(block)
        wanted.append(view.wanted[:, pair.known])
        weights.append(1 / _error_arcsec(view, pair))
    weight = np.concatenate(weights)
    design = np.concatenate(blocks) * weight[:, None]
    target = np.concatenate(wanted, axis=1) * weight
    solution = np.linalg.lstsq(design, target.T, rcond=None)[0]
    solved = []
    for number, view in enumerate(views):
        guess = np.zeros_like(view.guess)
        for term in range(terms[view.detector]):
            column = _column(number, term, first_shared[view.detector])
            guess[:, TERMS[term][0], TERMS[term][1]] = solution[column]
        solved.append(replace(view, guess=guess))
    return solved


def _column(frame: int, term: int, first_shared: int) -> int:
    """Return the unknown of a term: a frame's own when affine, else its detector's."""
    own = term < AFFINE_TERMS
    return AFFINE_TERMS * frame + term if own else first_shared + term - AFFINE_TERMS


def _error_arcsec(view: View, pair: Pairs) -> Floats:
    scale = np.abs(view.guess[1, 0, 1]) / view.middle[1]
    rows = view.table[pair.seen]
    centroid = np.hypot(rows["FWHM_IMAGE"] / 2.355 / rows["SNR"], CENTROID_ERROR_PX)
    error: Floats = np.hypot(centroid * scale, REFERENCE_ERROR_ARCSEC)
    return error


def flux_scales(
    views: Sequence[View], pairs: Sequence[Pairs], reference: Reference
) -> dict[int, float]:
    """Return for each exposure the factor that brings its aperture fluxes to MAGZERO."""
    zero_points: dict[int, list[Floats]] = {}
    for view, pair in zip(views, pairs, strict=True):
        stellar = point_like(view.table, STELLAR_SNR)[pair.seen]
        stellar |= not stellar.any()
        flux = view.table["FLUX_APER"][pair.seen][stellar]
        mag = reference.mag[pair.known][stellar]
        zero_points.setdefault(view.exposure, []).append(mag + 2.5 * np.log10(flux))
    return {
        exposure: float(10 ** (0.4 * (MAGZERO - np.median(np.concatenate(values)))))
        for exposure, values in zero_points.items()
    }


def solution_header(view: View, pair: Pairs, scale: float) -> fits.Header:
    """Return the solved world coordinates of a frame, and how good they are."""
    # from (u, v) back to pixels: u = (x - middle) / middle
    middle = view.middle
    per_pixel = np.zeros_like(view.guess)
    for i, j in TERMS:
        per_pixel[:, i, j] = view.guess[:, i, j] / middle[0] ** i / middle[1] ** j
    start = (view.header["CRPIX1"] - middle[0], view.header["CRPIX2"] - middle[1])
    header = sip_header(per_pixel[0], per_pixel[1], view.pointing_deg, start)
    header["CRPIX1"] += middle[0]
    header["CRPIX2"] += middle[1]
    residual = view.plane()[:, pair.seen] - view.wanted[:, pair.known]
    header["EXPID"], header["CCDID"] = view.exposure, view.detector
    header["IMWIDTH"], header["IMHEIGHT"] = view.header["IMWIDTH"], view.header["IMHEIGHT"]
    header["FLXSCALE"] = (scale, "brings the image to MAGTOTAL")
    header["NMATCH"] = (pair.seen.size, "reference objects")
    header["RMSRA"] = (float(np.std(residual[0]) * 1000), "mas, to the reference")
    header["RMSDEC"] = (float(np.std(residual[1]) * 1000), "mas, to the reference")
    return header


def fit(views: Sequence[View], reference: Reference) -> list[fits.Header]:
    """Return the solved header of each frame."""
    repeated = [key for key, n in Counter((v.exposure, v.detector) for v in views).items() if n > 1]
    if repeated:
        raise VisError(f"exposure {repeated[0][0]}, detector {repeated[0][1]} is given twice")
    views = shifted(views)
    for radius in RADII_ARCSEC:
        views = solve(views, [match(view, radius) for view in views])
    pairs = [match(view, RADII_ARCSEC[-1]) for view in views]
    scales = flux_scales(views, pairs, reference)
    return [
        solution_header(view, pair, scales[view.exposure])
        for view, pair in zip(views, pairs, strict=True)
    ]


def step(call: Call) -> None:
    """Solve all frames and write one header a frame."""
    catalogue = data_file(call.source("reference_catalogue"), call.workdir)
    reference = read_reference(read_table(catalogue, "LDAC_OBJECTS")[0])
    rows = read_reduced(call.source("reduced"), call.workdir)
    views = [look(*read_table(row.detections, "DETECTIONS"), reference) for row in rows]
    hdus: list[fits.PrimaryHDU | fits.ImageHDU] = [fits.PrimaryHDU()]
    for header in fit(views, reference):
        name = f"E{header['EXPID']:02d}-C{header['CCDID']}"
        hdus.append(fits.ImageHDU(header=header, name=name))
    write_fits(call.target("solution"), hdus)


if __name__ == "__main__":
    run(step, inputs=("reduced", "reference_catalogue"), outputs=("solution",))
