"""When a job ends, as it can know."""

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.pilots.deadline import deadline


@pytest.mark.parametrize(
    ("word", "walltime_s", "environment", "expected"),
    [
        ("500", 60.0, {"SLURM_JOB_END_TIME": "900"}, 500.0),
        ("auto", 60.0, {"SLURM_JOB_END_TIME": "900"}, 900.0),
        ("auto", 60.0, {"PBS_WALLTIME": "30"}, 130.0),
        ("auto", 60.0, {}, 160.0),
        ("auto", 0.0, {}, None),
    ],
)
def test_the_end_is_the_one_said_or_slurms_or_after_the_walltime(
    word: str, walltime_s: float, environment: dict[str, str], expected: float | None
) -> None:
    assert deadline(word, walltime_s, 100.0, environment) == expected


@pytest.mark.parametrize(
    ("word", "environment"), [("soon", {}), ("auto", {"SLURM_JOB_END_TIME": "soon"})]
)
def test_what_is_no_time_is_refused(word: str, environment: dict[str, str]) -> None:
    with pytest.raises(InputError, match="is not a time: 'soon'"):
        deadline(word, 0.0, 100.0, environment)
