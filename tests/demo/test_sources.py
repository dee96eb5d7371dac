"""From calibrated frames to sources: cosmic rays, background, detection, PSF."""

import numpy as np
import pytest
from astropy.io import fits

COSMIC = 8
NOISE = 10.0
PLACES = [(20.0 + 36 * i, 20.3 + 37 * j) for i in range(6) for j in range(6)]


def noise(size):
    return np.random.default_rng(1).normal(0, NOISE, (size, size))


def detections(bench, name):
    with fits.open(bench.workdir / name, memmap=False) as hdus:
        return hdus["DETECTIONS"].data.copy()


@pytest.fixture
def starry(bench, stars):
    """Write a frame of 36 equal stars of 20000 electrons and FWHM 2.59."""
    bench.frame("frame.fits", stars(240, PLACES, 20000.0, 1.1) + noise(240), NOISE)
    return bench


def test_cosmic_rays_are_flagged_and_stars_are_not(bench, stars):
    image = 100 + stars(240, PLACES, 20000.0, 1.1) + noise(240)
    hits = [(9, 100), (101, 37), (150, 151), (222, 3 + 36)]
    for row, column in hits:
        image[row, column] += 1500.0
    bench.frame("frame.fits", image, NOISE)
    bench.make("cosmics", "--sigma=6", frame="frame.fits", cleaned="c.fits")
    flag = bench.image("c.fits", "FLAG").astype(int) & COSMIC
    assert all(flag[row, column] for row, column in hits)
    assert not any(flag[round(row), round(column)] for column, row in PLACES)
    assert np.all(bench.image("c.fits", "WEIGHT")[flag > 0] == 0)
    assert abs(bench.image("c.fits")[9, 100] - 100) < 5 * NOISE


def test_a_sloping_background_is_taken_off(bench, stars):
    slope = np.linspace(80, 120, 240)[None, :]
    bench.frame("f.fits", stars(240, PLACES, 20000.0, 1.1) + noise(240) + slope, NOISE)
    bench.make("background", "--box=64", frame="f.fits", subtracted="s.fits")
    rest = bench.image("s.fits")
    assert abs(np.median(rest[:, :60])) < 1.5
    assert abs(np.median(rest[:, -60:])) < 1.5


def test_every_star_is_detected_at_its_place_with_its_flux(starry):
    starry.make("detect", "--threshold=3", frame="frame.fits", detections="d.fits")
    table = detections(starry, "d.fits")
    assert len(table) == len(PLACES)
    for x, y in PLACES:
        distance = np.hypot(table["X_IMAGE"] - 1 - x, table["Y_IMAGE"] - 1 - y)
        assert distance.min() < 0.05
    assert np.median(table["FLUX_APER"]) == pytest.approx(20000, rel=0.01)


def test_the_psf_has_the_width_of_the_stars_and_the_sum_one(starry):
    starry.make("detect", frame="frame.fits", detections="d.fits")
    starry.make("psf", frame="frame.fits", detections="d.fits", psf="p.fits")
    with fits.open(starry.workdir / "p.fits") as hdus:
        assert hdus[0].header["FWHM"] == pytest.approx(2.355 * 1.1, rel=0.02)
        assert hdus[0].data.sum() == pytest.approx(1, abs=1e-4)
        assert np.unravel_index(hdus[0].data.argmax(), hdus[0].data.shape) == (12, 12)


def test_an_empty_frame_has_no_psf(bench):
    bench.frame("frame.fits", noise(120), NOISE)
    done = bench.start("detect", "--threshold=8", frame="frame.fits", detections="d.fits")
    assert (done.returncode, done.stderr) == (1, "detect: no source was detected\n")
