"""Compare the catalogue with the truth: completeness, positions, magnitudes, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from files import write_json
from frames import Floats, Table, mad_sigma, read_table
from products import data_file
from program import Call, VisError, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

MATCH_ARCSEC: Final = 0.6
SPURIOUS_ARCSEC: Final = 1.0
EDGE_ARCSEC: Final = 12.0
EDGE_SHARE: Final = 0.08
BINS_MAG: Final = ((18, 21), (21, 23), (23, 24), (24, 25))
STARS_MAG: Final = (18.5, 21.5)
LEAST_STARS: Final = 3


def nearest(
    ra: Floats, dec: Floats, among_ra: Floats, among_dec: Floats
) -> tuple[NDArray[np.intp], Floats]:
    """Return for each position the nearest of others, and its distance in arcsec."""
    cos = np.cos(np.deg2rad(np.median(dec)))
    index = np.zeros(ra.size, dtype=np.intp)
    distance = np.zeros(ra.size)
    for start in range(0, ra.size, 512):
        part = slice(start, start + 512)
        gap = np.hypot(
            (ra[part, None] - among_ra[None, :]) * cos, dec[part, None] - among_dec[None, :]
        )
        index[part] = np.argmin(gap, axis=1)
        distance[part] = gap.min(axis=1) * 3600
    return index, distance


def compare(found: Table, truth: Table) -> dict[str, Any]:
    """Return the numbers of the comparison.

    Raises:
        VisError: too few stars are in both catalogues.
    """
    total = len(found)
    found = found[~found["SATURATED"] & (found["FLUX_AUTO"] > 0)]
    index, distance = nearest(truth["RA"], truth["DEC"], found["RA"], found["DEC"])
    matched = distance < MATCH_ARCSEC
    inside = np.ones(len(truth), dtype=bool)
    for axis in ("RA", "DEC"):
        low, high = found[axis].min(), found[axis].max()
        margin = min(EDGE_ARCSEC / 3600, EDGE_SHARE * (high - low))
        inside &= (truth[axis] > low + margin) & (truth[axis] < high - margin)
    report: dict[str, Any] = {"sources": total, "completeness": {}, "truth": {}}
    for low, high in BINS_MAG:
        of_bin = inside & (truth["MAG"] >= low) & (truth["MAG"] < high)
        share = float(matched[of_bin].mean()) if of_bin.any() else None
        report["completeness"][f"{low}-{high}"] = share
        report["truth"][f"{low}-{high}"] = int(of_bin.sum())
    stars = matched & truth["STAR"]
    stars &= (truth["MAG"] > STARS_MAG[0]) & (truth["MAG"] < STARS_MAG[1])
    stars[stars] = found["FLAGS"][index[stars]] == 0
    if np.count_nonzero(stars) < LEAST_STARS:
        raise VisError("the catalogue and the truth share too few stars to compare them")
    report |= residuals(found[index[stars]], truth[stars])
    _, lonely = nearest(found["RA"], found["DEC"], truth["RA"], truth["DEC"])
    report["spurious_share"] = float((lonely > SPURIOUS_ARCSEC).mean())
    return report


def residuals(found: Table, truth: Table) -> dict[str, Any]:
    """Return offset and scatter of stars: mas and mag, catalogue minus truth."""
    cos = np.cos(np.deg2rad(truth["DEC"]))
    ra_mas = (found["RA"] - truth["RA"]) * cos * 3.6e6
    dec_mas = (found["DEC"] - truth["DEC"]) * 3.6e6
    astrometry = {
        "ra_offset": float(np.median(ra_mas)),
        "ra_scatter": mad_sigma(ra_mas),
        "dec_offset": float(np.median(dec_mas)),
        "dec_scatter": mad_sigma(dec_mas),
    }
    photometry = {}
    for kind in ("aper", "auto"):
        difference = found[f"MAG_{kind.upper()}"] - truth["MAG"]
        photometry[f"{kind}_offset"] = float(np.median(difference))
        photometry[f"{kind}_scatter"] = mad_sigma(difference)
    return {
        "stars": len(truth),
        "fwhm_px": float(np.median(found["FWHM_IMAGE"])),
        "astrometry_mas": astrometry,
        "photometry_mag": photometry,
    }


def step(call: Call) -> None:
    """Compare the catalogue with the truth."""
    found, _ = read_table(call.source("catalogue"), "CATALOGUE")
    truth, _ = read_table(data_file(call.source("truth_catalogue"), call.workdir), "TRUTH")
    write_json(call.target("report"), compare(found, truth))


if __name__ == "__main__":
    run(step, inputs=("catalogue", "truth_catalogue"), outputs=("report",))
