"""Large splits: counts and structure; `benchmarks/scale.py` measures their cost."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from euclid_dask.core.attempts import Order
from euclid_dask.core.events import RunEvent
from euclid_dask.core.ids import RunId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.states import RunState, TaskState
from euclid_dask.runner.journal import read_journal
from euclid_dask.sim import Outcome, World, begin, make_runner, resume, simulate
from euclid_dask.sim.flows import arg, body, flow, out, split, task
from euclid_dask.worker.lists import read_list

MANY = 10_000 if "coverage" in sys.modules else 100_000
"""Counting covered lines makes this ten times slower; CI runs it once without."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [1_000, MANY])
def test_a_split_of_many_branches_is_carried_out_and_read_back(tmp_path: Path, count: int) -> None:
    branch = body(task("work", image=arg("item")), inputs=("item",), result=out("work"))
    each = split("each", branch, over="item", item=out("make", "items"))
    last = task("gather", all=out("each", "tuplelist"))
    pipeline = flow(body(task("make"), each, last, result=out("gather")))
    entries = tuple(f"{number}.xml" for number in range(count))

    def behave(_run: RunId, order: Order) -> Outcome:
        return Outcome(lists={"items": entries} if order.executable == "make" else {})

    world = World(behave)
    world.add_pilot("p", Resources(cores=32, ram_bytes=100 * GB))
    active = begin(world, pipeline, tmp_path)
    simulate(world, active)
    assert active.run.state is RunState.DONE
    assert active.run.count(TaskState.DONE) == count + 2 == len(world.log)
    assert read_list(tmp_path / "each.reduce/tuplelist.json") == [
        f"each.iterations.{number}.work/out.xml" for number in range(1, count + 1)
    ]
    lines: Counter[type[RunEvent]] = Counter(map(type, read_journal(active.journal.path)))
    assert {kind.__name__: number for kind, number in lines.items()} == {
        "RunStarted": 1,
        "TasksOrdered": count + 2,
        "TaskStarted": count + 2,
        "TaskSucceeded": count + 2,
        "SplitExpanded": 1,
        "ListJoined": 1,
        "RunEnded": 1,
    }
    again = resume(world, tmp_path)
    make_runner(world, [again]).run_until_ended()
    again.close()
    assert len(world.log) == count + 2
