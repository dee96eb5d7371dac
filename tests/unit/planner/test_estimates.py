"""What durations are expected."""

from random import Random

import pytest

from euclid_dask.planner.estimates import ENOUGH, Duration, estimate


def samples(*walls: float) -> Duration:
    duration = Duration()
    for wall_s in walls:
        duration.add(wall_s)
    return duration


def test_the_declared_walltime_holds_until_there_are_enough_samples() -> None:
    for count in range(ENOUGH):
        found = estimate(samples(*[10.0] * count), 3600.0)
        assert found is not None
        assert (found.q50_s, found.q90_s, found.count) == (3600.0, 3600.0, count)


def test_samples_outweigh_the_declaration_more_and_more() -> None:
    found = [estimate(samples(*[10.0] * count), 3600.0) for count in (5, 20, 500)]
    q90 = [one.q90_s for one in found if one]
    assert q90 == pytest.approx([189.7, 32.5, 10.6], rel=0.01)


def test_nothing_is_expected_where_nothing_is_known() -> None:
    assert estimate(Duration(), 0.0) is None
    found = estimate(samples(*[10.0] * 5), 0.0)
    assert found is not None
    assert found.q90_s == pytest.approx(10.0)


def test_nine_tenths_stay_below_the_estimate() -> None:
    draw = Random(1)
    walls = [draw.lognormvariate(4.0, 0.5) for _ in range(4000)]
    found = estimate(samples(*walls), 0.0)
    assert found is not None
    assert sum(wall <= found.q90_s for wall in walls) / 4000 == pytest.approx(0.9, abs=0.015)
    assert sum(wall <= found.q50_s for wall in walls) / 4000 == pytest.approx(0.5, abs=0.03)


def test_an_estimate_is_never_more_than_what_was_declared() -> None:
    found = estimate(samples(*[50.0, 5000.0] * 20), 60.0)
    assert found is not None
    assert (found.q50_s, found.q90_s) == (60.0, 60.0)


def test_samples_of_several_runs_count_together() -> None:
    walls = [3.0, 9.0, 27.0, 1.0, 0.0]
    merged = samples(*walls[:2])
    merged.merge(samples(*walls[2:]))
    together = samples(*walls)
    assert merged.count == 5
    assert merged.mean_s == pytest.approx(together.mean_s)
    assert merged.mean_log == pytest.approx(together.mean_log)
    assert merged.squares_log == pytest.approx(together.squares_log)
    nothing = Duration()
    nothing.merge(Duration())
    assert nothing == Duration()
