"""Does the cost of a task stay the same from a thousand to a hundred thousand branches?

Runs a split with the real runner and planner in a simulated world and prints the CPU time of the
runner's process for each task, the parts of it in which the planner decides and applies events,
its peak memory, and the time to replay the journal:

    python benchmarks/scale.py
    python benchmarks/scale.py --json 1000 10000
    python benchmarks/scale.py --pilots 1000 --cores 8 100000

With more than one pilot every branch takes its own time, so that each end is a decision of its own,
and every twentieth task needs six cores.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec, TypeVar

from euclid_dask.core.attempts import Order
from euclid_dask.core.flow import Flow
from euclid_dask.core.ids import RunId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.states import TaskState
from euclid_dask.planner import Run
from euclid_dask.runner import loop
from euclid_dask.sim import Behaviour, Outcome, World, begin, resume, simulate
from euclid_dask.sim.flows import arg, body, flow, out, split, task
from euclid_dask.sim.workload import random_of

P = ParamSpec("P")
T = TypeVar("T")
SIZES = (1_000, 10_000, 100_000)


def main(arguments: list[str]) -> int:
    """Measure each size in a process of its own and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", type=int, help="numbers of branches")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--cores", type=int, default=16, help="cores of each pilot")
    parser.add_argument("--pilots", type=int, default=1, help="number of pilots")
    given = parser.parse_args(arguments)
    rows = [measured(size, given.cores, given.pilots) for size in given.sizes or SIZES]
    if given.json:
        print(json.dumps({"machine": platform.platform(), "seed": 0, "sizes": rows}, indent=2))
        return 0
    heads = f"{'branches':>9} {'us/task':>9} {'decide':>7} {'apply':>7} {'ratio':>6}"
    print(f"{heads} {'peak MB':>8} {'replay s':>9}")
    for row in rows:
        print(
            f"{row['branches']:>9} {row['us_per_task']:>9.1f} {row['decide_us']:>7.1f}"
            f" {row['apply_us']:>7.1f} {row['us_per_task'] / rows[0]['us_per_task']:>6.2f}"
            f" {row['peak_mb']:>8.0f} {row['replay_s']:>9.2f}"
        )
    return 0


def measured(branches: int, cores: int, pilots: int) -> dict[str, Any]:
    """Return the figures of one size, measured in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(measure_here, (branches, cores, pilots))


def measure_here(branches: int, cores: int, pilots: int) -> dict[str, Any]:
    """Run a split of so many branches, then replay its journal."""
    with TemporaryDirectory() as workdir:
        world = World(_lists_of(branches, varied=pilots > 1))
        for number in range(pilots):
            world.add_pilot(f"p{number}", Resources(cores=cores, ram_bytes=1000 * GB))
        active = begin(world, pipeline(with_large=pilots > 1), Path(workdir))
        decide, apply = Stopwatch(), Stopwatch()
        loop.decide = decide.timed(loop.decide)
        Run.apply = apply.timed(Run.apply)  # type: ignore[method-assign]
        before_s = time.process_time()
        simulate(world, active)
        cpu_s = time.process_time() - before_s
        decide_s, apply_s = decide.spent_s, apply.spent_s
        tasks = len(active.run.tasks)
        assert active.run.count(TaskState.DONE) == tasks
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        journal = active.journal.path.stat().st_size
        del active
        before_s = time.perf_counter()
        resumed = resume(world, Path(workdir))
        replay_s = time.perf_counter() - before_s
        resumed.close()
        assert resumed.run.count(TaskState.DONE) == tasks
    return {
        "branches": branches,
        "pilots": pilots,
        "tasks": tasks,
        "cpu_s": round(cpu_s, 3),
        "us_per_task": round(cpu_s / tasks * 1e6, 1),
        "decide_us": round(decide_s / tasks * 1e6, 1),
        "apply_us": round(apply_s / tasks * 1e6, 1),
        "peak_mb": round(peak_mb, 1),
        "replay_s": round(replay_s, 3),
        "journal_bytes": journal,
    }


class Stopwatch:
    """The CPU seconds that some functions take together, by a clock of the process or thread."""

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self.spent_s = 0.0

    def timed(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return `function`, timed."""

        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            begin_s = self._clock()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent_s += self._clock() - begin_s

        return wrapper


def pipeline(*, with_large: bool = False) -> Flow:
    """Return: make a list, a branch of one task for each entry, gather.

    With large tasks there is a second split, of a twentieth of the entries.
    """
    branch = body(
        task("work", image=arg("item"), settings=arg("settings")),
        inputs=("item", "settings"),
        result=out("work"),
    )
    each = split(
        "each", branch, over="item", item=out("make", "items"), settings=out("make", "settings")
    )
    large = body(task("large", image=arg("item")), inputs=("item",), result=out("large"))
    nodes = [task("make"), each, task("gather", all=out("each", "tuplelist"))]
    if with_large:
        nodes += [task("few"), split("wide", large, over="item", item=out("few", "items"))]
    needs = {"large": Resources(cores=6, ram_bytes=4 * GB, walltime_s=600.0)}
    return flow(body(*nodes, result=out("gather")), needs)


def _lists_of(count: int, *, varied: bool) -> Behaviour:
    entries = tuple(f"data/{number}.xml" for number in range(count))
    lists = {"make": entries, "few": entries[: count // 20]}

    def behave(_run: RunId, order: Order) -> Outcome:
        made = lists.get(order.executable)
        if made is not None:
            return Outcome(lists={"items": made})
        wall_s = 1.0 if not varied else random_of(0, order.task).uniform(50.0, 150.0)
        return Outcome(duration_s=wall_s)

    return behave


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
