"""The workloads: tasks with an id, a duration and the tasks they come after, in one JSON format.

Rule 1: the same name, scale and seed give the same workload, byte for byte.
Rule 2: tasks are listed in an order that respects their dependencies.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One execution of the task program."""

    id: str
    duration_s: float = 0.0
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A named graph of tasks.

    `kind` and `shape` say how a pipeline language would write it (`{"width": 10, "depth": 100}`),
    `slots` how many tasks may run at once.
    """

    name: str
    question: str
    kind: str
    shape: Mapping[str, int]
    slots: int
    seed: int
    tasks: tuple[Task, ...]

    @property
    def lower_bound_s(self) -> float:
        """No schedule is shorter: the critical path, or all the work spread over all the slots."""
        return max(self.critical_path_s, sum(t.duration_s for t in self.tasks) / self.slots)

    @property
    def critical_path_s(self) -> float:
        """The length of the longest chain."""
        ends: dict[str, float] = {}
        for task in self.tasks:
            ends[task.id] = task.duration_s + max((ends[p] for p in task.after), default=0.0)
        return max(ends.values(), default=0.0)

    def to_json(self) -> str:
        """Write the one format that every adapter and the checker read."""
        return json.dumps(asdict(self), indent=1)


def from_json(text: str) -> Workload:
    """Read what `Workload.to_json` wrote."""
    raw: dict[str, Any] = json.loads(text)
    tasks = tuple(
        Task(id=t["id"], duration_s=t["duration_s"], after=tuple(t["after"])) for t in raw["tasks"]
    )
    return Workload(**{**raw, "tasks": tasks})


def bag(*, scale: float, seed: int, slots: int = 2) -> Workload:
    """1000 trivial tasks that do not know of each other."""
    width = _scaled(1000, scale)
    return Workload(
        name="bag",
        question="What does one more short task cost?",
        kind="bag",
        shape={"width": width},
        slots=slots,
        seed=seed,
        tasks=tuple(Task(id=f"b{i:04d}") for i in range(width)),
    )


def chains(*, scale: float, seed: int, slots: int = 2) -> Workload:
    """10 chains of 100 trivial tasks."""
    width, depth = 10, _scaled(100, scale)
    return Workload(
        name="chains",
        question="How long does the next task wait for the one before?",
        kind="chains",
        shape={"width": width, "depth": depth},
        slots=slots,
        seed=seed,
        tasks=tuple(_chain_tasks(width, depth)),
    )


def _chain_tasks(width: int, depth: int) -> Iterator[Task]:
    for step in range(depth):
        for chain in range(width):
            after = (f"c{chain:02d}.s{step - 1:03d}",) if step else ()
            yield Task(id=f"c{chain:02d}.s{step:03d}", after=after)


def scatter(*, scale: float, seed: int, slots: int = 2) -> Workload:
    """One task that 500 wait for, and one that waits for those 500."""
    width = _scaled(500, scale)
    body = tuple(Task(id=f"b{i:04d}", after=("source",)) for i in range(width))
    return Workload(
        name="scatter",
        question="What do a split found at run time and its join cost?",
        kind="scatter",
        shape={"width": width},
        slots=slots,
        seed=seed,
        tasks=(Task(id="source"), *body, Task(id="sink", after=tuple(t.id for t in body))),
    )


def montage(*, scale: float, seed: int, slots: int = 4) -> Workload:
    """291 tasks with the shape of a mosaicking pipeline that sleep 60 s in all.

    They sleep, so that four slots on two cores are fair. `scale` shortens the sleeps, not the
    graph; the instance carries its own seed, 42.
    """
    raw = json.loads((DATA / "montage-300-seed42.json").read_text())["tasks"]
    order = TopologicalSorter({name: task["deps"] for name, task in raw.items()}).static_order()
    return Workload(
        name="montage",
        question="How far from the best possible makespan does a real graph end?",
        kind="graph",
        shape={},
        slots=slots,
        seed=seed,
        tasks=tuple(
            Task(
                id=name,
                duration_s=round(raw[name]["ms"] * scale / 1000, 6),
                after=tuple(raw[name]["deps"]),
            )
            for name in order
        ),
    )


def mixed(*, scale: float, seed: int, slots: int = 4) -> Workload:
    """300 tasks in layers, log-normal sleeps around 50 ms: a graph drawn from the seed."""
    draw = random.Random(seed)
    count = _scaled(300, scale)
    tasks: list[Task] = []
    for i in range(count):
        earlier = [t.id for t in tasks[max(0, i - 40) : max(0, i - 4)]]
        after = tuple(sorted(draw.sample(earlier, min(len(earlier), draw.choice((0, 1, 1, 2, 3))))))
        duration_s = round(min(2.0, draw.lognormvariate(-3.3, 0.8)), 6)
        tasks.append(Task(id=f"m{i:04d}", duration_s=duration_s, after=after))
    return Workload(
        name="mixed",
        question="And a graph nobody has tuned for?",
        kind="graph",
        shape={},
        slots=slots,
        seed=seed,
        tasks=tuple(tasks),
    )


GENERATORS = {
    "bag": bag,
    "chains": chains,
    "scatter": scatter,
    "montage": montage,
    "mixed": mixed,
}
DEFAULT = ("bag", "chains", "scatter", "montage")


def _scaled(count: int, scale: float) -> int:
    return max(1, round(count * scale))
