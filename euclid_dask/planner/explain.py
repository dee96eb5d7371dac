"""Why a task does not run: the reasons of the policy itself, asked of the same rooms.

Of a task that does not wait, `standing` says how it came to its state.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from euclid_dask.core.ids import RunId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.states import PILOT_COMING, PilotState, RunState, TaskState
from euclid_dask.planner.estimates import Estimate
from euclid_dask.planner.fitting import (
    amounts,
    misfit,
    shortfalls,
    time_expected,
    time_needed,
)
from euclid_dask.planner.fleet import Fleet, Pilot
from euclid_dask.planner.nodes import Split, Task
from euclid_dask.planner.provisioning import paused_until, rate_left, spare
from euclid_dask.planner.ready import Shape
from euclid_dask.planner.rooms import ROUNDING, Usage, total
from euclid_dask.planner.run import Run

NAMES_LIMIT = 3
"""How many tasks or pilots a sentence names."""


class Why(StrEnum):
    """Kinds of reasons why a task does not run."""

    RUN = "run"
    """Its run starts nothing any more."""
    INPUT = "input"
    """What makes an input has not ended."""
    MISFIT = "misfit"
    """No pilot that is there or may be requested holds it."""
    NO_PILOT = "no pilot"
    """No pilot is there that would hold it."""
    CORES = "cores"
    """Pilots that would hold it have too few free cores."""
    RAM = "RAM"
    """They have too little free RAM."""
    DISK = "disk"
    """They have too little free disk."""
    SLOTS = "slots"
    """They run as many bundles as they may."""
    TIME = "time"
    """They end too early."""
    RESERVED = "reserved"
    """They are kept for another task."""
    AVOIDED = "avoided"
    """They are on a host where it was lost before, and others are not."""
    QUARANTINED = "quarantined"
    """They are on a host that takes nothing new."""
    NOT_UP = "not up"
    """They drain, or cannot be reached."""
    QUEUED = "queued"
    """They have been requested and have not joined yet."""
    OFF = "off"
    """The template that would hold it is off."""
    PAUSED = "paused"
    """The template that would hold it is paused, since its pilots do not start."""
    LATE = "late"
    """Pilots of the template that would hold it came so late that they had too little time left."""
    CAP = "cap"
    """There are as many pilots as there may be, of the template that would hold it or of all."""
    RATE = "rate"
    """As many pilots were requested just now as may be at once; more are in a few seconds."""
    LITTLE_USE = "little use"
    """What waits would use so little of one more pilot that it is not worth one."""
    SOON = "soon"
    """It can start; the next turn of the runner starts it."""
    STATE = "state"
    """It does not wait: it is on a pilot, or has ended."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a task does not run: a kind for machines and a sentence for people."""

    why: Why
    text: str


def explain(run: Run, task: Task, runs: Sequence[Run], fleet: Fleet, now_s: float) -> list[Reason]:
    """Return why a waiting or ready task does not run; nothing for tasks in other states.

    `runs` are all that share the fleet.
    """
    if task.state not in {TaskState.WAITING, TaskState.READY}:
        return []
    if run.state is not RunState.ACTIVE:
        return [Reason(Why.RUN, f"the run is {run.state}: nothing starts any more")]
    if task.state is TaskState.WAITING:
        makers = [_standing(maker) for maker in task.producers() if not maker.is_finished]
        return [Reason(Why.INPUT, f"waits for {_some(makers)}")]
    if text := misfit(task.needs, fleet):
        return [Reason(Why.MISFIT, text)]
    return _Question(run, task, runs, fleet, now_s).reasons()


def standing(run: Run, task: Task, now_s: float) -> Reason:
    """Return how a task that does not wait came to its state."""
    match task.state:
        case TaskState.RUNNING:
            text = f"runs on {task.pilot} for {_time(now_s - task.started_s)}"
        case TaskState.ORDERED:
            text = f"was given to {task.pilot}, and has not been seen to start"
        case TaskState.SKIPPED:
            text = "an earlier run made the same outputs from the same inputs"
        case TaskState.OMITTED:
            text = "was left out of the run by --until, --from or --skip"
        case TaskState.BLOCKED:
            text = f"needs what {_cause(run, task.blocked_by)}"
        case TaskState.CANCELLED:
            text = "was cancelled" + (f": {run.cancel_reason}" if run.cancel_reason else "")
        case _:
            done = f"attempt {task.attempt} succeeded"
            text = done if task.state is TaskState.DONE else _message(task)
    return Reason(Why.STATE, text)


