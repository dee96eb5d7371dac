"""Pilots whose job the batch system has abandoned: their lease is taken away, and time passes."""

from pathlib import Path

import pytest
from fake_batch import FakeBatch

from euclid_dask.core.events import PilotEvent, PilotLeft
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.pilots.lease import Leases, lease_path
from euclid_dask.pilots.names import JobNames
from euclid_dask.pilots.reconciler import Pace, Reconciler

P = PilotId("light-000001")


class Bench:
    """A pilot with a job, and time that passes when told to."""

    def __init__(self, leases: Leases | None) -> None:
        self.batch = FakeBatch()
        self.told: list[PilotEvent] = []
        self.time_s = 0.0
        names = JobNames(prefix="t-")
        self.reconciler = Reconciler(
            self.batch,
            names=names,
            script=lambda *_: "",
            tell=self.told.append,
            time=lambda: self.time_s,
            pace=Pace(leases=leases),
        )
        self.reconciler.believe({P: JobId("1")})
        self.batch.made[JobId("1")] = Job(id=JobId("1"), name=names.name(P), state=JobState.RUNNING)
        self.step()
        self.told.clear()

    def step(self, seconds: float = 0.0) -> float:
        self.time_s += seconds
        return self.reconciler.step()

    def left(self) -> list[str]:
        return [event.reason for event in self.told if isinstance(event, PilotLeft)]


@pytest.fixture
def lease(tmp_path: Path) -> Path:
    path = lease_path(tmp_path, P)
    path.parent.mkdir()
    path.touch()
    return path


def test_a_pilot_is_gone_when_its_lease_is_and_the_time_that_it_lasted(
    tmp_path: Path, lease: Path
) -> None:
    bench = Bench(Leases(records=tmp_path, lasts_s=60.0))
    bench.batch.become(JobState.ABANDONED, "NODE_FAIL (NodeDown)")
    assert lease.exists()
    bench.step(20.0)
    reason = "the batch system has given its job up (NODE_FAIL (NodeDown))"
    assert not lease.exists()
    assert [(type(one).__name__, one.reason) for one in bench.told] == [("PilotDraining", reason)]
    bench.step(85.0)
    assert bench.left() == []
    bench.step(5.0)
    assert bench.left() == [reason]


def test_a_pilot_without_a_lease_stays_until_its_job_is_forgotten() -> None:
    bench = Bench(None)
    bench.batch.become(JobState.ABANDONED)
    bench.step(20.0)
    bench.step(280.0)
    assert bench.left() == []
    bench.batch.made.clear()
    bench.step(20.0)
    assert bench.left() == ["the batch system knows no such job"]


def test_a_lease_that_cannot_be_taken_away_is_not_counted_as_such(
    tmp_path: Path, lease: Path
) -> None:
    bench = Bench(Leases(records=tmp_path, lasts_s=60.0))
    bench.batch.become(JobState.ABANDONED)
    lease.unlink()
    lease.mkdir()  # cannot be removed as a file
    bench.step(20.0)
    bench.step(200.0)
    assert bench.left() == []
    lease.rmdir()
    bench.step(20.0)
    bench.step(90.0)
    assert len(bench.left()) == 1


def test_what_a_killed_pilot_leaves_of_its_lease_is_removed(tmp_path: Path, lease: Path) -> None:
    bench = Bench(Leases(records=tmp_path, lasts_s=60.0))
    bench.batch.become(JobState.ENDED, "CANCELLED")
    bench.step(20.0)
    assert bench.left() == ["its job ended (CANCELLED)"]
    assert not lease.exists()
