"""The runner in a simulated world: what it writes down, and what it has carried out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from euclid_dask.core.attempts import Failure, FailureKind, Order
from euclid_dask.core.errors import InternalError, StoppedError, WorkdirError
from euclid_dask.core.events import (
    OutputsMissed,
    PilotJoined,
    PilotRequested,
    RunOptions,
    TaskErred,
    TaskLost,
    TaskReused,
)
from euclid_dask.core.flow import Flow
from euclid_dask.core.ids import PilotId, RunId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.seams import AttemptsLost
from euclid_dask.core.states import RunState
from euclid_dask.planner import Run
from euclid_dask.runner import views
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.again import reasons_again
from euclid_dask.runner.inbox import CancelNews
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.loop import Runner
from euclid_dask.runner.news import events_of
from euclid_dask.runner.recovery import resume_run
from euclid_dask.runner.reuse import why_again
from euclid_dask.runner.workspace import Workspace
from euclid_dask.sim import Outcome, World, begin, make_runner, resume, simulate
from euclid_dask.sim.files import AllFiles
from euclid_dask.sim.flows import arg, body, flow, nested, out, split, task

Entries = tuple[object, ...]


class Script:
    """Behaviour by task id: failures of attempts, lists, durations."""

    def __init__(self, **lists: Entries) -> None:
        self.lists = lists
        self.failures: dict[tuple[str, int], FailureKind] = {}
        self.durations: dict[str, float] = {}

    def __call__(self, run: RunId, order: Order) -> Outcome:
        kind = self.failures.get((order.task, order.attempt))
        return Outcome(
            duration_s=self.durations.get(order.task, 1.0),
            failure=None if kind is None else Failure(kind=kind, message="as written"),
            lists={"items": self.lists.get(order.task, ())},
        )


@pytest.fixture
def script() -> Script:
    return Script(make=("data/1.txt", "data/2.txt"))


@pytest.fixture
def world(script: Script) -> World:
    made = World(script, files=AllFiles())
    made.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    return made


def chain() -> Flow:
    return flow(
        body(task("a", raw=arg("raw")), task("b", x=out("a")), task("c", x=out("b")),
             inputs=("raw",), result=out("c"))
    )  # fmt: skip


def each() -> Flow:
    branch = body(task("work", image=arg("item")), inputs=("item",), result=out("work"))
    return flow(
        body(
            task("make"),
            split("each", branch, over="item", item=out("make", "items")),
            task("gather", all=out("each", "tuplelist")),
            result=out("gather"),
        )
    )


def raw(workdir: Path, text: str = "raw") -> dict[str, str]:
    (workdir / "raw.fits").write_text(text)
    return {"raw": "raw.fits"}


def started(world: World) -> list[str]:
    return [f"{one.task}.{one.attempt}" for one in world.log]


def kinds(active: ActiveRun) -> list[str]:
    return [type(event).__name__ for event in read_journal(active.journal.path)]


def test_a_chain_is_ordered_once_and_done_in_order(tmp_path: Path, world: World) -> None:
    active = begin(world, chain(), tmp_path, raw(tmp_path))
    simulate(world, active)
    assert kinds(active) == [
        "RunStarted", "TasksOrdered", *["TaskStarted", "TaskSucceeded"] * 3, "RunEnded",
    ]  # fmt: skip
    assert active.run.state is RunState.DONE
    assert (tmp_path / "c/out.xml").is_file()


def test_the_rest_of_a_chain_goes_back_when_one_fails(
    tmp_path: Path, world: World, script: Script
) -> None:
    script.failures["a", 1] = FailureKind.EXIT
    active = begin(world, chain(), tmp_path, raw(tmp_path), RunOptions(science_retries=1))
    simulate(world, active)
    assert started(world) == ["a.1", "a.2", "b.2", "c.2"]
    assert kinds(active).count("TaskReturned") == 2


def test_a_lost_pilot_costs_what_ran_on_it(tmp_path: Path, world: World) -> None:
    world.add_pilot("q", Resources(cores=4, ram_bytes=8 * GB), after_s=3)
    world.agenda.at(world.agenda.now_s() + 1.5, lambda: world.remove_pilot("p"))
    active = begin(world, chain(), tmp_path, raw(tmp_path))
    simulate(world, active)
    assert started(world) == ["a.1", "b.1", "b.2", "c.2"]
    lost = [event for event in read_journal(active.journal.path) if isinstance(event, TaskLost)]
    assert [event.reason for event in lost] == ["it died"]


def test_several_runs_share_the_pilots(tmp_path: Path, world: World) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = begin(world, each(), tmp_path / "one")
    two = begin(world, each(), tmp_path / "two")
    simulate(world, one, two)
    assert one.run.state is two.run.state is RunState.DONE
    assert len(world.log) == 8


def test_a_run_that_fits_no_pilot_fails(tmp_path: Path, world: World) -> None:
    pipeline = flow(body(task("a"), r=out("a")), {"a": Resources(cores=3)})
    active = begin(world, pipeline, tmp_path)
    simulate(world, active)
    assert active.run.state is RunState.FAILED
    assert kinds(active)[1:] == ["TaskUnplaceable", "RunEnded"]


def test_a_run_without_pilots_stands_still(tmp_path: Path, script: Script) -> None:
    world = World(script)
    with pytest.raises(InternalError, match="stands still"):
        simulate(world, begin(world, each(), tmp_path))


@pytest.mark.parametrize(("now", "done"), [(False, 1), (True, 0)])
def test_a_cancelled_run_ends_cancelled(
    tmp_path: Path, world: World, *, now: bool, done: int
) -> None:
    active = begin(world, chain(), tmp_path, raw(tmp_path))
    runner = make_runner(world, [active])
    news = CancelNews(reason="asked", now=now)
    world.agenda.at(world.agenda.now_s() + 0.5, lambda: runner.inbox.put(news))
    runner.run_until_ended()
    runner.inbox.put(news)
    runner.turn(runner.inbox.take(0))
    active.close()
    assert active.run.state is RunState.CANCELLED
    assert sum(task.is_finished for task in active.run.tasks.values()) == done
    assert kinds(active)[-1] == "RunEnded"


def test_a_runner_takes_its_news_from_a_queue_by_default(world: World) -> None:
    runner = Runner(make_runner(world, []).executor, world.agenda)
    runner.run_until_ended()
    assert [type(news).__name__ for news in runner.inbox.take(0)] == ["PilotJoined"]


def test_a_worker_with_another_version_is_given_nothing(
    tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    active = begin(world, chain(), tmp_path, raw(tmp_path))
    runner = make_runner(world, [active])
    offer = Resources(cores=8, ram_bytes=64 * GB)
    other = PilotJoined(pilot=PilotId("o"), offer=offer, slots=8, version="9.9", at_s=0.0)
    runner.turn([other])
    assert "pilot o is given nothing: on o it has euclid_dask 9.9, but the runner" in caplog.text
    assert "o" not in runner.fleet.pilots
    runner.run_until_ended()
    active.close()
    assert active.run.state is RunState.DONE


@pytest.mark.parametrize(("pilots", "apart_s"), [(1, 0.0001), (200, 0.02), (5000, 0.1)])
def test_the_more_pilots_the_farther_apart_are_turns(
    tmp_path: Path, world: World, pilots: int, apart_s: float
) -> None:
    for number in range(1, pilots):
        world.add_pilot(f"p{number}", Resources(cores=1))
    active = begin(world, chain(), tmp_path, raw(tmp_path))
    runner = make_runner(world, [active])
    for number in range(100):  # that wait in a queue send no news
        name = PilotId(f"queued-{number}")
        runner.fleet.apply(PilotRequested(pilot=name, template="light", at_s=0.0))
    asked: list[float] = []
    take = runner.inbox.take

    def noted(timeout_s: float | None, apart_s: float = 0.0) -> list[Any]:
        asked.append(apart_s)
        return take(timeout_s)

    runner.inbox.take = noted  # type: ignore[method-assign]
    runner.run_until_ended()
    active.close()
    assert asked[0] == 0.0
    assert asked[-1] == pytest.approx(apart_s)


def test_a_journal_that_cannot_be_written_stops_the_run(tmp_path: Path, world: World) -> None:
    active = begin(world, chain(), tmp_path, raw(tmp_path))
    active.journal.close()
    with pytest.raises(StoppedError, match="cannot write the journal"):
        make_runner(world, [active]).run_until_ended()


# ---- lists


def test_elements_that_are_lists_get_a_file_of_their_own(
    tmp_path: Path, world: World, script: Script
) -> None:
    script.lists["make"] = (["data/1.txt", "data/2.txt"], 5, "data/3.txt")
    world = World(script)
    world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    active = begin(world, each(), tmp_path)
    simulate(world, active)
    branches = active.run.splits["each"].branches
    items = [branch.scope.item for branch in branches]
    assert [item.path for item in items if item] == ["each.map/1.json", "5", "data/3.txt"]
    assert json.loads((tmp_path / "each.map/1.json").read_text()) == ["data/1.txt", "data/2.txt"]


def test_a_list_that_is_none_fails_its_split(tmp_path: Path, world: World) -> None:
    pipeline = flow(body(split("s", body(inputs=("item",), r=arg("item")), over="item",
                               item=arg("raw")), inputs=("raw",), r=out("s")))  # fmt: skip
    active = begin(world, pipeline, tmp_path, raw(tmp_path, "{}"))
    simulate(world, active)
    assert active.run.state is RunState.FAILED
    assert "not a list" in active.run.splits["s"].failure


def test_a_joined_list_that_cannot_be_written_fails_its_split(tmp_path: Path, world: World) -> None:
    (tmp_path / "each.reduce").write_text("in the way")
    active = begin(world, each(), tmp_path)
    simulate(world, active)
    assert active.run.state is RunState.FAILED
    assert "exists" in active.run.splits["each"].failure


# ---- resuming, and work of earlier runs


def test_an_output_that_is_gone_is_made_again_when_it_is_needed(
    tmp_path: Path, world: World, script: Script
) -> None:
    script.failures["c", 1] = FailureKind.EXIT
    active = begin(world, chain(), tmp_path, raw(tmp_path))
    simulate(world, active)
    (tmp_path / "a/out.xml").unlink()
    (tmp_path / "b/out.xml").write_text("changed")
    active = resume(world, tmp_path)
    simulate(world, active)
    assert active.run.state is RunState.DONE
    missed = [e.task for e in read_journal(active.journal.path) if isinstance(e, OutputsMissed)]
    assert missed == ["b", "a"]


def test_a_pause_between_two_runners_is_no_time_of_the_run(
    tmp_path: Path, world: World, script: Script
) -> None:
    script.failures["c", 1] = FailureKind.EXIT
    active = begin(world, chain(), tmp_path, raw(tmp_path))
    simulate(world, active)
    before_s = views.summary(active.run).wall_s
    world.agenda.at(active.run.last_s + 36_000.0, lambda: None)
    while world.agenda.now_s() < active.run.last_s + 36_000.0:
        assert world.agenda.advance()
    again = resume(world, tmp_path)
    simulate(world, again)
    spent_s = again.run.last_s - active.run.last_s - 36_000.0
    assert views.summary(again.run).wall_s == pytest.approx(before_s + spent_s)
    assert views.progress(again.run, again.run.last_s).elapsed_s == pytest.approx(
        before_s + spent_s
    )


def test_an_output_that_vanishes_in_the_run_is_made_again(
    tmp_path: Path, world: World, script: Script
) -> None:
    script.durations["a"] = 5.0
    top = body(task("make"), task("a"), task("b", x=out("make", "items"), y=out("a")), r=out("b"))
    active = begin(world, flow(top), tmp_path)
    gone = tmp_path / "make/items.json"
    world.agenda.at(world.agenda.now_s() + 3, gone.unlink)
    simulate(world, active)
    assert started(world) == ["make.1", "a.1", "b.1", "make.2", "b.2"]
    assert active.run.state is RunState.DONE


def test_an_input_that_nobody_makes_fails_the_task(tmp_path: Path, world: World) -> None:
    active = begin(world, chain(), tmp_path, raw(tmp_path))
    (tmp_path / "raw.fits").unlink()
    simulate(world, active)
    (erred,) = [e for e in read_journal(active.journal.path) if isinstance(e, TaskErred)]
    assert erred.failure.kind is FailureKind.INPUT


def test_a_list_that_two_splits_go_over_and_that_is_gone_is_made_again_once(
    tmp_path: Path, world: World
) -> None:
    def over(name: str) -> Any:
        branch = body(task(name + "w", i=arg("item")), inputs=("item",), r=out(name + "w"))
        return split(name, branch, over="item", item=out("make", "items"))

    top = body(task("make"), task("slow"), over("s"), over("t"), r=out("s", "tuplelist"))
    first = begin(world, flow(top), tmp_path)
    runner = make_runner(world, [first])
    runner.executor.open(runner.inbox)
    runner.turn(runner.inbox.take(0))
    world.agenda.advance()
    while first.run.tasks["make"].state != "done":  # as if the runner died before the next turn
        for item in runner.inbox.take(0):
            for event in events_of(first, item, 0.0):
                first.record(event)
    first.journal.sync()
    first.close()
    world.disconnect()
    (tmp_path / "make/items.json").unlink()
    active = resume(world, tmp_path)
    simulate(world, active)
    assert active.run.state is RunState.DONE
    assert kinds(active).count("OutputsMissed") == 1


@pytest.mark.parametrize("text", [None, "[]"])
def test_a_joined_list_that_is_gone_or_changed_is_written_again(
    tmp_path: Path, world: World, script: Script, text: str | None
) -> None:
    script.failures["gather", 1] = FailureKind.EXIT
    active = begin(world, each(), tmp_path)
    simulate(world, active)
    joined = tmp_path / "each.reduce/tuplelist.json"
    before = joined.read_text()
    joined.unlink() if text is None else joined.write_text(text)
    active = resume(world, tmp_path)
    simulate(world, active)
    assert active.run.state is RunState.DONE
    assert joined.read_text() == before
    assert started(world).count("gather.2") == 1
    assert "OutputsMissed" not in kinds(active)


def test_consumers_of_a_list_that_vanishes_in_the_run_are_given_back(
    tmp_path: Path, world: World, script: Script
) -> None:
    script.durations["slow"] = 5.0
    joined = tmp_path / "each.reduce/tuplelist.json"
    users = [task(name, all=out("each", "tuplelist"), x=out("slow")) for name in "abc"]
    branch = body(task("work", image=arg("item")), inputs=("item",), result=out("work"))
    over = split("each", branch, over="item", item=out("make", "items"))
    active = begin(
        world, flow(body(task("make"), task("slow"), over, *users, r=out("a"))), tmp_path
    )
    world.agenda.at(world.agenda.now_s() + 4, joined.unlink)
    simulate(world, active)
    assert active.run.state is RunState.DONE
    assert "TaskErred" not in kinds(active)


def test_two_consumers_of_an_output_that_vanishes_both_wait_for_it(
    tmp_path: Path, world: World, script: Script
) -> None:
    script.durations["slow"] = 5.0
    users = [task(name, all=out("make", "items"), x=out("slow")) for name in "ab"]
    active = begin(world, flow(body(task("make"), task("slow"), *users, r=out("a"))), tmp_path)
    world.agenda.at(world.agenda.now_s() + 3, (tmp_path / "make/items.json").unlink)
    simulate(world, active)
    assert active.run.state is RunState.DONE
    assert started(world).count("make.2") == 1


def test_the_makers_of_a_list_are_looked_at_once_for_all_that_use_it(
    tmp_path: Path, world: World
) -> None:
    users = [task(name, all=out("each", "tuplelist")) for name in "abc"]
    branch = body(task("work", image=arg("item")), inputs=("item",), result=out("work"))
    over = split("each", branch, over="item", item=out("make", "items"))
    simulate(
        world, begin(world, flow(body(task("make"), over, r=out("each", "tuplelist"))), tmp_path)
    )
    active = begin(world, flow(body(task("make"), over, *users, r=out("a"))), tmp_path)
    simulate(world, active)
    assert active.lists_seen == {"each"}
    assert active.run.state is RunState.DONE


def test_a_task_that_never_gets_started_fails_in_the_end_and_costs_no_retry(
    tmp_path: Path, world: World
) -> None:
    active = begin(world, chain(), tmp_path, raw(tmp_path), RunOptions(lost_retries=0))
    world.remove_pilot("p")
    runner = make_runner(world, [active])
    world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    runner.executor.start = lambda bundles: [  # type: ignore[method-assign]
        runner.inbox.put(
            AttemptsLost(
                run=active.run.id,
                attempts=tuple((order.task, order.attempt) for order in bundle.orders),
                reason="its worker died",
            )
        )
        for bundle in bundles
    ]
    runner.run_until_ended()
    active.close()
    failure = active.run.tasks["a"].failure
    assert active.run.state is RunState.FAILED
    assert failure is not None
    assert failure.message == "task 'a' could not be started 101 times: its worker died"
    assert (active.run.tasks["a"].losses, active.run.tasks["a"].science_failures) == (0, 0)
    assert started(world) == []
    again = resume(world, tmp_path)
    simulate(world, again)
    assert again.run.state is RunState.DONE


def test_a_second_run_does_nothing_again(tmp_path: Path, world: World) -> None:
    simulate(world, begin(world, each(), tmp_path))
    count = len(world.log)
    again = begin(world, each(), tmp_path)
    simulate(world, again)
    assert len(world.log) == count
    assert kinds(again).count("TaskReused") == 4
    assert again.run.state is RunState.DONE


def test_a_changed_input_has_all_that_follows_run_again(tmp_path: Path, world: World) -> None:
    simulate(world, begin(world, chain(), tmp_path, raw(tmp_path)))
    before = resume(world, tmp_path)
    before.close()
    again = begin(world, chain(), tmp_path, raw(tmp_path, "another"))
    simulate(world, again)
    assert started(world)[3:] == ["a.1", "b.1", "c.1"]
    assert why_again(before.run, again.run, again.run.tasks["a"]) == "changed: input raw"


def test_a_known_result_that_is_gone_is_made_again(tmp_path: Path, world: World) -> None:
    simulate(world, begin(world, chain(), tmp_path, raw(tmp_path)))
    (tmp_path / "c/out.xml").unlink()
    again = begin(world, chain(), tmp_path, {"raw": "raw.fits"})
    simulate(world, again)
    assert started(world)[3:] == ["c.1"]


def test_a_task_that_was_known_after_all_did_not_run_again(tmp_path: Path, world: World) -> None:
    simulate(world, begin(world, chain(), tmp_path, raw(tmp_path)))
    result = tmp_path / "c/out.xml"
    result.rename(tmp_path / "kept")
    again = begin(world, chain(), tmp_path, {"raw": "raw.fits"})
    runner = make_runner(world, [again])
    runner.executor.open(runner.inbox)
    runner.turn(runner.inbox.take(0))
    assert [task.id for task in again.run.active] == ["c"]
    again.close()
    world.disconnect()
    (tmp_path / "kept").rename(result)
    active = resume(world, tmp_path)
    simulate(world, active)
    assert active.run.tasks["c"].state == "skipped"
    assert reasons_again(active.run, active.earlier) == {}


def test_intermediate_files_that_are_gone_are_not_made_again(tmp_path: Path, world: World) -> None:
    simulate(world, begin(world, chain(), tmp_path, raw(tmp_path)))
    (tmp_path / "a/out.xml").unlink()
    (tmp_path / "b/out.xml").unlink()
    again = begin(world, chain(), tmp_path, {"raw": "raw.fits"})
    simulate(world, again)
    assert len(world.log) == 3
    assert [e.task for e in read_journal(again.journal.path) if isinstance(e, TaskReused)]


def each_twice() -> Flow:
    """Return: make -> split over (first -> second) -> gather."""
    branch = body(
        task("first", image=arg("item")),
        task("second", x=out("first")),
        inputs=("item",),
        result=out("second"),
    )
    over = split("each", branch, over="item", item=out("make", "items"))
    gather = task("gather", images=out("each", "tuplelist"))
    return flow(body(task("make"), over, gather, result=out("gather")))


def texts(workdir: Path) -> dict[str, str]:
    return {str(p): p.read_text() for p in workdir.rglob("*.*") if p.suffix in {".xml", ".txt"}}


@pytest.mark.parametrize("elements", [("data/1.txt",), ("data/1.txt", "data/2.txt")])
def test_what_receives_an_element_waits_until_its_list_is_made_anew(
    tmp_path: Path, world: World, script: Script, elements: Entries
) -> None:
    script.lists["make"] = elements
    simulate(world, begin(world, each_twice(), tmp_path))
    before = texts(tmp_path)
    for path in ["gather/out.xml", "each.iterations.1.first/out.xml", elements[0]]:
        (tmp_path / str(path)).unlink()
    (tmp_path / "each.iterations.1.second/out.xml").write_text("changed")
    done = len(world.log)
    again = begin(world, each_twice(), tmp_path)
    simulate(world, again)
    first, second = "each.iterations.1.first.1", "each.iterations.1.second.1"
    assert started(world)[done:] == ["make.1", first, second, "gather.1"]
    assert again.run.state is RunState.DONE
    assert texts(tmp_path) == before


@pytest.mark.parametrize("damaged", ["make/items.json", "data/2.txt"])
@pytest.mark.parametrize("text", [None, "", '["data/1.txt"]'])
def test_a_known_list_that_is_not_as_it_was_made_is_not_split(
    tmp_path: Path, world: World, damaged: str, text: str | None
) -> None:
    simulate(world, begin(world, each(), tmp_path, options=RunOptions(until=("make",))))
    path = tmp_path / damaged
    path.unlink() if text is None else path.write_text(text)
    again = begin(world, each(), tmp_path)
    simulate(world, again)
    assert again.run.state is RunState.DONE
    assert started(world)[:2] == ["make.1", "make.1"]
    assert len(again.run.splits["each"].branches) == 2


@pytest.mark.parametrize("text", [None, ""])
@pytest.mark.parametrize(
    ("part", "output"),
    [
        (RunOptions(until=("make",)), "make/items.json"),
        (RunOptions(until=("make", "work")), "make/items.json"),
        (RunOptions(skip=("gather",)), "each.iterations.2.work/out.xml"),
    ],
)
def test_what_a_part_is_run_for_is_made_again(
    tmp_path: Path, world: World, part: RunOptions, output: str, text: str | None
) -> None:
    active = begin(world, each(), tmp_path, options=part)
    simulate(world, active)
    for take_up in (lambda: begin(world, each(), tmp_path, options=part), None):
        path = tmp_path / output
        before = path.read_text()
        path.unlink() if text is None else path.write_text(text)
        active = take_up() if take_up else resume(world, tmp_path)
        simulate(world, active)
        assert active.run.state is RunState.DONE
        assert path.read_text() == before


def test_a_result_that_blocks_and_branches_hand_on_is_made_again(
    tmp_path: Path, world: World
) -> None:
    handing = nested("block", body(inputs=("x",), same=arg("x")), x=out("a"))
    over = split("s", body(inputs=("i",), same=arg("i")), over="i", i=out("make", "items"))
    results = {"one": out("block", "same"), "two": out("s", "tuplelist")}
    pipeline = flow(body(task("a"), task("make"), handing, over, **results))
    simulate(world, begin(world, pipeline, tmp_path))
    (tmp_path / "a/out.xml").unlink()
    (tmp_path / "data/2.txt").unlink()
    done = len(world.log)
    simulate(world, begin(world, pipeline, tmp_path))
    assert sorted(started(world)[done:]) == ["a.1", "make.1"]
    assert (tmp_path / "data/2.txt").exists()


def test_why_a_task_runs_again_is_said_in_words(
    tmp_path: Path, world: World, script: Script
) -> None:
    script.failures["c", 1] = FailureKind.EXIT
    one = begin(world, chain(), tmp_path, raw(tmp_path))
    simulate(world, one)
    two = begin(world, flow(nested_chain()), tmp_path, {"raw": "raw.fits"})
    simulate(world, two)
    assert why_again(one.run, two.run, two.run.tasks["new"]) == "it is new"
    assert why_again(one.run, two.run, two.run.tasks["c"]) == f"it was failed in {one.run.id}"
    assert why_again(one.run, two.run, two.run.tasks["a"]) == "its outputs are gone or were changed"


def nested_chain() -> Any:
    return body(
        task("a", raw=arg("raw")),
        task("b", x=out("a")),
        task("c", x=out("b")),
        task("new", x=out("c")),
        nested("n", body(inputs=("x",), r=arg("x")), x=out("c")),
        inputs=("raw",),
        result=out("n", "r"),
    )


def test_processes_that_do_not_die_stop_a_resume(tmp_path: Path, world: World) -> None:
    simulate(world, begin(world, each(), tmp_path))

    class Undead:
        was_started, receipt = world.was_started, world.receipt

        def kill(self, *_names: object) -> list[int]:
            return [7]

    workspace = Workspace(tmp_path)
    with pytest.raises(WorkdirError, match="cannot be killed: 7"):
        resume_run(workspace, workspace.find(None), world.agenda, traces=Undead())
    resume(world, tmp_path).close()


def test_a_resumed_run_that_is_done_ends_at_once(
    tmp_path: Path, world: World, validate: Callable[[Run], None]
) -> None:
    simulate(world, begin(world, each(), tmp_path))
    active = resume(world, tmp_path)
    validate(active.run)
    simulate(world, active)
    assert kinds(active)[-2:] == ["RunResumed", "RunEnded"]
