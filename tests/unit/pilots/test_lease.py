"""The lease of a pilot: kept while its file can be touched, taken away with it."""

import errno
import os
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any

import pytest

from euclid_dask.core.ids import PilotId
from euclid_dask.pilots.lease import Lease, Leases, lease_path

P = PilotId("light-000001")
LASTS_S = 0.2


def until(condition: Callable[[], bool]) -> None:
    until_s = monotonic() + 60.0
    while not condition():
        assert monotonic() < until_s, "not in time"
        sleep(0.01)


class Tasks:
    """What is told to the tasks of a pilot, and that its loop is woken."""

    def __init__(self) -> None:
        self.holds: list[bool] = []
        self.woken = Event()

    def take_up(self, path: Path, lasts_s: float = LASTS_S) -> Lease:
        return Lease(path, lasts_s, hold=self.holds.append, wake=self.woken.set)


@pytest.fixture
def tasks() -> Tasks:
    return Tasks()


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    leases = Leases(records=tmp_path, lasts_s=LASTS_S)
    leases.offer(P)
    return leases


@pytest.fixture
def lease(leases: Leases, tasks: Tasks) -> Iterator[Lease]:
    lease = tasks.take_up(lease_path(leases.records, P))
    yield lease
    lease.release()


def test_a_lease_that_was_taken_away_never_comes_back(
    leases: Leases, lease: Lease, tasks: Tasks
) -> None:
    before = leases.look(P)
    until(lambda: leases.look(P) != before)
    assert not lease.is_taken_away
    leases.take_away(P)
    until(lambda: lease.is_taken_away)
    assert tasks.woken.wait(60.0)
    assert not lease.is_held
    lease.release()
    assert list((leases.records / "leases").iterdir()) == []
    leases.take_away(P)


def test_tasks_are_stopped_when_the_lease_is_over_and_go_on_with_it(
    tmp_path: Path, lease: Lease, tasks: Tasks
) -> None:
    until(lambda: lease.is_held)
    folder = (tmp_path / "leases").rename(tmp_path / "gone")
    until(lambda: True in tasks.holds)
    assert not lease.is_held
    tasks.woken.clear()
    folder.rename(tmp_path / "leases")
    assert tasks.woken.wait(60.0)
    until(lambda: lease.is_held and tasks.holds[-1] is False)
    assert not lease.is_taken_away


def test_a_lease_whose_folder_comes_back_just_after_it_was_missed_is_not_taken_away(
    tmp_path: Path, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_back, opened, path = Event(), os.open, lease_path(tmp_path, P)

    def away_for_a_moment(which: Any, flags: int, *words: Any, **options: Any) -> int:
        if which != path or is_back.is_set():
            return opened(which, flags, *words, **options)
        gone = path.parent.rename(tmp_path / "gone")
        try:
            return opened(which, flags, *words, **options)
        finally:
            gone.rename(path.parent)
            is_back.set()

    monkeypatch.setattr(os, "open", away_for_a_moment)
    assert is_back.wait(60.0)
    before = path.stat().st_mtime_ns
    until(lambda: lease.is_taken_away or path.stat().st_mtime_ns != before)
    assert not lease.is_taken_away


@pytest.mark.parametrize("lasts_s", [0.0, 60.0])
def test_a_lease_that_is_there_again_when_it_was_missed_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasts_s: float
) -> None:
    leases = Leases(records=tmp_path, lasts_s=lasts_s)
    leases.offer(P)

    def missed(*_: Any, **__: Any) -> None:
        raise FileNotFoundError(errno.ENOENT, "missed")

    monkeypatch.setattr(Path, "open", missed)
    with pytest.raises(FileNotFoundError):
        leases.look(P)
    monkeypatch.undo()
    assert leases.look(P).is_offered


def test_tasks_are_stopped_though_a_touch_of_the_lease_hangs(
    lease: Lease, leases: Leases, tasks: Tasks
) -> None:
    path = lease_path(leases.records, P)
    os.mkfifo(path.with_name("fifo"))
    path.with_name("fifo").rename(path)  # to open it waits for a reader
    until(lambda: True in tasks.holds)
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


def test_tasks_are_stopped_when_a_lease_that_was_taken_away_is_over(
    lease: Lease, leases: Leases, tasks: Tasks
) -> None:
    leases.take_away(P)
    until(lambda: True in tasks.holds)


def test_a_pilot_without_a_lease_does_not_begin(leases: Leases, tasks: Tasks) -> None:
    leases.take_away(P)
    with pytest.raises(FileNotFoundError):
        tasks.take_up(lease_path(leases.records, P))
    assert list((leases.records / "leases").iterdir()) == []


@pytest.mark.parametrize("lasts_s", [0.0, 60.0])
def test_a_runner_sees_where_a_lease_stands(tmp_path: Path, tasks: Tasks, lasts_s: float) -> None:
    leases = Leases(records=tmp_path, lasts_s=lasts_s)
    leases.offer(P)
    assert leases.look(P).is_offered
    lease = tasks.take_up(lease_path(tmp_path, P), lasts_s)
    assert lease.is_held
    seen = leases.look(P)
    assert (seen.is_free, seen.lasts_s) == (False, lasts_s)
    assert seen == leases.look(P)
    lease.release()
    lease.release()
    assert leases.look(P).is_returned


def test_a_touch_is_seen(leases: Leases, lease: Lease) -> None:
    before = leases.look(P)
    until(lambda: leases.look(P) != before)


@pytest.mark.parametrize(("lasts_s", "dead_after_s"), [(60.0, 90.0), (8.0, 18.0), (0.0, inf)])
def test_a_pilot_is_dead_some_time_after_its_lease_is_over(
    tmp_path: Path, lasts_s: float, dead_after_s: float
) -> None:
    leases = Leases(records=tmp_path, lasts_s=lasts_s)
    leases.offer(P)
    assert leases.look(P).dead_after_s == dead_after_s


def test_that_a_lease_is_gone_proves_nothing(leases: Leases) -> None:
    leases.take_away(P)
    assert not leases.look(P).is_free
    (leases.records / "leases").rmdir()
    with pytest.raises(FileNotFoundError):
        leases.look(P)
