"""When a failed transfer is tried again: by the kind of its failure, and how often it failed."""

import pytest

from euclid_dask.data.model import ErrorClass, Transfer, TransferState
from euclid_dask.data.retries import ENDLESS, MOST_ATTEMPTS, PASSING, is_missed, retry_in_s


def failed(times: int, number: int = 1) -> Transfer:
    state = TransferState.RUNNING
    return Transfer(id=number, file="a", destination="b", state=state, attempts=times)


@pytest.mark.parametrize("kind", list(ErrorClass))
def test_every_kind_of_failure_is_decided(kind: ErrorClass) -> None:
    first, last = retry_in_s(failed(0), kind), retry_in_s(failed(MOST_ATTEMPTS - 1), kind)
    assert (first is not None) == (kind in PASSING)
    assert (last is not None) == (kind in ENDLESS)


def test_delays_double_up_to_a_limit() -> None:
    delays = [retry_in_s(failed(times), ErrorClass.AWAY) or 0.0 for times in range(30)]
    for times, delay_s in enumerate(delays):
        middle_s = min(300.0, 2.0**times)
        assert 0.75 * middle_s <= delay_s <= 1.25 * middle_s


def test_what_failed_together_does_not_come_back_together() -> None:
    delays = {retry_in_s(failed(3, number), ErrorClass.NETWORK) for number in range(100)}
    assert len(delays) == 100
    assert retry_in_s(failed(3, 7), ErrorClass.NETWORK) in delays


def test_no_try_comes_before_the_server_said() -> None:
    assert retry_in_s(failed(0), ErrorClass.BUSY, 120.0) == 120.0
    assert (retry_in_s(failed(7), ErrorClass.BUSY, 1.0) or 0.0) > 90.0


def test_a_file_is_missed_after_a_minute() -> None:
    assert not is_missed(failed(5))
    assert is_missed(failed(6))
