"""What the runner writes down of its own time."""

from pathlib import Path

from euclid_dask.core.attempts import Failure, FailureKind
from euclid_dask.core.events import TaskErred, TasksOrdered, TaskSucceeded
from euclid_dask.core.resources import GB, Resources
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.loop import Runner
from euclid_dask.sim import Outcome, World, begin
from euclid_dask.sim.agenda import Agenda
from euclid_dask.sim.executor import SimulatedExecutor, VirtualInbox
from euclid_dask.sim.flows import body, flow, out, task

FAILURE = Failure(kind=FailureKind.EXIT, message="as written")


class Slow:
    """A clock by which every look at it takes a millisecond."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._looks = 0

    def now_s(self) -> float:
        self._looks += 1
        return self._agenda.now_s() + self._looks / 1000


def test_the_runner_writes_how_long_it_took_to_order_and_when_it_knew_of_an_end(
    tmp_path: Path,
) -> None:
    world = World(lambda _run, order: Outcome(failure=FAILURE if order.task == "b" else None))
    world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    active = begin(world, flow(body(task("a"), task("b"), r=out("a"))), tmp_path)
    runner = Runner(SimulatedExecutor(world), Slow(world.agenda), inbox=VirtualInbox(world))
    runner.add(active)
    runner.run_until_ended()
    active.close()
    events = list(read_journal(active.journal.path))
    ordered = [event.match_s for event in events if isinstance(event, TasksOrdered)]
    assert len(ordered) == 2
    assert 0 < ordered[0] < ordered[1] < 0.1
    ended = [event for event in events if isinstance(event, TaskSucceeded | TaskErred)]
    assert len(ended) == 2
    assert all(0 < event.noted_s - event.at_s < 0.1 for event in ended)
