"""From raw frames to calibrated ones."""

import numpy as np
import pytest

PATTERN = np.fromfunction(lambda y, x: 3 * (x % 5) + y % 3, (64, 64))
HOT, DEAD, SATURATED = 1, 2, 4


@pytest.fixture
def masters(bench):
    """Write calibrations of detector 1: PATTERN as bias, 0.5 electron/s, a tilted flat."""
    flat = np.fromfunction(lambda _, x: 0.8 + 0.4 * x / 63, (64, 64))
    none = np.zeros((64, 64), dtype=np.uint8)
    hot, dead = none.copy(), none.copy()
    hot[10, 20], dead[30, 40] = HOT, DEAD
    bench.fits("bias.fits", PATTERN.astype(np.float32), {"CCDID": 1})
    bench.fits("dark.fits", np.full((64, 64), 0.5, np.float32), {"CCDID": 1}, MASK=hot)
    bench.fits("flat.fits", flat.astype(np.float32), {"CCDID": 1}, MASK=dead)
    return {
        "master_biases": bench.list_file("biases.json", ["bias.fits"]),
        "master_darks": bench.list_file("darks.json", ["dark.fits"]),
        "master_flats": bench.list_file("flats.json", ["flat.fits"]),
    }


def test_the_master_bias_is_the_pattern_above_the_overscan(bench):
    names = [bench.raw(f"bias_{i}.fits", PATTERN) for i in range(3)]
    bench.make("master_bias", frames=bench.list_file("l.json", names), master_bias="out/m.fits")
    np.testing.assert_allclose(bench.image("out/m.fits"), PATTERN)


def test_frames_of_two_detectors_make_no_master(bench):
    names = [bench.raw(f"bias_{i}.fits", PATTERN, ccd=i) for i in (1, 2)]
    done = bench.start("master_bias", frames=bench.list_file("l.json", names), master_bias="m.fits")
    assert done.returncode == 1
    assert done.stderr == "master_bias: the frames are of several detectors: [1, 2]\n"


def test_the_master_dark_masks_a_hot_pixel_and_no_other(bench, masters):
    light = PATTERN + 25.0  # 50 electron in 100 s
    light[7, 9] += 500.0
    names = [bench.raw(f"dark_{i}.fits", light) for i in range(3)]
    bench.make(
        "master_dark",
        frames=bench.list_file("l.json", names),
        master_biases=masters["master_biases"],
        master_dark="m.fits",
    )
    assert bench.image("m.fits")[0, 0] == pytest.approx(0.5)
    assert np.argwhere(bench.image("m.fits", "MASK")).tolist() == [[7, 9]]


def test_the_master_flat_masks_a_dead_column_and_no_other(bench, masters):
    light = PATTERN + 25.0 + 20000.0
    light[:, 33] -= 19900.0
    names = [bench.raw(f"flat_{i}.fits", light) for i in range(3)]
    bench.make(
        "master_flat",
        frames=bench.list_file("l.json", names),
        master_biases=masters["master_biases"],
        master_darks=masters["master_darks"],
        master_flat="m.fits",
    )
    assert np.unique(np.argwhere(bench.image("m.fits", "MASK"))[:, 1]).tolist() == [33]


def test_correction_recovers_the_electrons_that_fell(bench, masters):
    flat = bench.image("flat.fits")
    raw = bench.raw("raw.fits", PATTERN + (800.0 * flat + 50.0) / 2.0)
    bench.make("correct", raw=raw, **masters, corrected="out/c.fits")
    np.testing.assert_allclose(bench.image("out/c.fits"), 800.0, atol=2.0)  # rounded to ADU


def test_bad_pixels_are_flagged_weigh_nothing_and_are_filled(bench, masters):
    raw = bench.raw("raw.fits", PATTERN + 400.0 * bench.image("flat.fits"))
    bench.make("correct", raw=raw, **masters, corrected="c.fits")
    assert np.argwhere(bench.image("c.fits", "WEIGHT") == 0).tolist() == [[10, 20], [30, 40]]
    assert bench.image("c.fits", "FLAG")[10, 20] == HOT
    assert bench.image("c.fits", "FLAG")[30, 40] == DEAD
    assert bench.image("c.fits")[30, 40] == pytest.approx(bench.image("c.fits")[30, 41], rel=0.01)


def test_full_pixels_are_flagged_as_saturated(bench, masters):
    light = np.full((64, 64), 100.0)
    light[5, 6] = 64000.0
    bench.make("correct", raw=bench.raw("raw.fits", light), **masters, corrected="c.fits")
    full = bench.image("c.fits", "FLAG").astype(int) & SATURATED
    assert np.argwhere(full).tolist() == [[5, 6]]


def test_a_frame_without_calibrations_of_its_detector_is_refused(bench, masters):
    done = bench.start(
        "correct", raw=bench.raw("raw.fits", PATTERN, ccd=2), **masters, corrected="c.fits"
    )
    assert done.returncode == 1
    assert done.stderr == "correct: 0 calibration files are of detector 2, not one\n"
    assert not (bench.workdir / "c.fits").exists()
