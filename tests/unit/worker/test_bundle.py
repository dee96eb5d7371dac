"""News of a bundle: held back for a moment, told in order."""

import pytest

from euclid_dask.core.attempts import Receipt
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.core.seams import AttemptEnded, News
from euclid_dask.worker import bundle
from euclid_dask.worker.attempt import LONG_S


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(bundle, "monotonic", lambda: now[0])
    return now


def _ended(name: str) -> AttemptEnded:
    return AttemptEnded(run=RunId("r"), receipt=Receipt(task=TaskId(name), attempt=1))


def test_what_is_held_back_is_told_with_what_comes_a_moment_later(clock: list[float]) -> None:
    told: list[News] = []
    telling = bundle._Telling(told.append)
    telling.hold(_ended("a"))
    clock[0] += 0.5 * LONG_S
    telling.hold(_ended("b"))
    assert told == []
    clock[0] += 0.6 * LONG_S
    telling.hold(_ended("c"))
    assert told == [_ended("a"), _ended("b"), _ended("c")]


def test_what_cannot_wait_takes_what_is_held_back_along(clock: list[float]) -> None:
    told: list[News] = []
    telling = bundle._Telling(told.append)
    telling.hold(_ended("a"))
    telling.tell(_ended("b"))
    telling.tell()
    assert told == [_ended("a"), _ended("b")]
