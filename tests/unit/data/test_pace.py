import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import StorageError
from euclid_dask.data.storages.patience import Pace, Patience, patience
from euclid_dask.data.storages.reading import SizedReader


def test_patience_is_asked_for_by_options():
    assert patience({"timeout_s": "5", "min_rate": "1e3"}) == Patience(timeout_s=5, min_rate=1000)


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf"])
def test_patience_is_a_positive_number(text):
    with pytest.raises(InputError, match="timeout_s"):
        patience({"timeout_s": text})


def test_bytes_that_come_in_time_are_passed_on():
    pace = Pace(Patience(timeout_s=1e-9, min_rate=1), "x")
    assert pace.waiting(lambda: b"abc", len) == b"abc"


def test_bytes_that_come_too_slowly_are_given_up():
    pace = Pace(Patience(timeout_s=1e-9, min_rate=1e12), "x")
    with pytest.raises(StorageError) as error:
        pace.waiting(lambda: b"abc", len)
    assert error.value.kind is ErrorClass.TIMEOUT


@pytest.mark.parametrize(("size", "kind"), [(4, ErrorClass.NETWORK), (2, ErrorClass.CONTENT)])
def test_another_number_of_bytes_than_told_is_an_error(size, kind):
    blocks = iter([b"ab", b"c", b""])
    reader = SizedReader(lambda _: next(blocks), size, 0, "x")
    with pytest.raises(StorageError) as error:
        list(iter(lambda: reader.read(9), b""))
    assert error.value.kind is kind


def test_bytes_of_an_unknown_number_are_passed_on():
    blocks = iter([b"ab", b""])
    reader = SizedReader(lambda _: next(blocks), None, 0, "x")
    assert list(iter(lambda: reader.read(9), b"")) == [b"ab"]
