"""What follows from how an attempt ended: a second try with more, and hosts to avoid.

It is worked out once, when the end is noted, from the pilots that there are then, and written
down with the end itself. So replaying a journal asks nobody.
"""

from typing import Final

from euclid_dask.core.attempts import FailureKind
from euclid_dask.core.events import RunEvent, TaskErred, TaskLost
from euclid_dask.core.ids import PilotId
from euclid_dask.core.resources import Resources
from euclid_dask.core.values import replace
from euclid_dask.planner.estimates import NO_SAMPLES
from euclid_dask.planner.fitting import largest, nothing_larger
from euclid_dask.planner.fleet import Fleet
from euclid_dask.planner.nodes import Task
from euclid_dask.planner.run import Run

OBSERVED: Final = 1.3
"""A second try gets at least so many times the RAM that the first was seen to use,"""
ASKED: Final = 1.5
"""and so many times what the first had asked for."""
ELAPSED: Final = 2.0
"""A second try gets at least so many times the walltime after which the first was killed."""

_MB: Final = 10**6
_LIMITS: Final = frozenset({FailureKind.MEMORY, FailureKind.WALLTIME})


def judged(event: RunEvent, run: Run, fleet: Fleet) -> RunEvent:
    """Return the end of an attempt with what follows from it; other events as they are."""
    match event:
        case TaskErred() if event.failure.kind in _LIMITS:
            return _second_try(event, run, fleet)
        case TaskErred() if event.failure.kind is FailureKind.SYSTEM:
            host = _blamed(run.tasks[event.task].pilot, fleet)
            return replace(event, host=host, excused=bool(fleet.templates))
        case TaskLost(expired=False):
            return replace(event, host=_blamed(run.tasks[event.task].pilot, fleet))
        case _:
            return event


def _blamed(pilot: PilotId | None, fleet: Fleet) -> str:
    """Return the host of a pilot, if there is another one to go to."""
    host = fleet.hosts.get(pilot, "") if pilot is not None else ""
    return host if any(other.host not in {"", host} for other in fleet.pilots.values()) else ""


def _second_try(event: TaskErred, run: Run, fleet: Fleet) -> TaskErred:
    task = run.tasks[event.task]
    if task.enlargements >= run.options.larger_retries:
        return event
    wish = _wish(event, run, task)
    larger = largest(wish, at_least=task.needs, fleet=fleet)
    if larger != task.needs:
        return replace(event, larger=larger)
    why = f"{event.failure.message}; {nothing_larger(wish, fleet)}"
    return replace(event, final=True, failure=replace(event.failure, message=why))


def _wish(event: TaskErred, run: Run, task: Task) -> Resources:
    """Return what the next attempt is to have, if there is a pilot for it."""
    needs, failure, profile = task.needs, event.failure, event.profile
    if failure.kind is FailureKind.MEMORY:
        observed = failure.used or profile.peak_ram_bytes
        wish = int(max(OBSERVED * observed, ASKED * needs.ram_bytes))
        return replace(needs, ram_bytes=-(-wish // _MB) * _MB)
    others = run.durations.get(run.duration_key(task.node.executable), NO_SAMPLES)
    elapsed_s = max(failure.used, needs.walltime_s)
    return replace(needs, walltime_s=max(ELAPSED * elapsed_s, others.q95_s))
