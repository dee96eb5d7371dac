"""Provisioning: which pilots to ask for, and which are not needed any more.

What waits and fits nowhere is offered, by the search that places tasks too, first to the pilots
that are coming and then to imagined ones of each template. Imagined pilots that get load are
requested; coming ones that get none are cancelled, after a while. (Source: the automatic
allocation of HyperQueue.) What the pilots at hand will have done before a new one could help is
not offered.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple

from euclid_dask.core.effects import PilotEffect, RequestPilot, RetirePilot
from euclid_dask.core.ids import PilotId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import Resources
from euclid_dask.core.states import PilotState, RunState, TaskState
from euclid_dask.planner.estimates import Estimate
from euclid_dask.planner.fitting import time_expected, time_needed
from euclid_dask.planner.fleet import Fleet, Pilot
from euclid_dask.planner.nodes import Task
from euclid_dask.planner.ready import Shape
from euclid_dask.planner.rooms import ROUNDING, Rooms, Size, Usage
from euclid_dask.planner.run import Bundle, Run

LEAST_S: Final = 1.0
"""The least time between two looks, however much changes."""
FAN_LIMIT: Final = 100
"""Of a running task with more consumers than this it is not worked out what it makes ready."""


@dataclass(slots=True)
class _Want:
    """Tasks of one shape that wait; `is_stuck` if no pilot that is there or comes can run them."""

    needs: Resources
    expected: Estimate | None
    needed_s: float
    count: int
    is_stuck: bool = True


class _Imagined(NamedTuple):
    """A pilot that is not up: its `until_s` counts from when it will have joined."""

    id: PilotId
    size: Size
    until_s: float


@dataclass(slots=True)
class _Load:
    """What an imagined pilot would get."""

    used: Usage = field(default_factory=Usage)
    is_vital: bool = False


class Provisioning:
    """Answers with effects; remembers when it looked last, and since when what was not right."""

    def __init__(self) -> None:
        self._looked_s = -inf
        self._changes = -1
        self._needless: dict[PilotId, float] = {}
        self._denied_s = inf

    def decide(self, runs: Sequence[Run], fleet: Fleet, now_s: float) -> list[PilotEffect]:
        """Return what is to be done about pilots now; most of the time nothing is looked at."""
        changed = fleet.changes != self._changes
        if now_s < self._looked_s + (LEAST_S if changed else fleet.rules.every_s):
            return []
        self._looked_s, self._changes = now_s, fleet.changes
        if not fleet.templates:
            return []
        fleet.refresh(runs, now_s)
        active = [run for run in runs if run.state is RunState.ACTIVE]
        wants = _wants(active, fleet, now_s)
        effects = [*_unfit(fleet, now_s), *_unreached(fleet, now_s), *_idle(fleet, wants, now_s)]
        _absorb(wants, fleet, runs, now_s)
        foresight = _Foresight(fleet, now_s)
        effects += self._needless_ones(fleet, wants, foresight, now_s)
        effects += self._requested(fleet, wants, foresight, now_s)
        if not effects:
            effects += self._in_the_way(fleet, wants, now_s)
        return effects

    def _needless_ones(
        self, fleet: Fleet, wants: Sequence[_Want], foresight: "_Foresight", now_s: float
    ) -> Iterator[PilotEffect]:
        """Offer what waits to the pilots that are coming; yield the ends of those left over."""
        needless: dict[PilotId, float] = {}
        for state in (PilotState.STARTING, PilotState.QUEUED, PilotState.REQUESTED):
            coming = [pilot for pilot in fleet.pilots.values() if pilot.state is state]
            loads = _offer(wants, [foresight.of(pilot) for pilot in coming])
            if state is PilotState.STARTING:
                continue
            for pilot in coming:
                if pilot.id not in loads:
                    needless[pilot.id] = self._needless.get(pilot.id, now_s)
        self._needless = needless
        for pilot_id, since_s in needless.items():
            if now_s >= since_s + fleet.rules.hysteresis_s:
                yield RetirePilot(pilot=pilot_id, reason="nothing waits for it any more")

    def _requested(
        self, fleet: Fleet, wants: Sequence[_Want], foresight: "_Foresight", now_s: float
    ) -> Iterator[PilotEffect]:
        """Offer what is left to imagined pilots; yield requests for those that get enough."""
        left = int(max(0, min(rate_left(fleet, now_s), *spare(fleet))))
        imagined: list[_Imagined] = []
        templates: dict[PilotId, PilotTemplate] = {}
        for template in fleet.templates.values():
            for number in range(min(left, requestable(template, fleet, now_s))):
                pilot = PilotId(f"{template.name}#{number}")
                size = Size.of(template.offer, template.slots)
                imagined.append(_Imagined(pilot, size, foresight.left_s(template)))
                templates[pilot] = template
        loads = _offer(wants, imagined)
        fleet.little_used.clear()
        for pilot in sorted(loads, key=lambda one: not loads[one].is_vital):
            load, template = loads[pilot], templates[pilot]
            share = _use(load.used, template.offer)
            if share < fleet.rules.min_use and not load.is_vital:
                fleet.little_used[template.name] = share
            elif left:
                left -= 1
                yield RequestPilot(template=template.name)

    def _in_the_way(
        self, fleet: Fleet, wants: Sequence[_Want], now_s: float
    ) -> Iterator[PilotEffect]:
        """Yield the end of a pilot where there may be no more, and none will do for what waits.

        The smallest idle one goes, or the smallest of those that have been there for as long as
        the one that is needed takes to come. If that does not help, so does the next one.
        """
        helping = [t for t in fleet.templates.values() if _is_denied(t, fleet, wants, now_s)]
        if not helping or spare(fleet)[0] > 0:
            self._denied_s = inf
            return
        self._denied_s = min(self._denied_s, now_s)
        turn_s = max(fleet.rules.hysteresis_s, *(expected_wait(t, fleet) for t in helping))
        mine = [pilot for pilot in fleet.pilots.values() if pilot.template]
        in_the_way = [
            (pilot.id not in fleet.idle_since, pilot.size, pilot.id)
            for pilot in mine
            if pilot.state is PilotState.UP
            and (pilot.id in fleet.idle_since or now_s >= (pilot.joined_s or 0.0) + turn_s)
        ]
        is_leaving = any(pilot.state is PilotState.DRAINING for pilot in mine)
        is_time = now_s >= self._denied_s + fleet.rules.hysteresis_s
        if in_the_way and is_time and not is_leaving:
            reason = (
                f"no more than {fleet.rules.max_running} may be there; none does for what waits"
            )
            yield RetirePilot(pilot=min(in_the_way)[-1], reason=reason)


def spare(fleet: Fleet) -> tuple[float, float]:
    """Return how many more pilots of all kinds there may be, and how many more in the queue."""
    rules = fleet.rules
    mine = [pilot for pilot in fleet.pilots.values() if pilot.template]
    waiting = sum(p.state in {PilotState.REQUESTED, PilotState.QUEUED} for p in mine)
    return (rules.max_running or inf) - len(mine), (rules.max_queued or inf) - waiting


def rate_left(fleet: Fleet, now_s: float) -> int:
    """Return how many pilots more may be requested now, as so many were just before."""
    rules = fleet.rules
    return rules.requests - sum(at_s > now_s - rules.every_s for at_s in fleet.requests)


def requestable(template: PilotTemplate, fleet: Fleet, now_s: float) -> int:
    """Return how many more pilots of this template may be requested now."""
    mine = [pilot for pilot in fleet.pilots.values() if pilot.template == template.name]
    waiting = sum(p.state in {PilotState.REQUESTED, PilotState.QUEUED} for p in mine)
    allowed = min(template.max_running - len(mine), template.max_queued - waiting)
    starts = fleet.starts.get(template.name)
    if starts is not None and starts.failures >= fleet.rules.max_failures:
        allowed = 0 if paused_until(template, fleet) > now_s else min(allowed, 1 - waiting)
    return max(0, allowed)


def paused_until(template: PilotTemplate, fleet: Fleet) -> float:
    """Return until when a template is paused because its pilots do not start; -inf if it is not."""
    starts = fleet.starts.get(template.name)
    if starts is None or starts.failures < fleet.rules.max_failures:
        return -inf
    return starts.failed_s + fleet.rules.pause_s


def expected_wait(template: PilotTemplate, fleet: Fleet) -> float:
    """Return the seconds from a request until a pilot of this template has probably joined."""
    starts = fleet.starts.get(template.name)
    wait_s = None if starts is None else starts.wait_s
    return template.boot_s if wait_s is None else wait_s


# ---- what waits


def _wants(runs: Sequence[Run], fleet: Fleet, now_s: float) -> list[_Want]:
    """Return what is ready and what will be when a new pilot could help, the largest first."""
    horizon_s = _horizon(fleet)
    wants: list[_Want] = []
    for run in runs:
        counts = Counter({shape: len(queue) for shape, queue in run.board.ready.items()})
        counts.update(_soon(run, fleet, now_s, horizon_s))
        for shape, count in counts.items():
            if count:
                expected = run.estimate(shape)
                needed_s = time_needed(expected, fleet.rules)
                wants.append(_Want(shape.needs, expected, needed_s, count))
    wants.sort(key=lambda want: (want.needs.cores, want.needs.ram_bytes), reverse=True)
    return wants


def _horizon(fleet: Fleet) -> float:
    return min(
        (expected_wait(t, fleet) for t in fleet.templates.values() if t.enabled), default=0.0
    )


def _soon(run: Run, fleet: Fleet, now_s: float, horizon_s: float) -> Iterator[Shape]:
    """Yield the shapes of tasks that become ready within `horizon_s`.

    A task that can follow one of its makers in the place that this one leaves is left out.
    """
    awaited: Counter[Task] = Counter()
    for bundle in run.bundles.values():
        if bundle.expected_s > now_s + horizon_s:
            continue
        leaves_place = True
        for task_id in bundle.remaining:
            consumers = run.tasks[task_id].consumers
            for task in consumers if len(consumers) <= FAN_LIMIT else ():
                if not isinstance(task, Task) or task.state is not TaskState.WAITING:
                    continue
                awaited[task] += 1
                if awaited[task] == task.missing:
                    shape = task.shape
                    if leaves_place and _follows(run, shape, bundle, fleet, now_s):
                        leaves_place = False
                    else:
                        yield shape


def _follows(run: Run, shape: Shape, bundle: Bundle, fleet: Fleet, now_s: float) -> bool:
    """Tell whether a task of `shape` can run in the place of `bundle` after it."""
    pilot = fleet.pilots.get(bundle.pilot)
    needs, room = shape.needs, bundle.needs
    if (
        pilot is None
        or not fleet.takes_work(pilot, now_s)
        or needs.cores > room.cores
        or needs.ram_bytes > room.ram_bytes
        or needs.disk_bytes > room.disk_bytes
    ):
        return False
    begin_s = max(bundle.expected_s, now_s)
    needed_s = time_needed(run.estimate(shape), fleet.rules)
    return pilot.until_s is None or begin_s + needed_s <= pilot.until_s


def _absorb(wants: Sequence[_Want], fleet: Fleet, runs: Sequence[Run], now_s: float) -> None:
    """Take away what the pilots at hand have room for, or will have done before others join."""
    rooms, horizon_s = fleet.refresh(runs, now_s), _horizon(fleet)
    core_s = rooms.cores * horizon_s
    for want in wants:
        until_s = now_s + horizon_s + want.needed_s
        places = rooms.places(want.needs, until_s)
        want.is_stuck = not places
        while want.count:
            pilot = rooms.best(want.needs, now_s + want.needed_s)
            if pilot is None:
                break
            rooms.book(pilot, want.needs)
            fleet.touched.add(pilot)
            want.count -= 1
        if want.expected is None or not want.count:
            continue
        done = int(places * horizon_s / want.expected.q50_s)
        if want.needs.cores:
            done = min(done, int(core_s / (want.expected.q50_s * want.needs.cores)))
        done = min(done, want.count)
        want.count -= done
        core_s -= done * want.expected.q50_s * want.needs.cores


# ---- what is offered


class _Foresight:
    """How much time pilots will have left when they join: probably as much as others had.

    If those came late a while ago, one of the template, and no more, is tried for what needs more.
    """

    def __init__(self, fleet: Fleet, now_s: float) -> None:
        self._fleet = fleet
        self._tried = {name for name, starts in fleet.starts.items() if now_s >= starts.again_s}

    def of(self, pilot: Pilot) -> _Imagined:
        """Return a pilot that is coming as it will be."""
        template = self._fleet.templates.get(pilot.template)
        return _Imagined(pilot.id, pilot.size, self.left_s(template) if template else 0.0)

    def left_s(self, template: PilotTemplate) -> float:
        """Return the time that one more pilot of this template will have left."""
        left_s = time_expected(template, self._fleet)
        if template.name in self._tried:
            self._tried.remove(template.name)
            left_s = max(left_s, template.left_s)
        return left_s + ROUNDING


def _offer(wants: Sequence[_Want], pilots: Sequence[_Imagined]) -> dict[PilotId, _Load]:
    """Place as much as possible of `wants` on imagined pilots; return what each would get."""
    rooms = Rooms()
    for pilot in pilots:
        rooms.put(pilot, Usage())
    loads: dict[PilotId, _Load] = {}
    for want in wants:
        while want.count:
            found = rooms.best(want.needs, want.needed_s)
            if found is None:
                break
            rooms.book(found, want.needs)
            load = loads.setdefault(found, _Load())
            load.used.add(want.needs)
            load.is_vital = load.is_vital or want.is_stuck
            want.is_stuck = False
            want.count -= 1
    return loads


def _use(used: Usage, offer: Resources) -> float:
    """Return the larger one of the shares of cores and RAM that are in use."""
    return max(used.cores / (offer.cores or inf), used.ram_bytes / (offer.ram_bytes or inf))


# ---- what is not needed


def _unfit(fleet: Fleet, now_s: float) -> Iterator[PilotEffect]:
    """Yield retirements of pilots on hosts that are quarantined."""
    for pilot in fleet.pilots.values():
        if pilot.state is PilotState.UP and not fleet.takes_work(pilot, now_s):
            bad = fleet.quarantined[pilot.host]
            yield RetirePilot(pilot=pilot.id, reason=f"{bad.host} is quarantined: {bad.reason}")


def _unreached(fleet: Fleet, now_s: float) -> Iterator[PilotEffect]:
    """Yield retirements of pilots whose jobs run, but which do not find their way to the runner."""
    for pilot in fleet.pilots.values():
        template = fleet.templates.get(pilot.template)
        if pilot.state is not PilotState.STARTING or template is None:
            continue
        waited_s = now_s - max(pilot.since_s, fleet.opened_s)
        if waited_s >= template.boot_s + fleet.rules.join_s:
            reason = (
                f"its job ran on {pilot.host or 'a node'} for {waited_s / 60:.0f} min and did not "
                "reach the runner; `euclid-dask site check` tries the network"
            )
            yield RetirePilot(pilot=pilot.id, reason=reason)


def _idle(fleet: Fleet, wants: Sequence[_Want], now_s: float) -> Iterator[PilotEffect]:
    """Yield retirements of pilots with nothing to do, or with too little time for what waits.

    Where it is for pilots in the queue that something waits, idle ones may be in their way.
    """
    rules = fleet.rules
    is_queued = any(pilot.state is PilotState.QUEUED for pilot in fleet.pilots.values())
    for pilot_id, since_s in fleet.idle_since.items():
        pilot = fleet.pilots[pilot_id]
        if not pilot.template:
            continue  # nobody asked for it
        left_s = inf if pilot.until_s is None else pilot.until_s - now_s
        fitting = [want for want in wants if pilot.size.holds(want.needs)]
        if fitting and all(want.needed_s > left_s for want in fitting):
            limit_s, reason = rules.hysteresis_s, "it has too little time left for what waits"
        elif wants and not fitting and is_queued:
            limit_s, reason = rules.hysteresis_s, "what waits is too large for it"
        else:
            limit_s, reason = rules.idle_s, f"it had nothing to do for {rules.idle_s:g} s"
        if now_s >= since_s + min(limit_s, rules.idle_s):
            yield RetirePilot(pilot=pilot_id, reason=reason)


def _is_denied(template: PilotTemplate, fleet: Fleet, wants: Sequence[_Want], now_s: float) -> bool:
    """Tell whether something waits that could run on a pilot of `template`, and nowhere else."""
    size, left_s = Size.of(template.offer, template.slots), time_expected(template, fleet)
    return requestable(template, fleet, now_s) > 0 and any(
        want.count
        and want.is_stuck
        and size.holds(want.needs)
        and want.needed_s <= left_s + ROUNDING
        for want in wants
    )
