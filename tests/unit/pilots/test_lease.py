"""The lease of a pilot: kept while its file can be touched, taken away with it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import pytest

from euclid_dask.core.ids import PilotId
from euclid_dask.pilots.lease import Lease, Leases, lease_path

P = PilotId("light-000001")
LASTS_S = 0.2


def until(condition: Callable[[], bool]) -> None:
    until_s = monotonic() + 30.0
    while not condition():
        assert monotonic() < until_s, "not in time"
        sleep(0.01)


@pytest.fixture
def woken() -> Event:
    return Event()


@pytest.fixture
def lease(tmp_path: Path, woken: Event) -> Iterator[Lease]:
    lease = Lease(lease_path(tmp_path, P), LASTS_S, woken.set)
    yield lease
    lease.release()


def test_a_lease_that_was_taken_away_never_comes_back(
    tmp_path: Path, lease: Lease, woken: Event
) -> None:
    assert not lease.is_taken_away
    leases = Leases(records=tmp_path, lasts_s=LASTS_S)
    leases.take_away(P)
    assert woken.wait(30.0)
    assert lease.is_taken_away
    assert list((tmp_path / "leases").iterdir()) == []
    leases.take_away(P)
    assert leases.dead_after_s > LASTS_S


def test_a_lease_ends_while_the_workspace_is_gone_and_goes_on_with_it(
    tmp_path: Path, lease: Lease, woken: Event
) -> None:
    folder = (tmp_path / "leases").rename(tmp_path / "gone")
    until(lambda: lease.left_s < 0)
    woken.clear()
    folder.rename(tmp_path / "leases")
    assert woken.wait(30.0)
    until(lambda: lease.left_s > 0)
    assert not lease.is_taken_away


def test_a_lease_is_given_back(tmp_path: Path, lease: Lease) -> None:
    assert lease_path(tmp_path, P).exists()
    lease.release()
    lease.release()
    assert not lease_path(tmp_path, P).exists()


def test_without_a_time_a_lease_has_no_end_and_no_file(tmp_path: Path) -> None:
    lease = Lease(lease_path(tmp_path, P), 0.0, lambda: None)
    assert lease.left_s == float("inf")
    lease.release()
    assert list(tmp_path.iterdir()) == []
