"""What no pilot will ever hold, and the smallest change that mends it."""

from typing import Any

import pytest

from euclid_dask.core.events import PilotJoined, PilotLeft, PilotRequested
from euclid_dask.core.ids import PilotId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.values import replace
from euclid_dask.planner import Fleet
from euclid_dask.planner.fitting import declared_time, largest, misfit, time_expected

HOUR = 3600.0
LIGHT = PilotTemplate(
    name="light",
    offer=Resources(cores=2, ram_bytes=4 * GB, disk_bytes=9 * GB, walltime_s=2 * HOUR),
    slots=8,
    max_running=4,
)
HEAVY = PilotTemplate(
    name="heavy",
    offer=Resources(cores=16, ram_bytes=32 * GB, disk_bytes=9 * GB, walltime_s=4 * HOUR),
    slots=8,
    max_running=4,
)


def task(cores: float = 1, ram: float = 1, hours: float = 1, disk: float = 0) -> Resources:
    return Resources(
        cores=cores,
        ram_bytes=int(ram * GB),
        walltime_s=hours * HOUR,
        disk_bytes=int(disk * GB),
    )


@pytest.mark.parametrize(
    ("needs", "reason"),
    [
        (task(cores=2), ""),
        (task(cores=16, ram=32, hours=3.9), ""),
        (task(hours=0), ""),
        (
            task(cores=17, hours=0),
            (
                "needs 17 cores, 1 GB of RAM; no template holds it. "
                "Give 'heavy' cores 17 (now 16), or ask for at most cores 16"
            ),
        ),
        (
            task(cores=20),
            (
                "needs 20 cores, 1 GB of RAM, 1 h; no template holds it. "
                "Give 'heavy' cores 20 (now 16), or ask for at most cores 16"
            ),
        ),
        (
            task(ram=40.001),
            (
                "needs 1 cores, 40.001 GB of RAM, 1 h; no template holds it. "
                "Give 'heavy' RAM 40.01 GB (now 32 GB), or ask for at most RAM 32 GB"
            ),
        ),
        (
            task(disk=10),
            (
                "needs 1 cores, 1 GB of RAM, 10 GB of disk, 1 h; no template holds it. "
                "Give 'light' disk 10 GB (now 9 GB), or ask for at most disk 9 GB"
            ),
        ),
        (
            task(hours=4),
            (
                "needs 1 cores, 1 GB of RAM, 4 h; no template holds it. "
                "Give 'heavy' walltime 4.04 h (now 4 h), or ask for at most walltime 3.96 h"
            ),
        ),
        (
            task(cores=17, hours=1, ram=33),
            (
                "needs 17 cores, 33 GB of RAM, 1 h; no template holds it. "
                "Give 'heavy' cores 17 (now 16), RAM 33 GB (now 32 GB), "
                "or ask for at most cores 16, RAM 32 GB"
            ),
        ),
    ],
)
def test_a_task_that_no_template_holds_is_told_with_the_smallest_fix(
    needs: Resources, reason: str
) -> None:
    assert misfit(needs, Fleet(templates={"light": LIGHT, "heavy": HEAVY})) == reason


def test_a_template_that_is_off_is_the_smallest_fix_if_it_would_hold_the_task() -> None:
    off = PilotTemplate(name="heavy", offer=HEAVY.offer, slots=8, max_running=0)
    fleet = Fleet(templates={"light": LIGHT, "heavy": off})
    assert misfit(task(cores=8), fleet).endswith("Give 'heavy' max_running 1 (it is off)")
    assert misfit(task(), fleet) == ""


def late() -> Fleet:
    """Return pilots of which one came so late that it had an hour left, and was gone at once."""
    fleet = Fleet(templates={"light": LIGHT})
    fleet.apply(PilotRequested(pilot=PilotId("light-1"), template="light", at_s=0.0))
    joined: Any = {"offer": LIGHT.offer, "slots": 8, "at_s": 10.0}
    fleet.apply(PilotJoined(pilot=PilotId("light-1"), until_s=10.0 + HOUR, **joined))
    fleet.apply(PilotLeft(pilot=PilotId("light-1"), reason="it had nothing to do", at_s=70.0))
    return fleet


def test_a_pilot_that_comes_late_makes_no_task_impossible() -> None:
    fleet = late()
    assert misfit(task(hours=1.9), fleet) == ""
    second_try = largest(task(hours=9), at_least=task(hours=1), fleet=fleet)
    assert second_try.walltime_s == 2 * HOUR - LIGHT.boot_s - fleet.rules.margin_s


def test_a_second_try_fits_pilots_that_came_late() -> None:
    fleet = late()
    second_try = largest(task(hours=9), at_least=task(hours=0.5), fleet=fleet)
    assert declared_time(second_try, fleet.rules) == HOUR - fleet.rules.margin_s
    assert time_expected(LIGHT, fleet) == HOUR


def test_before_the_first_pilot_its_template_tells_what_it_will_have_left() -> None:
    fleet = Fleet(templates={"light": LIGHT})
    assert time_expected(LIGHT, fleet) == 2 * HOUR - LIGHT.boot_s
    fleet.apply(PilotRequested(pilot=PilotId("light-1"), template="light", at_s=0.0))
    fleet.apply(PilotLeft(pilot=PilotId("light-1"), reason="no scratch", at_s=70.0))
    assert time_expected(LIGHT, fleet) == 2 * HOUR - LIGHT.boot_s


def test_a_template_without_a_walltime_holds_any_task() -> None:
    endless = PilotTemplate(
        name="x", offer=Resources(cores=1, ram_bytes=GB, walltime_s=0), slots=1, max_running=1
    )
    assert misfit(task(hours=1000), Fleet(templates={"x": endless})) == ""


def test_a_pilot_that_is_there_holds_what_no_template_does() -> None:
    fleet = Fleet(templates={"light": LIGHT})
    fleet.apply(
        PilotJoined(pilot=PilotId("p"), offer=Resources(cores=64, ram_bytes=GB), slots=1, at_s=0.0)
    )
    assert misfit(task(cores=64), fleet) == ""


def test_what_a_pilot_takes_to_end_is_no_time_for_tasks() -> None:
    fleet = Fleet(templates={"heavy": replace(HEAVY, farewell_s=28.0)})
    assert misfit(task(hours=4), fleet) == (
        "needs 1 cores, 1 GB of RAM, 4 h; no template holds it. "
        "Give 'heavy' walltime 4.05 h (now 4 h), or ask for at most walltime 3.95 h"
    )
