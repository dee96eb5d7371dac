"""The simulated world: what happens when, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from euclid_dask.core.attempts import FailureKind, Order, OutputArgument, Place
from euclid_dask.core.events import PilotJoined, PilotLeft
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.seams import (
    AttemptEnded,
    AttemptsLost,
    AttemptsReturned,
    AttemptStarted,
    BundleOrder,
)
from euclid_dask.sim import Outcome, SimulatedExecutor, Workload, World, WorldError, measure
from euclid_dask.sim.agenda import Agenda
from euclid_dask.sim.workload import entries_of

RUN = RunId("r")


class Box(list[Any]):
    def put(self, news: Any) -> None:
        self.append(news)

    def names(self) -> list[str]:
        return [type(news).__name__ for news in self]


def order(task: str, attempt: int = 1, cores: float = 1) -> Order:
    return Order(
        task=TaskId(task),
        attempt=attempt,
        executable=task,
        command=(task,),
        inputs=(),
        outputs=(OutputArgument(port="items", path=f"{task}/items.json", mime_type="json"),),
        needs=Resources(cores=cores, ram_bytes=GB),
    )


def bundle(tmp_path: Path, *orders: Order, pilot: str = "p") -> BundleOrder:
    place = Place(run=RUN, workdir=str(tmp_path), logdir="logs", records=str(tmp_path / "r"))
    return BundleOrder(pilot=PilotId(pilot), place=place, orders=orders)


@pytest.fixture
def box() -> Box:
    return Box()


def make(box: Box, workload: Any = None, **options: Any) -> tuple[World, SimulatedExecutor]:
    world = World(workload or Workload(), **options)
    world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB), slots=2)
    executor = SimulatedExecutor(world)
    executor.open(box)
    return world, executor


def run_out(world: World) -> None:
    while world.agenda.advance():
        pass


def test_actions_happen_in_the_order_of_their_times() -> None:
    agenda, seen = Agenda(begin_s=10.0), []
    agenda.at(12.0, lambda: seen.append(("late", agenda.now_s())))
    agenda.at(5.0, lambda: seen.append(("past", agenda.now_s())))
    agenda.at(12.0, lambda: seen.append(("later", agenda.now_s())))
    assert agenda.advance()
    assert agenda.advance()
    assert not agenda.advance()
    assert seen == [("past", 10.0), ("late", 12.0), ("later", 12.0)]


def test_a_bundle_runs_one_attempt_after_the_other(tmp_path: Path, box: Box) -> None:
    world, executor = make(box, hop_s=0.5)
    executor.start([bundle(tmp_path, order("a"), order("b"))])
    run_out(world)
    assert box.names() == [
        "PilotJoined", "AttemptStarted", "AttemptEnded", "AttemptStarted", "AttemptEnded",
    ]  # fmt: skip
    begin_s = box[0].at_s
    assert [one.at_s - begin_s for one in world.log] == [0.5, 1.5]
    assert measure(world).makespan_s == 2.0


def test_an_overbooked_pilot_is_refused(tmp_path: Path, box: Box) -> None:
    _, executor = make(box)
    with pytest.raises(WorldError, match="overbooked"):
        executor.start([bundle(tmp_path, order("a")), bundle(tmp_path, order("b", cores=2))])


def test_an_attempt_is_not_started_twice(tmp_path: Path, box: Box) -> None:
    world, executor = make(box)
    executor.start([bundle(tmp_path, order("a"))])
    run_out(world)
    executor.start([bundle(tmp_path, order("a"))])
    with pytest.raises(WorldError, match="started twice"):
        run_out(world)


def test_two_attempts_of_a_task_are_never_alive_at_once(tmp_path: Path, box: Box) -> None:
    world, executor = make(box)
    executor.start([bundle(tmp_path, order("a")), bundle(tmp_path, order("a", attempt=2))])
    with pytest.raises(WorldError, match="while another attempt was alive"):
        run_out(world)


def test_a_bundle_for_a_pilot_that_is_gone_is_lost(tmp_path: Path, box: Box) -> None:
    _, executor = make(box)
    executor.start([bundle(tmp_path, order("a"), pilot="q")])
    assert box[-1] == AttemptsLost(
        run=RUN, attempts=((TaskId("a"), 1),), reason="there is no pilot 'q'"
    )


def test_a_cancelled_attempt_ends_with_its_news_and_those_behind_it_too(
    tmp_path: Path, box: Box
) -> None:
    world, executor = make(box)
    executor.start([bundle(tmp_path, order("a"), order("b"), order("c"))])
    world.agenda.advance()
    executor.cancel(RUN, [(TaskId("a"), 1), (TaskId("b"), 1)])
    ended = [news.receipt for news in box if isinstance(news, AttemptEnded)]
    assert [(one.task, one.failure.kind) for one in ended] == [
        ("a", FailureKind.CANCELLED),
        ("b", FailureKind.CANCELLED),
    ]
    assert box[-1] == AttemptsReturned(run=RUN, attempts=((TaskId("c"), 1),))


def test_an_attempt_cancelled_before_it_starts_is_not_started(tmp_path: Path, box: Box) -> None:
    world, executor = make(box)
    executor.start([bundle(tmp_path, order("a"), order("b"))])
    world.agenda.advance()
    executor.cancel(RUN, [(TaskId("b"), 1)])
    run_out(world)
    assert [one.task for one in world.log] == ["a"]


def test_a_pilot_comes_and_goes_at_its_times(tmp_path: Path, box: Box) -> None:
    world, executor = make(box)
    begin_s = world.agenda.now_s()
    world.add_pilot("q", Resources(cores=1), after_s=2, until_s=begin_s + 2.5)
    world.agenda.advance()
    executor.start([bundle(tmp_path, order("a"), pilot="q")])
    run_out(world)
    assert [type(n) for n in box[1:]] == [PilotJoined, AttemptStarted, PilotLeft, AttemptEnded]
    assert box[-1].receipt.failure.kind is FailureKind.EXPIRED
    world.remove_pilot("q")
    assert measure(world).wasted_core_s == 0.5


def test_attempts_go_on_without_a_runner_and_leave_receipts(tmp_path: Path, box: Box) -> None:
    world, executor = make(box)
    executor.start([bundle(tmp_path, order("a"), order("b"))])
    world.disconnect()
    run_out(world)
    assert len(box) == 1
    assert set(world.receipts) == {(RUN, "a", 1), (RUN, "b", 1)}


def test_closing_ends_all_as_lost(tmp_path: Path, box: Box) -> None:
    _, executor = make(box)
    executor.start([bundle(tmp_path, order("a"))])
    executor.close()
    assert isinstance(box[-1], AttemptsLost)


def test_one_attempt_can_be_killed_with_its_bundle(tmp_path: Path, box: Box) -> None:
    world, executor = make(box)
    executor.start([bundle(tmp_path, order("a")), bundle(tmp_path, order("b"))])
    world.agenda.advance()
    assert world.kill(RunId("other")) == []
    world.kill(RUN, TaskId("a"), 1)
    run_out(world)
    assert set(world.receipts) == {(RUN, "b", 1)}


# ---- workloads


def test_a_workload_answers_alike_whenever_it_is_asked() -> None:
    workload = Workload(
        durations={"a": lambda draw: draw.uniform(1, 2)}, failing={"a": 0.5}, losing={"a": 0.2}
    )
    orders = [order("a", attempt) for attempt in range(1, 200)]
    outcomes = [workload(RUN, one) for one in orders]
    assert outcomes[::-1] == [workload(RUN, one) for one in orders[::-1]]
    kinds = {outcome.failure.kind if outcome.failure else None for outcome in outcomes}
    assert kinds == {None, FailureKind.EXIT, FailureKind.LOST}


def test_a_workload_makes_lists_of_a_size() -> None:
    workload = Workload(lists={"a.items": 2}, usual_s=3.0)
    assert workload(RUN, order("a")) == Outcome(
        duration_s=3.0, lists={"items": ("data/1.xml", "data/2.xml")}
    )
    assert workload(RUN, order("b")).lists == {}
    assert entries_of(0) == ()


def test_nothing_is_measured_where_nothing_happened() -> None:
    assert measure(World(Workload())).makespan_s == 0.0