def _cause(run: Run, name: str) -> str:
    """Return what was to make an input, and why it does not."""
    if name in run.tasks:
        return f"{name} would make: {_message(run.tasks[name])}"
    split = run.splits[name]
    failed = (task for task in run.failed.values() if task.id.startswith(f"{name}.iterations."))
    why = split.failure or next(map(_message, failed), "")
    return f"{name} would join" + (f": {why}" if why else "")


def _message(task: Task) -> str:
    return "it failed" if task.failure is None else task.failure.message


def _standing(maker: Task | Split) -> str:
    return f"{maker.id} ({maker.state})"


class _Question:
    """Why a ready task has no place."""

    def __init__(
        self, run: Run, task: Task, runs: Sequence[Run], fleet: Fleet, now_s: float
    ) -> None:
        self.runs, self.fleet, self.now_s = runs, fleet, now_s
        self.key: tuple[RunId, Shape] = (run.id, task.shape)
        self.needs: Resources = task.needs
        self.expected: Estimate | None = run.estimate(self.key[1])

    def reasons(self) -> list[Reason]:
        """Return the reasons of all pilots, then of the templates that would hold the task."""
        pilots = self.fleet.pilots.values()
        holding = [pilot for pilot in pilots if pilot.size.holds(self.needs)]
        found = [*self._of_pilots([p for p in holding if p.state not in PILOT_COMING])]
        if any(reason.why is Why.SOON for reason in found):
            return [reason for reason in found if reason.why is Why.SOON]
        found += self._of_coming([p for p in holding if p.state in PILOT_COMING])
        if not holding:
            found.append(
                Reason(Why.NO_PILOT, f"no pilot is there that holds {amounts(self.needs)}")
            )
        for template in self.fleet.templates.values():
            if not [*shortfalls(self.needs, template, self.fleet.rules)]:
                found += self._of_template(template)
        return [*found, *self._of_limits()]

    def _of_pilots(self, pilots: Sequence[Pilot]) -> Iterator[Reason]:
        found: dict[Why, list[str]] = {}
        for pilot in pilots:
            why, text = self._of_pilot(pilot)
            found.setdefault(why, []).append(f"{pilot.id} {text}")
        for why, texts in found.items():
            yield Reason(why, _some(texts))

    def _of_pilot(self, pilot: Pilot) -> tuple[Why, str]:
        """Return why one pilot that would hold the task does not take it."""
        if pilot.state is not PilotState.UP:
            return Why.NOT_UP, f"is {pilot.state}: {pilot.reason}"
        if not self.fleet.takes_work(pilot, self.now_s):
            bad = self.fleet.quarantined[pilot.host]
            return Why.QUARANTINED, f"is on {bad.host}, which is quarantined: {bad.reason}"
        needed_s = time_needed(self.expected, self.fleet.rules)
        if pilot.id in self.fleet.avoided(self.key[1], self.now_s + needed_s, self.now_s):
            return Why.AVOIDED, f"is on {pilot.host}, where an attempt before was lost"
        left_s = None if pilot.until_s is None else pilot.until_s - self.now_s
        if left_s is not None and left_s < needed_s:
            return Why.TIME, f"ends in {_time(left_s)}, the task needs {_time(needed_s)}"
        used = total(run.usage[pilot.id] for run in self.runs if pilot.id in run.usage)
        return self._lack(pilot, used) or self._kept(pilot)

    def _kept(self, pilot: Pilot) -> tuple[Why, str]:
        for kept in self.fleet.reservations.values():
            if kept.pilot == pilot.id and (kept.run, kept.shape) != self.key:
                begin_s = max(0.0, kept.start_s - self.now_s)
                return Why.RESERVED, f"is kept for {kept.task}, to start in {_time(begin_s)}"
        return Why.SOON, "has room: it starts there in the next turn"

    def _lack(self, pilot: Pilot, used: Usage) -> tuple[Why, str] | None:
        needs, size = self.needs, pilot.size
        if used.slots >= size.slots:
            return Why.SLOTS, f"runs {used.slots} bundles, as many as it may"
        free = size.cores - used.cores
        if needs.cores > free + ROUNDING:
            return Why.CORES, f"has {max(0.0, round(free, 6)):g} free cores of {size.cores:g}"
        free_ram = size.ram_bytes - used.ram_bytes
        if needs.ram_bytes > free_ram:
            has = f"{size.ram_bytes / GB:g}"
            return Why.RAM, f"has {free_ram / GB:g} GB of RAM free of {has}"
        free_disk = size.disk_bytes - used.disk_bytes
        if size.disk_bytes and needs.disk_bytes > free_disk:
            has = f"{size.disk_bytes / GB:g}"
            return Why.DISK, f"has {free_disk / GB:g} GB of disk free of {has}"
        return None

    def _of_coming(self, pilots: Sequence[Pilot]) -> Iterator[Reason]:
        if pilots:
            texts = [
                f"{pilot.id} is {pilot.state} for {_time(self.now_s - pilot.since_s)}"
                + (f" ({pilot.reason})" if pilot.reason else "")
                for pilot in pilots
            ]
            yield Reason(Why.QUEUED, _some(texts))

    def _of_template(self, template: PilotTemplate) -> Iterator[Reason]:
        """Yield why no more pilots of a template that would hold the task are requested."""
        name = template.name
        if not template.enabled:
            yield Reason(Why.OFF, f"template {name!r} is off (its max_running is 0)")
            return
        until_s = paused_until(template, self.fleet)
        if until_s > self.now_s:
            starts = self.fleet.starts[name]
            text = f"template {name!r} is paused for {_time(until_s - self.now_s)}"
            text += f": {starts.failures} pilots did not start, the last one said: {starts.reason}"
            yield Reason(Why.PAUSED, text)
        needed_s = time_needed(self.expected, self.fleet.rules)
        left_s = time_expected(template, self.fleet)
        came = self.fleet.starts.get(name)
        if came is not None and self.now_s < came.again_s and left_s + ROUNDING < needed_s:
            text = f"pilots of template {name!r} had {_time(left_s)} left when they joined"
            text += f", the task needs {_time(needed_s)}"
            again = _time(came.again_s - self.now_s)
            yield Reason(Why.LATE, f"{text}; another one is tried in {again}")
        if (share := self.fleet.little_used.get(name)) is not None:
            least = f"{self.fleet.rules.min_use:.0%}"
            text = f"what waits would use {share:.0%} of one more pilot of template {name!r}"
            yield Reason(Why.LITTLE_USE, f"{text}, and one is requested for {least} or more")
        states = Counter(p.state for p in self.fleet.pilots.values() if p.template == name)
        waiting = states[PilotState.REQUESTED] + states[PilotState.QUEUED]
        if states.total() >= template.max_running:
            text = f"template {name!r} has all of its {template.max_running} pilots"
            yield Reason(Why.CAP, f"{text} (max_running)")
        elif waiting >= template.max_queued:
            yield Reason(Why.CAP, f"template {name!r} has {waiting} pilots queued (max_queued)")

    def _of_limits(self) -> Iterator[Reason]:
        """Yield why no more pilots of any kind are requested."""
        rules, (more, more_queued) = self.fleet.rules, spare(self.fleet)
        if more <= 0:
            text = f"no more than {rules.max_running} pilots may be there (limits.max_running)"
            yield Reason(Why.CAP, text)
        elif more_queued <= 0:
            text = f"no more than {rules.max_queued} pilots may be queued (limits.max_queued)"
            yield Reason(Why.CAP, text)
        elif self.fleet.templates and rate_left(self.fleet, self.now_s) <= 0:
            text = f"no more than {rules.requests} pilots are requested within {rules.every_s:g} s"
            yield Reason(Why.RATE, text)


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - NAMES_LIMIT
    return ", ".join(texts[:NAMES_LIMIT]) + (f" and {more} more" if more > 0 else "")


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
