"""What executables should ask for: numbers worked out by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.core.resources import GB, Resources
from euclid_dask.planner.sizing import Goal
from euclid_dask.report.advice import LEAST, Advice, advise
from euclid_dask.runner.profiles import Definition, Usage

HOUR = 3600.0


def asks(cores: float = 4, ram: float = 8, walltime_s: float = 10 * HOUR) -> Definition:
    asked = Resources(cores=cores, ram_bytes=round(ram * GB), walltime_s=walltime_s)
    return Definition("x", "x", "v", "/defs.py:3", asked, "r")


def used(ram: float = 1, wall_s: float = HOUR, cores: float = 1, **more: Any) -> Usage:
    facts = {"run": "r", "task": f"t{id(object())}", "attempt": 1, "verdict": "done"} | more
    facts.setdefault("input_bytes", 0)
    return Usage(wall_s=wall_s, cpu_s=cores * wall_s, peak_ram_bytes=round(ram * GB), **facts)


def many(*uses: tuple[int, float]) -> list[Usage]:
    """Return so many tasks of an hour with so many GB each."""
    found = [used(ram=ram) for count, ram in uses for _ in range(count)]
    return [use._replace(task=f"t{number}") for number, use in enumerate(found)]


def told(definition: Definition, usages: list[Usage], **more: Any) -> Advice:
    found = advise(definition, usages, **more)
    assert found is not None
    return found


def test_few_that_need_much_are_tried_again() -> None:
    # first 1 GB: 1 * 30 + 4 * 3 = 42 GB h; first 4 GB: 120 GB h. A tenth more: 1.1 and 4.4 GB.
    found = told(asks(cores=1), many((27, 1.0), (3, 4.0)))
    assert found.advised.ram_bytes == 1_100_000_000
    assert found.risk == pytest.approx(4 / 31)
    assert found.gb_hours == pytest.approx(8 * 30)
    assert found.saved_gb_hours == pytest.approx(8 * 30 - (1.1 * 30 + 4.4 * 3))
    assert found.core_hours == pytest.approx(30)
    assert found.saved_core_hours == pytest.approx(-3)  # the second attempts


def test_where_many_need_much_all_get_it() -> None:
    # first 3 GB: 3 * 30 + 4 * 15 = 150; first 4 GB: 120
    found = told(asks(cores=1), many((15, 3.0), (15, 4.0)))
    assert found.advised.ram_bytes == 4_400_000_000
    assert found.saved_core_hours == 0
    assert found.risk == pytest.approx(1 / 31)


def test_what_is_safe_is_above_all_that_was_seen() -> None:
    found = told(asks(), many((29, 1.0), (1, 4.0)), goal=Goal.SAFE)
    assert found.advised.ram_bytes == 4_400_000_000


def test_cores_are_those_in_use() -> None:
    found = told(asks(cores=4), many((30, 7.9)))
    assert found.advised.cores == 1
    assert found.saved_core_hours == pytest.approx(90)
    busy = [use._replace(cpu_s=2.4 * HOUR) for use in many((30, 7.9))]
    assert told(asks(cores=4), busy).advised.cores == 3
    assert told(asks(cores=2), busy).advised.cores == 3


def test_a_share_of_a_core_stays_if_it_is_enough() -> None:
    idle = [use._replace(cpu_s=0.2 * HOUR) for use in many((30, 7.9))]
    assert told(asks(cores=0.25), idle).advised.cores == 0.25
    assert told(asks(cores=0.1), [u._replace(cpu_s=HOUR) for u in idle]).advised.cores == 1


def test_few_tasks_are_no_reason_to_ask_for_less() -> None:
    found = told(asks(), many((LEAST - 1, 1.0)))
    assert not found.is_change
    assert found.note == "24 of the 25 tasks that are needed to ask for less"
    assert told(asks(), many((LEAST - 1, 1.0)), least=24).is_change
    assert told(asks(), many((LEAST, 1.0))).note == ""


def test_a_task_that_was_killed_for_its_ram_is_a_reason_to_ask_for_more() -> None:
    killed = used(ram=8.2, verdict="memory", task="k")
    found = told(asks(ram=8), [killed])
    assert found.advised.ram_bytes == 12_000_000_000  # 8.2 * 1.3 * 1.1 = 11.7
    assert (found.count, found.killed) == (0, 1)


def test_a_second_attempt_that_was_killed_too_needs_more_than_it_was_given() -> None:
    killed = [
        used(ram=8.2, verdict="memory", task="k", attempt=2, given_ram_bytes=12 * GB),
        used(ram=8.2, verdict="memory", task="k", attempt=1, given_ram_bytes=8 * GB),
    ]
    assert told(asks(ram=8), killed).advised.ram_bytes == 18_000_000_000  # 12 * 1.3 * 1.1 = 17.2


def test_a_kill_whose_second_attempt_succeeded_counts_by_what_that_used() -> None:
    killed = used(ram=8.2, verdict="memory", task="k")
    again = used(ram=9.0, task="k", attempt=2)
    found = told(asks(ram=8), [again, killed])
    assert found.advised.ram_bytes == 9_900_000_000
    assert found.killed == 1


def test_ram_that_is_nearly_right_stays() -> None:
    assert told(asks(cores=1, ram=1.2), many((30, 1.0))).advised.ram_bytes == 1_200_000_000
    assert told(asks(cores=1, ram=1.05), many((30, 1.0))).advised.ram_bytes == 1_050_000_000


def test_tasks_too_short_to_be_looked_at_say_nothing_of_ram() -> None:
    found = told(asks(), [use._replace(peak_ram_bytes=0) for use in many((30, 1.0))])
    assert found.advised.ram_bytes == 8 * GB
    assert found.risk is None


def test_a_walltime_is_lowered_only_when_it_is_far_too_long() -> None:
    assert told(asks(walltime_s=10 * HOUR), many((30, 1))).advised.walltime_s == 2 * HOUR
    assert told(asks(walltime_s=3 * HOUR), many((30, 1))).advised.walltime_s == 3 * HOUR


def test_a_walltime_that_is_nearly_used_up_is_raised() -> None:
    assert told(asks(walltime_s=1.05 * HOUR), many((3, 1))).advised.walltime_s == 2 * HOUR
    killed = used(verdict="walltime", wall_s=HOUR)
    assert told(asks(walltime_s=HOUR), [killed]).advised.walltime_s == 2 * HOUR


def test_that_ram_grows_with_the_input_is_told() -> None:
    grows = [
        use._replace(input_bytes=number * GB, peak_ram_bytes=GB // 2 + 2 * number * GB)
        for number, use in enumerate(many((30, 1.0)), 1)
    ]
    assert told(asks(ram=80), grows).note == (
        "its RAM grows with its input: 0.5 GB + 2 x input (R2 1.00)"
    )
    same = [use._replace(input_bytes=GB) for use in many((30, 1.0))]
    assert told(asks(), same).note == ""


def test_failures_of_other_kinds_say_nothing() -> None:
    assert advise(asks(), []) is None
    assert advise(asks(), [used(verdict="exit")]) is None


@given(
    st.lists(st.tuples(st.floats(0.001, 500), st.floats(0.1, 1e5)), min_size=1, max_size=40),
    st.sampled_from(Goal),
    st.floats(0.1, 600),
)
def test_advice_is_sound(uses: list[tuple[float, float]], goal: Goal, ram: float) -> None:
    usages = [
        used(ram=peak, wall_s=wall_s, task=f"t{number}")
        for number, (peak, wall_s) in enumerate(uses)
    ]
    found = told(asks(ram=ram), usages, goal=goal, least=10)
    assert 0 < (found.risk or 0) <= 1
    assert found.saved_gb_hours <= found.gb_hours
    if goal is Goal.SAFE:
        assert found.advised.ram_bytes >= found.peak_ram_bytes
    assert found.advised.walltime_s >= found.longest_s or found.asked.walltime_s >= found.longest_s
    if len(uses) < 10:
        assert found.advised.ram_bytes >= found.asked.ram_bytes
        assert found.advised.walltime_s >= found.asked.walltime_s
