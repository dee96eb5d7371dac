"""Placing: ready tasks, in the order of their policy, onto pilots that have room now.

What goes to a pilot at once is a bundle. It is one task, or a linear chain of tasks that each
wait for nothing but the one before, or a group of like tasks that are short against the cost of
a hop, so that the cost of a short task tends to the cost of launching a process.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from math import ceil, inf
from typing import Final

from euclid_dask.core.effects import Effect, RefuseTask, StartBundle
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.states import RunState, TaskState
from euclid_dask.planner.fleet import Fleet, Pilot, Usage, total
from euclid_dask.planner.identity import task_identity
from euclid_dask.planner.nodes import Task
from euclid_dask.planner.run import Run

CHAIN_LIMIT: Final = 100
"""The longest chain that is fused."""
FAN_LIMIT: Final = 8
"""A task with more consumers than this is not looked at for fusing."""
GROUP_LIMIT: Final = 200
"""The most tasks in a group."""
GROUP_S: Final = 0.5
"""Wall seconds of work that a group is made for."""
SHORT_S: Final = 0.1
"""Tasks of a known mean duration below this are grouped."""
SHARE: Final = 3
"""A group takes at most this part of what is ready for each place, so that places end together."""
LEAST_S: Final = 0.02
"""Wall seconds of work below which sharing evenly is not worth a hop more."""


def place(
    runs: Sequence[Run], fleet: Fleet, known: Mapping[RunId, AbstractSet[str]], now_s: float
) -> list[Effect]:
    """Return the bundles that can start now, and refusals of tasks that fit no pilot.

    Only tasks of active runs start, but what other runs still hold on a pilot is not free.
    """
    effects: list[Effect] = []
    used = {
        pilot: total(run.usage[pilot] for run in runs if pilot in run.usage)
        for pilot in fleet.pilots
    }
    heads: list[_Head] = []
    for number, run in enumerate(runs):
        if run.state is RunState.ACTIVE:
            heads += _heads(run, number, fleet, effects)
    heapq.heapify(heads)
    while heads:
        head = heads[0]
        pilot = _best(fleet, used, head.shape, now_s)
        if pilot is None:
            heapq.heappop(heads)
            continue
        left_s = inf if pilot.until_s is None else pilot.until_s - now_s
        bundle = _bundle(head, known.get(head.run.id, frozenset()), left_s)
        used[pilot.id].add(head.shape)
        effects.append(
            StartBundle(
                run=head.run.id,
                pilot=pilot.id,
                tasks=tuple((task.id, task.attempt + 1) for task in bundle),
            )
        )
        if head.task is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, head)
    return effects


def _heads(run: Run, number: int, fleet: Fleet, effects: list[Effect]) -> "list[_Head]":
    """Return the next ready task of each shape of a run; add refusals to `effects`."""
    heads: list[_Head] = []
    for shape, ready in run.board.ready.items():
        if ready and (places := fleet.places(shape)):
            share = -(-len(ready) // places)
            heads.append(_Head(run, number, shape, iter(ready), share))
        elif ready:
            effects += _refuse(run, shape, ready, fleet)
    return [head for head in heads if head.advance()]


class _Head:
    """The next ready task of one shape of one run; `share` are as many as come to each place."""

    __slots__ = ("key", "number", "ready", "run", "shape", "share", "task")

    def __init__(
        self,
        run: Run,
        number: int,
        shape: Resources,
        ready: Iterator[tuple[tuple[float, ...], TaskId]],
        share: int,
    ) -> None:
        self.run, self.number, self.shape, self.ready, self.share = run, number, shape, ready, share
        self.key: tuple[float, ...] = ()
        self.task: Task | None = None

    def advance(self) -> bool:
        """Go to the next task; return whether there is one."""
        found = next(self.ready, None)
        if found is None:
            self.task = None
            return False
        self.key, task_id = found
        self.task = self.run.tasks[task_id]
        return True

    def __lt__(self, other: "_Head") -> bool:
        return (self.key, self.number) < (other.key, other.number)


def _best(fleet: Fleet, used: dict[PilotId, Usage], needs: Resources, now_s: float) -> Pilot | None:
    """Return the pilot with room that is left with the fewest free cores."""
    fitting = [
        pilot
        for pilot in fleet.pilots.values()
        if pilot.has_free(needs, used[pilot.id])
        and (pilot.until_s is None or now_s + needs.walltime_s <= pilot.until_s)
    ]
    return min(fitting, key=lambda p: (p.offer.cores - used[p.id].cores, p.id), default=None)


def _bundle(head: _Head, known: AbstractSet[str], left_s: float) -> list[Task]:
    """Take the head's task, and those that go with it, and advance the head.

    `left_s` are the seconds until the pilot ends.
    """
    task = head.task
    assert task is not None
    head.advance()
    bundle = [task]
    options = head.run.options
    if options.fuse:
        _extend_chain(bundle, head.run, known, left_s - task.spec.needs.walltime_s)
    if options.group and len(bundle) == 1:
        size = _group_size(head.run, task, head.share)
        while len(bundle) < size and head.task is not None:
            if head.task.node.executable != task.node.executable:
                break
            bundle.append(head.task)
            head.advance()
    return bundle


def _group_size(run: Run, task: Task, share: int) -> int:
    duration = run.durations.get(task.node.executable)
    if duration is None or duration.mean_s >= SHORT_S:
        return 1
    mean_s = max(duration.mean_s, GROUP_S / GROUP_LIMIT)
    least = min(ceil(LEAST_S / mean_s), share)
    return max(1, least, min(int(GROUP_S / mean_s), share // SHARE))


def _extend_chain(bundle: list[Task], run: Run, known: AbstractSet[str], left_s: float) -> None:
    """Append to `bundle` the tasks that wait for it alone, while there is exactly one next.

    Their walltimes together are at most `left_s`.
    """
    awaited: dict[Task, int] = {}
    needs = bundle[0].spec.needs
    while len(bundle) < CHAIN_LIMIT and len(bundle[-1].consumers) <= FAN_LIMIT:
        for consumer in bundle[-1].consumers:
            if isinstance(consumer, Task) and consumer.state is TaskState.WAITING:
                awaited[consumer] = awaited.get(consumer, 0) + 1
        free = [task for task, count in awaited.items() if count == task.missing]
        if len(free) != 1 or not _fits(free[0].spec.needs, needs):
            return
        (task,) = free
        left_s -= task.spec.needs.walltime_s
        if left_s < 0:
            return
        if known and task_identity(task, run.options.versions) in known:
            return
        del awaited[task]
        bundle.append(task)


def _fits(needs: Resources, room: Resources) -> bool:
    return (
        needs.cores <= room.cores
        and needs.ram_bytes <= room.ram_bytes
        and needs.disk_bytes <= room.disk_bytes
    )


def _refuse(
    run: Run, shape: Resources, ready: Sequence[tuple[tuple[float, ...], TaskId]], fleet: Fleet
) -> list[Effect]:
    if not fleet.pilots or not fleet.complete:
        return []
    largest = fleet.largest()
    reason = (
        f"needs {shape.cores:g} cores and {shape.ram_bytes / GB:g} GB of RAM; "
        f"the largest pilot has {largest.cores:g} cores and {largest.ram_bytes / GB:g} GB"
    )
    return [RefuseTask(run=run.id, task=task_id, reason=reason) for _, task_id in ready]
