"""What the news of executors means for a run."""

from pathlib import Path

import pytest

from euclid_dask.core.attempts import Failure, FailureKind, Receipt
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.seams import AttemptEnded, AttemptsLost, AttemptsReturned, AttemptStarted
from euclid_dask.runner.news import AttemptNews, events_of
from euclid_dask.sim import Outcome, World, begin, make_runner
from euclid_dask.sim.files import AllFiles
from euclid_dask.sim.flows import body, flow, out, task

RUN, A = RunId("r"), TaskId("a")
FAILURE = Failure(kind=FailureKind.EXIT, message="late")


@pytest.mark.parametrize(
    "news",
    [
        AttemptStarted(run=RUN, task=A, attempt=1, host="h", at_s=1.0),
        AttemptEnded(run=RUN, receipt=Receipt(task=A, attempt=1)),
        AttemptEnded(run=RUN, receipt=Receipt(task=A, attempt=1, failure=FAILURE)),
        AttemptsReturned(run=RUN, attempts=((A, 1),)),
        AttemptsLost(run=RUN, attempts=((A, 1),), reason="late"),
    ],
)
def test_news_of_an_older_attempt_is_not_written_down(tmp_path: Path, news: AttemptNews) -> None:
    def lost_once(_run: RunId, order: object) -> Outcome:
        lost = Failure(kind=FailureKind.LOST, message="it is lost")
        return Outcome(failure=lost if getattr(order, "attempt", 0) == 1 else None)

    world = World(lost_once, files=AllFiles())
    world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    active = begin(world, flow(body(task("a"), r=out("a"))), tmp_path)
    runner = make_runner(world, [active])
    runner.executor.open(runner.inbox)
    while active.run.tasks["a"].attempt < 2:
        runner.turn(runner.inbox.take(0))
    assert list(events_of(active, news, 1.0)) == []
    active.close()
