"""What fits on a pilot."""

import pytest

from euclid_dask.core.ids import PilotId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.planner.fleet import Pilot

PILOT = Pilot(
    id=PilotId("p"), offer=Resources(cores=8, ram_bytes=16 * GB, disk_bytes=100 * GB), slots=32
)


@pytest.mark.parametrize(
    ("needs", "places"),
    [
        (Resources(cores=2, ram_bytes=GB), 4),
        (Resources(cores=1, ram_bytes=4 * GB), 4),
        (Resources(cores=1, ram_bytes=GB, disk_bytes=40 * GB), 2),
        (Resources(cores=0, ram_bytes=0), 32),
        (Resources(cores=9, ram_bytes=GB), 0),
        (Resources(cores=1, ram_bytes=17 * GB), 0),
    ],
)
def test_the_scarcest_resource_says_how_many_tasks_a_pilot_holds(
    needs: Resources, places: int
) -> None:
    assert PILOT.places(needs) == places
