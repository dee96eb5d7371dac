"""Pilots whose job is over, or not to be found: when are their tasks provably dead?"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_batch import FakeBatch

from euclid_dask.core.events import PilotDraining, PilotEvent, PilotLeft
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.core.values import replace
from euclid_dask.pilots.lease import Leases, give_back, lease_path
from euclid_dask.pilots.names import JobNames
from euclid_dask.pilots.reconciler import Pace, Reconciler

P = PilotId("light-000001")
NAMES = JobNames(prefix="t-")
FORGOTTEN = "the batch system knows no such job"


class Bench:
    """A pilot with a job that runs and a lease that it has taken up; time passes when told to."""

    def __init__(self, folder: Path, lasts_s: float = 60.0) -> None:
        self.batch = FakeBatch()
        self.leases = Leases(records=folder, lasts_s=lasts_s)
        self.lease = lease_path(folder, P)
        self.told: list[PilotEvent] = []
        self.time_s = 0.0
        self.batch.made[JobId("1")] = Job(id=JobId("1"), name=NAMES.name(P), state=JobState.RUNNING)
        self.leases.offer(P)
        self.touch()
        self.restart()

    def restart(self) -> None:
        """Have another runner take the pilot over."""
        self.reconciler = Reconciler(
            self.batch,
            names=NAMES,
            script=lambda *_: "",
            tell=self.told.append,
            time=lambda: self.time_s,
            pace=Pace(leases=self.leases),
        )
        self.reconciler.believe({P: JobId("1")})
        self.step()
        self.told.clear()

    def touch(self) -> None:
        os.utime(self.lease)

    def step(self, seconds: float = 0.0) -> float:
        self.time_s += seconds
        return self.reconciler.step()

    def until_left_s(self, most_s: float = 1000.0) -> float:
        """Return how long it takes until the pilot has left, `most_s` if it does not."""
        began_s = self.time_s
        while self.time_s < began_s + most_s:
            wait_s = self.step()
            if self.left():
                break
            self.time_s += min(wait_s, began_s + most_s - self.time_s)
        return self.time_s - began_s

    def left(self) -> list[str]:
        return [event.reason for event in self.told if isinstance(event, PilotLeft)]

    def drained(self) -> list[str]:
        return [event.reason for event in self.told if isinstance(event, PilotDraining)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def _abandoned(bench: Bench) -> None:
    bench.batch.become(JobState.ABANDONED, "NODE_FAIL (NodeDown)")


def _cancelled(bench: Bench) -> None:
    bench.batch.become(JobState.ENDED, "CANCELLED")


def _forgotten(bench: Bench) -> None:
    bench.batch.made.clear()


def _abandoned_and_forgotten(bench: Bench) -> None:
    _abandoned(bench)
    bench.step(20.0)
    bench.step(10.0)
    _forgotten(bench)


def _forgotten_without_a_runner(bench: Bench) -> None:
    _forgotten(bench)
    bench.time_s += 3600.0
    bench.restart()


@pytest.mark.parametrize(
    ("happens", "least_s", "most_s"),
    [
        (_abandoned, 90.0, 110.0),
        (_cancelled, 90.0, 110.0),
        (_forgotten, 120.0, 142.0),
        (_abandoned_and_forgotten, 80.0, 80.0),
        (_forgotten_without_a_runner, 120.0, 122.0),
    ],
)
def test_a_pilot_that_said_nothing_is_gone_some_time_after_its_lease(
    bench: Bench, happens: Callable[[Bench], None], least_s: float, most_s: float
) -> None:
    happens(bench)
    assert least_s <= bench.until_left_s() <= most_s
    assert len(bench.drained()) == 1
    assert not bench.lease.exists()


def test_the_lease_is_taken_away_as_soon_as_the_job_is_given_up(bench: Bench) -> None:
    _abandoned(bench)
    assert bench.lease.exists()
    bench.step(20.0)
    reason = "the batch system has given its job up (NODE_FAIL (NodeDown))"
    assert not bench.lease.exists()
    assert bench.drained() == [reason]
    bench.step(85.0)
    assert bench.left() == []
    bench.step(5.0)
    assert bench.left() == [reason]


def test_a_lease_that_an_earlier_runner_took_away_is_waited_for(bench: Bench) -> None:
    _abandoned(bench)
    bench.step(20.0)
    assert not bench.lease.exists()
    bench.restart()
    assert bench.until_left_s() >= 90.0


@pytest.mark.parametrize("happens", [_abandoned, _cancelled, _forgotten])
def test_a_pilot_that_gave_its_lease_back_is_gone(
    bench: Bench, happens: Callable[[Bench], None]
) -> None:
    give_back(bench.lease)
    happens(bench)
    assert bench.until_left_s() <= 20.0
    assert bench.drained() == []
    assert not bench.lease.exists()


def test_a_pilot_is_gone_when_its_host_has_told_so(bench: Bench) -> None:
    bench.batch.become(JobState.ENDED, "FAILED (RaisedSignal:9)")
    job = bench.batch.made[JobId("1")]
    bench.batch.made[JobId("1")] = replace(job, is_confirmed=True)
    bench.step(20.0)
    assert bench.left() == ["its job ended (FAILED (RaisedSignal:9))"]
    assert not bench.lease.exists()


def test_a_pilot_that_touches_its_lease_lives_whether_its_job_is_listed_or_not(
    bench: Bench,
) -> None:
    made = dict(bench.batch.made)
    _forgotten(bench)
    for number in range(100):
        os.utime(bench.lease, ns=(10**18 + number, 10**18 + number))
        bench.step(15.0)
    assert bench.told == []
    bench.batch.made.update(made)
    bench.step(20.0)
    assert bench.lease.exists()
    assert bench.left() == []


def test_a_pilot_that_is_not_wanted_loses_its_lease_though_it_touches_it(bench: Bench) -> None:
    _forgotten(bench)
    bench.reconciler.cancel(P, "it does not reach the runner")
    for number in range(2):
        os.utime(bench.lease, ns=(10**18 + number, 10**18 + number))
        bench.step(15.0)
    assert not bench.lease.exists()
    assert 0.0 < bench.until_left_s() <= 90.0
    assert bench.left() == ["it does not reach the runner"]


def test_a_pilot_that_was_given_up_leaves_though_the_batch_system_lists_it_again(
    bench: Bench,
) -> None:
    _abandoned(bench)
    bench.step(20.0)
    bench.batch.become(JobState.RUNNING)
    assert bench.until_left_s() == 90.0
    bench.step(20.0)
    assert bench.batch.living() == []


def test_the_time_of_death_needs_no_batch_system(bench: Bench) -> None:
    _abandoned(bench)
    bench.step(20.0)
    bench.batch.faults["jobs"] = ["unreachable"] * 50
    assert bench.until_left_s() == 90.0


def test_a_lease_that_cannot_be_taken_away_is_not_counted_as_such(bench: Bench) -> None:
    _abandoned(bench)
    bench.lease.unlink()
    bench.lease.mkdir()  # cannot be removed as a file
    assert bench.until_left_s(400.0) == 400.0
    bench.lease.rmdir()
    assert bench.until_left_s() >= 90.0


def test_nothing_is_concluded_from_a_workspace_that_is_not_there(
    bench: Bench, tmp_path: Path
) -> None:
    give_back(bench.lease)
    _abandoned(bench)
    bench.lease.parent.rename(tmp_path / "gone")
    assert bench.until_left_s(400.0) == 400.0
    assert bench.told == []
    (tmp_path / "gone").rename(bench.lease.parent)
    assert bench.until_left_s() <= 20.0


@pytest.mark.parametrize("happens", [_abandoned, _cancelled, _forgotten_without_a_runner])
def test_without_an_end_of_leases_no_pilot_is_dead_until_somebody_says_so(
    tmp_path: Path, happens: Callable[[Bench], None]
) -> None:
    bench = Bench(tmp_path, lasts_s=0.0)
    happens(bench)
    assert bench.until_left_s(10_000.0) == 10_000.0
    assert len(bench.drained()) == 1
    assert bench.lease.exists()
    bench.lease.unlink()
    assert bench.until_left_s() <= 20.0


def test_a_pilot_keeps_the_terms_of_its_lease_when_the_site_changes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lasts_s=0.0)
    bench.leases = Leases(records=tmp_path, lasts_s=60.0)
    bench.restart()
    _abandoned(bench)
    assert bench.until_left_s(10_000.0) == 10_000.0
