"""First allocations: against a slow enumeration that plays every task through, by itself."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.planner.sizing import (
    Goal,
    Use,
    cores_for,
    first_allocation,
    risk,
    walltime_for,
)

uses = st.lists(
    st.builds(Use, st.integers(1, 12).map(float), st.integers(1, 9).map(float)),
    min_size=1,
    max_size=12,
)


def held(tasks: list[Use], amount: float) -> Fraction:
    """Play all tasks: what is held, times how long; a second attempt holds the largest amount."""
    most = max(task.peak for task in tasks)
    total = Fraction(0)
    for task in tasks:
        total += Fraction(amount) * Fraction(task.wall_s)
        if task.peak > amount:
            total += Fraction(most) * Fraction(task.wall_s)
    return total


def throughput(tasks: list[Use], amount: float) -> Fraction:
    """Return tasks that end in a unit of time on one node of the largest amount."""
    most = max(task.peak for task in tasks)
    at_once = sum(
        Fraction(most) / Fraction(amount) if task.peak <= amount else Fraction(1) for task in tasks
    )
    seconds = sum(Fraction(task.wall_s) * (2 if task.peak > amount else 1) for task in tasks)
    return at_once / seconds


@given(uses)
def test_no_amount_wastes_less(tasks: list[Use]) -> None:
    chosen = first_allocation(tasks, Goal.WASTE)
    assert held(tasks, chosen) == min(held(tasks, task.peak) for task in tasks)


@given(uses)
def test_no_amount_lets_more_tasks_end(tasks: list[Use]) -> None:
    chosen = first_allocation(tasks, Goal.THROUGHPUT)
    best = max(throughput(tasks, task.peak) for task in tasks)
    assert float(throughput(tasks, chosen)) == pytest.approx(float(best), rel=1e-12)


@given(uses)
def test_what_is_safe_is_the_largest_and_all_are_peaks(tasks: list[Use]) -> None:
    peaks = {task.peak for task in tasks}
    assert {first_allocation(tasks, goal) for goal in Goal} <= peaks
    assert first_allocation(tasks, Goal.SAFE) == max(peaks)


@given(uses, st.integers(1, 5))
def test_the_unit_and_the_order_do_not_matter(tasks: list[Use], factor: int) -> None:
    scaled = [Use(task.peak * factor, task.wall_s) for task in reversed(tasks)]
    chosen = first_allocation(tasks, Goal.WASTE)
    assert held(tasks, first_allocation(scaled, Goal.WASTE) / factor) == held(tasks, chosen)


@given(uses)
def test_a_larger_amount_is_never_riskier(tasks: list[Use]) -> None:
    peaks = [task.peak for task in tasks]
    risks = [risk(peaks, amount) for amount in sorted(peaks)]
    assert risks == sorted(risks, reverse=True)
    assert risks[-1] == pytest.approx(1 / (len(peaks) + 1))


def test_the_largest_is_chosen_where_a_second_attempt_costs_more() -> None:
    # a = 6: 6 * 10 + 10 * (10 * 5 / 10) = 110; a = 10: 10 * 10 = 100
    half = [Use(6.0, 10.0)] * 5 + [Use(10.0, 10.0)] * 5
    assert first_allocation(half, Goal.WASTE) == 10.0
    # a = 6: 6 * 10 + 10 * (10 * 1 / 10) = 70; a = 10: 100
    few = [Use(6.0, 10.0)] * 9 + [Use(10.0, 10.0)]
    assert first_allocation(few, Goal.WASTE) == 6.0


def test_long_tasks_that_exceed_weigh_more_than_short_ones() -> None:
    # a = 6: 6 * 19 + 10 * (100 / 10) = 214; a = 10: 10 * 19 = 190
    tasks = [Use(6.0, 10.0)] * 9 + [Use(10.0, 100.0)]
    assert first_allocation(tasks, Goal.WASTE) == 10.0


def test_throughput_gives_less_than_waste_when_more_fit_at_once() -> None:
    # a = 3: (10/3 * 0.6 + 0.4) / (10 + 4) = 0.171; a = 10: 1 / 10; waste: 3 * 10 + 10 * 4 = 70
    tasks = [Use(3.0, 10.0)] * 6 + [Use(10.0, 10.0)] * 4
    assert first_allocation(tasks, Goal.THROUGHPUT) == 3.0


def test_a_hundred_thousand_samples_are_sized_at_once() -> None:
    tasks = [Use(float(i * 7919 % 100_003 + 1), 1.0) for i in range(100_000)]
    assert first_allocation(tasks, Goal.WASTE) > 0


def test_cores_are_those_that_nine_of_ten_keep_busy() -> None:
    assert cores_for([0.2] * 9 + [7.5]) == 1
    assert cores_for([3.3] * 20) == 4
    assert cores_for([0.01]) == 1


def test_a_walltime_has_room_for_a_wide_distribution() -> None:
    assert walltime_for([100.0]) == 200.0
    wide = walltime_for([1.0, 4.0, 16.0, 64.0])
    assert 128 < wide <= 640


def test_what_used_nothing_is_no_allocation() -> None:
    assert first_allocation([Use(0.0, 1.0), Use(2.0, 1.0)], Goal.WASTE) == 2.0
