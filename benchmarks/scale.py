"""Does the cost of a task stay the same from a thousand to a hundred thousand branches?

Runs a split with the real runner and planner in a simulated world and prints the CPU time of the
runner's process for each task, its peak memory, and the time to replay the journal:

    python benchmarks/scale.py
    python benchmarks/scale.py --json 1000 10000
"""

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from euclid_dask.core.attempts import Order
from euclid_dask.core.flow import Flow
from euclid_dask.core.ids import RunId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.states import TaskState
from euclid_dask.sim import Behaviour, Outcome, World, begin, resume, simulate
from euclid_dask.sim.flows import arg, body, flow, out, split, task

SIZES = (1_000, 10_000, 100_000)


def main(arguments: list[str]) -> int:
    """Measure each size in a process of its own and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", type=int, help="numbers of branches")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--cores", type=int, default=16, help="cores of the one pilot")
    given = parser.parse_args(arguments)
    rows = [measured(size, given.cores) for size in given.sizes or SIZES]
    if given.json:
        print(json.dumps({"machine": platform.platform(), "seed": 0, "sizes": rows}, indent=2))
        return 0
    print(f"{'branches':>9} {'us/task':>9} {'ratio':>6} {'peak MB':>8} {'replay s':>9}")
    for row in rows:
        print(
            f"{row['branches']:>9} {row['us_per_task']:>9.1f}"
            f" {row['us_per_task'] / rows[0]['us_per_task']:>6.2f} {row['peak_mb']:>8.0f}"
            f" {row['replay_s']:>9.2f}"
        )
    return 0


def measured(branches: int, cores: int) -> dict[str, Any]:
    """Return the figures of one size, measured in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(measure_here, (branches, cores))


def measure_here(branches: int, cores: int) -> dict[str, Any]:
    """Run a split of so many branches, then replay its journal."""
    with TemporaryDirectory() as workdir:
        world = World(_lists_of(branches))
        world.add_pilot("p", Resources(cores=cores, ram_bytes=1000 * GB))
        active = begin(world, pipeline(), Path(workdir))
        before_s = time.process_time()
        simulate(world, active)
        cpu_s = time.process_time() - before_s
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
        "tasks": tasks,
        "cpu_s": round(cpu_s, 3),
        "us_per_task": round(cpu_s / tasks * 1e6, 1),
        "peak_mb": round(peak_mb, 1),
        "replay_s": round(replay_s, 3),
        "journal_bytes": journal,
    }


def pipeline() -> Flow:
    """Return: make a list, a branch of one task for each entry, gather."""
    branch = body(
        task("work", image=arg("item"), settings=arg("settings")),
        inputs=("item", "settings"),
        result=out("work"),
    )
    each = split(
        "each", branch, over="item", item=out("make", "items"), settings=out("make", "settings")
    )
    return flow(body(task("make"), each, task("gather", all=out("each", "tuplelist")),
                     result=out("gather")))  # fmt: skip


def _lists_of(count: int) -> Behaviour:
    entries = tuple(f"data/{number}.xml" for number in range(count))

    def behave(_run: RunId, order: Order) -> Outcome:
        return Outcome(lists={"items": entries} if order.executable == "make" else {})

    return behave


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
