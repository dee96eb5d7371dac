"""What depends on a task that is to run again."""

from pathlib import Path

from euclid_dask.core.resources import GB, Resources
from euclid_dask.runner.again import dependents
from euclid_dask.sim import Outcome, World, begin, simulate
from euclid_dask.sim.flows import arg, body, flow, out, split, task


def test_what_uses_a_joined_list_depends_on_the_tasks_of_its_branches(tmp_path: Path) -> None:
    branch = body(task("one", i=arg("item")), task("two", x=out("one")),
                  inputs=("item",), r=out("two"))  # fmt: skip
    over = split("s", branch, over="item", item=out("make", "items"))
    top = body(task("make"), over, task("gather", all=out("s", "tuplelist")), r=out("gather"))
    world = World(lambda _run, _order: Outcome(lists={"items": ("1.txt", "2.txt")}))
    world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    active = begin(world, flow(top), tmp_path)
    simulate(world, active)
    again = dependents(active.run, active.run.tasks["s.iterations.2.one"])
    assert again == ("gather", "s.iterations.2.one", "s.iterations.2.two")
