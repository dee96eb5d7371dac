"""Placing: ready tasks, in the order of their policy, onto pilots that have room now.

What goes to a pilot at once is a bundle. It is one task, or a linear chain of tasks that each
wait for nothing but the one before, or a group of like tasks. Those that are short against the cost
of a hop are grouped, so that the cost of a short task tends to the cost of launching a process; and
those that would end faster, on many pilots, than a runner can follow.

A task goes to the smallest pilot that has room and time for it, and there to the one that it
fills best. One that finds no room overtakes nobody and is overtaken only by tasks that do not
delay it: before the first of them, the pilot where it can start first is kept for it (EASY
backfilling, Source: Mu'alem and Feitelson 2001).

The work is proportional to what starts, and to the number of shapes times that of different
rooms; not to what waits, nor to the number of pilots.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from math import ceil, inf
from typing import Final

from euclid_dask.core.effects import Effect, RefuseTask, StartBundle
from euclid_dask.core.ids import PilotId, RunId
from euclid_dask.core.resources import Resources
from euclid_dask.core.states import RunState, TaskState
from euclid_dask.planner.fitting import misfit, time_needed
from euclid_dask.planner.fleet import Fleet
from euclid_dask.planner.identity import task_identity
from euclid_dask.planner.nodes import Task
from euclid_dask.planner.ready import Key, Shape
from euclid_dask.planner.rooms import Reservation, Usage, earliest
from euclid_dask.planner.run import Run

CANDIDATES: Final = 32
"""How many pilots of each size are looked at for a reservation."""
KEPT_SHARE: Final = 4
"""At most one pilot in so many is kept for a task."""
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
HOPS: Final = 500
"""So many bundles a second a runner carries with ease; the more places, the longer are groups."""
SHARE: Final = 3
"""A group takes at most one in so many of what is ready for a place: so places end together."""
LEAST_S: Final = 0.02
"""Wall seconds of work below which sharing evenly is not worth a hop more."""


def place(
    runs: Sequence[Run], fleet: Fleet, known: Mapping[RunId, AbstractSet[str]], now_s: float
) -> list[Effect]:
    """Return the bundles that can start now, and refusals of tasks that no pilot will ever hold.

    Only tasks of active runs start, but what other runs still hold on a pilot is not free.
    """
    rooms = fleet.refresh(runs, now_s)
    asked = (
        fleet.changes,
        rooms.changes,
        *((run.id, run.state, run.board.made_ready) for run in runs),
    )
    if fleet.settled == asked:
        return []  # nothing has changed since all was done that could be done
    effects = _Placing(runs, fleet, known, now_s).place()
    refused = any(isinstance(effect, RefuseTask) for effect in effects)
    fleet.settled = () if refused else asked
    return effects


class _Head:
    """The next ready task of one shape of one run."""

    __slots__ = ("expected", "number", "rank", "run", "shape", "task", "turns")

    def __init__(self, run: Run, number: int, shape: Shape, overdue_s: float) -> None:
        self.run, self.number, self.shape = run, number, shape
        self.turns = run.board.ready[shape].turns(overdue_s)
        self.expected = run.estimate(shape)
        self.rank: tuple[int, Key] = (1, ())
        self.task: Task | None = None
        self.advance()

    def advance(self) -> None:
        """Go to the next task; `task` is None if there is none."""
        found = next(self.turns, None)
        self.task = None
        if found is not None:
            self.rank = found.rank
            self.task = self.run.tasks[found.task]

    @property
    def is_learnt(self) -> bool:
        """Whether its tasks are known to take less than is declared."""
        return self.expected is not None and self.expected.q90_s < self.shape.needs.walltime_s

    @property
    def key(self) -> tuple[RunId, Shape]:
        """By what its reservation is known."""
        return (self.run.id, self.shape)

    def __lt__(self, other: "_Head") -> bool:
        return (self.rank, self.number) < (other.rank, other.number)


class _Placing:
    """One decision. What it books is taken back at its end: events will say what became of it."""

    def __init__(
        self,
        runs: Sequence[Run],
        fleet: Fleet,
        known: Mapping[RunId, AbstractSet[str]],
        now_s: float,
    ) -> None:
        self.runs, self.fleet, self.known, self.now_s = runs, fleet, known, now_s
        self.rules = fleet.rules
        self.rooms = fleet.rooms
        self.booked: dict[PilotId, list[tuple[float, Resources]]] = {}
        self.blocked: list[_Head] = []
        self.places: dict[Resources, int] = {}
        self.effects: list[Effect] = []

    def place(self) -> list[Effect]:
        """Return what is to be done."""
        self._let_go()
        heads = self._heads()
        heapq.heapify(heads)
        while heads:
            head = heads[0]
            room = self._room(head)
            if room is None:
                self.blocked.append(heapq.heappop(heads))
                continue
            self._start(head, *room)
            if head.task is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, head)
        self.fleet.touched |= self.booked.keys()
        return self.effects

    def _heads(self) -> list[_Head]:
        overdue_s = self.now_s - self.rules.patience_s
        heads: list[_Head] = []
        for number, run in enumerate(self.runs):
            if run.state is not RunState.ACTIVE:
                continue
            for shape, ready in run.board.ready.items():
                if not ready:
                    continue
                head = _Head(run, number, shape, overdue_s)
                is_held = self.rooms.hold(shape.needs)
                if not (is_held and head.is_learnt) and (reason := misfit(shape.needs, self.fleet)):
                    self.effects += [
                        RefuseTask(run=run.id, task=task_id, reason=reason) for _, task_id in ready
                    ]
                elif is_held:
                    heads.append(head)
        return heads

    def _start(self, head: _Head, pilot: PilotId, left_s: float) -> None:
        bundle = self._bundle(head, left_s)
        needs = head.shape.needs
        self.rooms.book(pilot, needs)
        likely = [head.run.estimate(task.shape) for task in bundle]
        expected_s = sum(one.q90_s if one else inf for one in likely)
        self.booked.setdefault(pilot, []).append((self.now_s + expected_s, needs))
        self.effects.append(
            StartBundle(
                run=head.run.id,
                pilot=pilot,
                tasks=tuple((task.id, task.attempt + 1) for task in bundle),
            )
        )

    # ---- what goes together

    def _bundle(self, head: _Head, left_s: float) -> list[Task]:
        """Take the head's task, and those that go with it, and advance the head.

        `left_s` are the seconds that there are for them.
        """
        task = head.task
        assert task is not None
        options, rules = head.run.options, self.rules
        size = self._group_size(head, left_s / rules.kappa) if options.group else 1
        head.advance()
        bundle = [task]
        if options.fuse:
            known = self.known.get(head.run.id, frozenset())
            left_s -= time_needed(head.expected, rules)
            _extend_chain(bundle, head.run, known, left_s / rules.kappa)
        if len(bundle) == 1:
            while len(bundle) < size and head.task is not None:
                bundle.append(head.task)
                head.advance()
        return bundle

    def _group_size(self, head: _Head, left_s: float) -> int:
        """Return how many tasks of the head's shape go together in `left_s` seconds."""
        run, shape = head.run, head.shape
        duration = run.durations.get(run.duration_key(shape.executable))
        if duration is None:
            return 1
        if shape.needs not in self.places:
            self.places[shape.needs] = self.rooms.places(shape.needs)
        places = self.places[shape.needs]
        share = -(-len(run.board.ready[shape]) // places)
        mean_s = max(duration.mean_s, GROUP_S / GROUP_LIMIT)
        group_s = max(places / HOPS, GROUP_S if mean_s < SHORT_S else 0.0)
        least = min(ceil(LEAST_S / mean_s), share)
        size = max(least, min(int(group_s / mean_s), share // SHARE, GROUP_LIMIT))
        if head.expected is not None:
            size = min(size, int(min(left_s / head.expected.q90_s, GROUP_LIMIT)))
        return max(1, size)

    # ---- rooms and reservations

    @contextmanager
    def _without(self, head: _Head) -> Iterator[frozenset[PilotId]]:
        """Leave out the pilots that the task of `head` avoids; yields them."""
        until_s = self.now_s + time_needed(head.expected, self.rules)
        avoided = self.fleet.avoided(head.shape, until_s, self.now_s)
        shown = [pilot for pilot in avoided if self.rooms.shows(pilot)]
        for pilot in shown:
            self.rooms.hide(pilot)
        yield avoided
        for pilot in shown:
            self.rooms.show(pilot)

    def _room(self, head: _Head) -> tuple[PilotId, float] | None:
        """Return where the task of `head` starts now, and the seconds that there are, if any."""
        if not head.shape.avoids:
            return self._search(head, frozenset())
        with self._without(head) as avoided:
            return self._search(head, avoided)

    def _search(self, head: _Head, avoided: AbstractSet[PilotId]) -> tuple[PilotId, float] | None:
        own = self.fleet.reservations.get(head.key)
        needs, until_s = head.shape.needs, self.now_s + time_needed(head.expected, self.rules)
        unknown = head.expected is None
        pilot = own.pilot if own is not None and self._is_free(own, needs, until_s) else None
        if pilot is None:
            pilot = self.rooms.best(needs, until_s, longest=unknown)
            if pilot is not None and self._reserve_blocked():
                pilot = self.rooms.best(needs, until_s, longest=unknown)
        if pilot is not None:
            if own is not None:
                self._release(own)
            return pilot, self._left_s(pilot)
        end_s = self.rules.kappa * head.expected.q90_s if head.expected else inf
        for kept in self.fleet.reservations.values():
            passable = kept is not own and kept.pilot not in avoided
            if passable and self._is_free(kept, needs, until_s):
                slack_s = self._slack_s(kept, needs)
                if end_s <= slack_s:
                    return kept.pilot, min(slack_s, self._left_s(kept.pilot))
        return None

    def _left_s(self, pilot: PilotId) -> float:
        return self.rooms.spot(pilot)[1] - self.now_s

    def _is_free(self, kept: Reservation, needs: Resources, until_s: float) -> bool:
        size, end_s, used = self.rooms.spot(kept.pilot)
        return size.has_free(needs, used) and until_s <= end_s

    def _slack_s(self, kept: Reservation, needs: Resources) -> float:
        """Return for how long `needs` may be used on a pilot before what it is kept for starts.

        That is for ever if there is room for both.
        """
        size, _, used = self.rooms.spot(kept.pilot)
        held = self._held(kept.pilot)
        start_s = earliest(size, used, held, kept.shape.needs)
        beside = Usage(used.cores, used.ram_bytes, used.disk_bytes, used.slots)
        beside.add(needs)
        for other_s, other in held:
            if other_s <= start_s:
                beside.add(other, -1)
        return inf if size.has_free(kept.shape.needs, beside) else start_s - self.now_s

    def _reserve_blocked(self) -> bool:
        """Keep pilots for the tasks that are about to be overtaken; return whether any is."""
        any_kept = False
        for head in self.blocked:
            too_many = len(self.fleet.reservations) * KEPT_SHARE >= len(self.rooms)
            if too_many or head.key in self.fleet.reservations:
                continue
            with self._without(head):
                kept = self._reservation(head)
            if kept is not None:
                self.fleet.reservations[head.key] = kept
                self.rooms.hide(kept.pilot)
                any_kept = True
        self.blocked.clear()
        return any_kept

    def _reservation(self, head: _Head) -> Reservation | None:
        """Return where the task of `head` can start first, once what runs there has ended."""
        assert head.task is not None
        needs, needed_s = head.shape.needs, time_needed(head.expected, self.rules)
        best: tuple[float, PilotId] | None = None
        for pilot in self.rooms.candidates(needs, self.now_s + needed_s, CANDIDATES):
            size, until_s, used = self.rooms.spot(pilot)
            start_s = earliest(size, used, self._held(pilot), needs)
            if start_s + needed_s <= until_s:
                best = min(best or (start_s, pilot), (start_s, pilot))
        if best is None:
            return None
        return Reservation(head.run.id, head.shape, head.task.id, best[1], best[0])

    def _held(self, pilot: PilotId) -> list[tuple[float, Resources]]:
        """Return what runs on a pilot, each with the time when it will probably have ended."""
        held = [
            (max(bundle.expected_s, self.now_s), bundle.needs)
            for run in self.runs
            for number in run.on_pilot.get(pilot, ())
            for bundle in (run.bundles[number],)
        ]
        return held + self.booked.get(pilot, [])

    def _let_go(self) -> None:
        """Give up reservations that help no more."""
        runs = {run.id: run for run in self.runs if run.state is RunState.ACTIVE}
        for kept in list(self.fleet.reservations.values()):
            run = runs.get(kept.run)
            if run is None or not run.board.ready.get(kept.shape) or not self._is_good(kept, run):
                self._release(kept)

    def _is_good(self, kept: Reservation, run: Run) -> bool:
        """Tell whether the pilot that is kept is still there and has time enough."""
        if kept.pilot not in self.rooms:
            return False
        needed_s = time_needed(run.estimate(kept.shape), self.rules)
        return self.now_s + needed_s <= self.rooms.spot(kept.pilot)[1]

    def _release(self, kept: Reservation) -> None:
        del self.fleet.reservations[kept.run, kept.shape]
        self.rooms.show(kept.pilot)


def _extend_chain(bundle: list[Task], run: Run, known: AbstractSet[str], left_s: float) -> None:
    """Append to `bundle` the tasks that wait for it alone, while there is exactly one next.

    What they will probably take together is at most `left_s`.
    """
    awaited: dict[Task, int] = {}
    needs = bundle[0].needs
    while len(bundle) < CHAIN_LIMIT and len(bundle[-1].consumers) <= FAN_LIMIT:
        for consumer in bundle[-1].consumers:
            if isinstance(consumer, Task) and consumer.state is TaskState.WAITING:
                awaited[consumer] = awaited.get(consumer, 0) + 1
        free = [task for task, count in awaited.items() if count == task.missing]
        if len(free) != 1 or not _fits(free[0].needs, needs):
            return
        (task,) = free
        expected = run.estimate(task.shape)
        left_s -= expected.q90_s if expected else 0.0
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
