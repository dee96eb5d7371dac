"""The supply's thread: what is asked for is done there, and told by the inbox."""

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from fake_batch import FakeBatch

from euclid_dask.core.errors import BatchError
from euclid_dask.core.events import PilotEvent, PilotLeft, PilotQueued, PilotSubmitted
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.pilots.lease import Leases
from euclid_dask.pilots.names import JobNames
from euclid_dask.pilots.reconciler import Pace
from euclid_dask.pilots.supply import BatchSupply

PREFIX = "euclid-dask-t-"
P, Q = PilotId("light-000001"), PilotId("light-000002")


class Bench:
    """A supply on a batch system in memory, and its inbox."""

    def __init__(self, records: Path) -> None:
        self.batch = FakeBatch()
        self.leases = Leases(records=records, lasts_s=60.0)
        self.inbox: SimpleQueue[PilotEvent] = SimpleQueue()
        self.supply = BatchSupply(
            self.batch,
            names=JobNames(prefix=PREFIX),
            script=lambda pilot, *_: f"be {pilot}",
            pace=Pace(leases=self.leases, poll_s=0.02, watch_s=0.02, submit_s=0.0, settle_s=0.1),
        )

    def put(self, news: PilotEvent) -> None:
        self.inbox.put(news)

    def until(self, wanted: Callable[[PilotEvent], bool]) -> PilotEvent:
        while not wanted(news := self.inbox.get(timeout=60)):
            pass
        return news


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.supply.close(end_pilots=False)


def test_a_requested_pilot_is_submitted_and_followed(bench: Bench) -> None:
    bench.supply.open(bench, {})
    bench.supply.request(P, "light")
    bench.until(lambda news: isinstance(news, PilotSubmitted) and news.pilot == P)
    bench.until(lambda news: isinstance(news, PilotQueued) and news.reason == "Priority")
    bench.batch.become(JobState.ENDED, "FAILED")
    bench.until(lambda news: isinstance(news, PilotLeft) and news.pilot == P)


def test_a_pilot_that_has_not_joined_is_cancelled_one_that_has_is_left_alone(bench: Bench) -> None:
    bench.supply.open(bench, {})
    for pilot in (P, Q):
        bench.supply.request(pilot, "light")
        bench.until(lambda news: isinstance(news, PilotSubmitted))
    bench.supply.retire(P, "idle", joined=True)
    bench.supply.retire(Q, "unneeded", joined=False)
    left = bench.until(lambda news: isinstance(news, PilotLeft))
    assert isinstance(left, PilotLeft)
    assert (left.pilot, left.reason) == (Q, "unneeded")
    assert bench.batch.living() == [PREFIX + P]


def test_pilots_are_taken_over_when_it_opens(bench: Bench) -> None:
    bench.batch.made[JobId("1")] = Job(id=JobId("1"), name=PREFIX + P, state=JobState.QUEUED)
    bench.leases.offer(Q)
    bench.supply.open(bench, {P: JobId("1"), Q: JobId("2")})
    assert isinstance(bench.inbox.get(timeout=60), PilotQueued)
    left = bench.inbox.get(timeout=60)
    assert isinstance(left, PilotLeft)
    assert left.pilot == Q


@pytest.mark.parametrize("end_pilots", [True, False])
def test_at_the_end_pilots_are_cancelled_if_asked_for(bench: Bench, end_pilots: bool) -> None:
    bench.supply.open(bench, {})
    bench.supply.request(P, "light")
    bench.until(lambda news: isinstance(news, PilotSubmitted))
    bench.supply.close(end_pilots=end_pilots)
    assert bench.batch.living() == ([] if end_pilots else [PREFIX + P])
    bench.supply.close(end_pilots=end_pilots)


def test_a_batch_system_that_refuses_to_be_asked_refuses_the_run(bench: Bench) -> None:
    bench.batch.faults["jobs"] = ["refused"]
    with pytest.raises(BatchError):
        bench.supply.open(bench, {})


def test_one_that_cannot_be_asked_now_is_asked_again(bench: Bench) -> None:
    bench.batch.faults["jobs"] = ["unreachable", "refused", "unreachable"]
    bench.supply.open(bench, {})
    bench.supply.request(P, "light")
    bench.until(lambda news: isinstance(news, PilotQueued) and news.reason == "Priority")
