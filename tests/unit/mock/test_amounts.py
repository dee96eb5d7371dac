import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.mock.amounts import check_count, check_share, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("12", 12), ("1kB", 1000), ("1.5 MB", 1500000), ("2GiB", 2 << 30), ("3k", 3000)],
)
def test_a_size_has_units_of_1000_or_1024(text: str, size: int) -> None:
    assert parse_size(text, "ram") == size


def test_a_percentage_is_a_part_of_what_is_declared() -> None:
    assert parse_size("80%", "ram", 1000) == 800


@pytest.mark.parametrize("text", ["", "-1", "many", "5 XB", "50%", "1 kB 2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_size(text, "split.io")
    assert str(caught.value) == (
        f"split.io: '{text}' is no size\n  hint: sizes are written: 1000, 5 MB, 1.5GiB"
    )


def test_a_percentage_of_nonsense_is_refused() -> None:
    with pytest.raises(InputError, match="ram: 'x%' is no percentage\n  hint: such as 80%"):
        parse_size("x%", "ram", 5)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", (5, 5)), ("0.5-2s", (0.5, 2)), ("100ms", (0.1, 0.1)), ("1min", (60, 60))],
)
def test_a_duration_is_one_time_or_two(text: str, seconds: tuple[float, float]) -> None:
    assert parse_duration(text, "d") == seconds


@pytest.mark.parametrize("text", ["", "2-1", "1-2-3", "soon"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_duration(text, "split.duration")
    assert str(caught.value) == (
        f"split.duration: '{text}' is no duration\n"
        "  hint: durations are written: 5, 0.1-2 (the shorter first), 100ms, 2min, 1h"
    )


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(InputError, match=r"cpu: 50 is not from 0 to 1\n  hint: 1 % is written 0.0"):
        check_share(50, "cpu")


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(InputError, match="items: -1 is negative"):
        check_count(-1, "items")
