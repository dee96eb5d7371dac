"""What fits on a pilot, and how pilots with room are found."""

import pytest

from euclid_dask.core.resources import GB, Resources
from euclid_dask.planner.rooms import Size

SIZE = Size(8, 16 * GB, 100 * GB, 32)


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
    assert SIZE.places(needs) == places
