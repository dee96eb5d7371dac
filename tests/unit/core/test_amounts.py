"""Sizes and durations as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.core.amounts import duration_text, parse_duration, parse_size, size_text


@given(st.integers(0, 10**18))
def test_a_size_is_written_so_that_it_is_read_as_the_same(number: int) -> None:
    assert parse_size(size_text(number)) == number


@given(st.integers(0, 10**11))
def test_a_duration_is_written_so_that_it_is_read_as_the_same(milliseconds: int) -> None:
    assert parse_duration(duration_text(milliseconds / 1000)) == milliseconds / 1000


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_size, parse_duration):
        try:
            value, told = parse(text), text
        except ValueError as error:
            value, told = 0, str(error)
        assert value >= 0
        assert text in told


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1.2.3GB", "1 XB", "1e9", "9" * 5000, "٣GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "5", "02:00", "1:60:00", "3 days", "-5s", "1h 5", "9" * 5000])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)
