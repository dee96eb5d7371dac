"""What fits where: whether a task has time on a pilot, and whether any kind of pilot holds it."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, inf
from typing import NamedTuple

from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.rules import Rules
from euclid_dask.planner.estimates import Estimate
from euclid_dask.planner.fleet import Fleet, Pilot
from euclid_dask.planner.rooms import ROUNDING


def time_needed(expected: Estimate | None, rules: Rules) -> float:
    """Return the seconds that a pilot must have left; of what is unknown only the margin."""
    if expected is None:
        return rules.margin_s
    return rules.kappa * expected.q90_s + min(rules.margin_s, expected.q90_s)


def time_offered(template: PilotTemplate, fleet: Fleet) -> float:
    """Return the seconds that a pilot of this template has left when it joins.

    That is what the best one had so far; before the first, its walltime without its start.
    """
    starts = fleet.starts.get(template.name)
    if starts is not None and starts.left_s is not None:
        return starts.left_s
    walltime_s = template.offer.walltime_s
    return walltime_s - template.boot_s if walltime_s else inf


class Shortfall(NamedTuple):
    """What a template has too little of: how much it has and must have, and a task may need."""

    word: str
    unit: str
    has: float
    must: float
    may: float

    def fix(self) -> str:
        """Return how to enlarge the template, in words."""
        return f"{self.word} {_up(self.must)}{self.unit} (now {self.has:g}{self.unit})"

    def limit(self) -> str:
        """Return the most that a task may ask for, in words."""
        return f"{self.word} {_down(self.may)}{self.unit}"


def shortfalls(needs: Resources, template: PilotTemplate, fleet: Fleet) -> Iterator[Shortfall]:
    """Yield what a pilot of this template has too little of for a task of these needs."""
    offer = template.offer
    if needs.cores > offer.cores + ROUNDING:
        yield Shortfall("cores", "", offer.cores, needs.cores, offer.cores)
    if needs.ram_bytes > offer.ram_bytes:
        has = offer.ram_bytes / GB
        yield Shortfall("RAM", " GB", has, needs.ram_bytes / GB, has)
    if offer.disk_bytes and needs.disk_bytes > offer.disk_bytes:
        has = offer.disk_bytes / GB
        yield Shortfall("disk", " GB", has, needs.disk_bytes / GB, has)
    offered_s = time_offered(template, fleet)
    wanted_s = declared_time(needs, fleet.rules)
    if wanted_s > offered_s + ROUNDING:
        lost_s = offer.walltime_s - offered_s
        may_s = max(offered_s - fleet.rules.margin_s, offered_s / 2) / fleet.rules.kappa
        yield Shortfall(
            "walltime",
            " h",
            offer.walltime_s / 3600,
            (wanted_s + lost_s) / 3600,
            max(0.0, may_s) / 3600,
        )


def declared_time(needs: Resources, rules: Rules) -> float:
    """Return the seconds that a pilot must have left for a task of which only that is known."""
    declared_s = needs.walltime_s
    return time_needed(Estimate(declared_s, declared_s, 0) if declared_s else None, rules)


def misfit(needs: Resources, fleet: Fleet) -> str:
    """Return why no pilot that is there or may be requested holds such a task; "" if one does.

    Where there are templates the sentence ends with the smallest change that mends it.
    """
    found = fleet.misfits.get(needs)
    if found is None:
        found = fleet.misfits[needs] = _misfit(needs, fleet)
    return found


def _misfit(needs: Resources, fleet: Fleet) -> str:
    joined = [pilot for pilot in fleet.pilots.values() if pilot.joined_s is not None]
    if any(pilot.size.holds(needs) for pilot in joined):
        return ""
    if not fleet.templates:
        return _larger_than(joined, needs) if joined and fleet.complete else ""
    found = {t.name: [*shortfalls(needs, t, fleet)] for t in fleet.templates.values()}
    if any(t.enabled and not found[t.name] for t in fleet.templates.values()):
        return ""
    return f"needs {amounts(needs)}; no template holds it. {_smallest_fix(found, fleet)}"


def _smallest_fix(found: Mapping[str, Sequence[Shortfall]], fleet: Fleet) -> str:
    """Return the smallest change after which a template holds what `found` says it does not."""
    name, lacks = min(
        found.items(),
        key=lambda item: (len(item[1]), max((s.must / (s.has or 1) for s in item[1]), default=0)),
    )
    fixes = [short.fix() for short in lacks]
    if not fleet.templates[name].enabled:
        fixes.append("max_running 1 (it is off)")
    limits = ", ".join(short.limit() for short in lacks)
    return f"Give {name!r} {', '.join(fixes)}" + (f", or ask for at most {limits}" * bool(limits))


def _larger_than(pilots: Sequence[Pilot], needs: Resources) -> str:
    return (
        f"needs {needs.cores:g} cores and {needs.ram_bytes / GB:g} GB of RAM; the largest pilot "
        f"has {max(p.offer.cores for p in pilots):g} cores and "
        f"{max(p.offer.ram_bytes for p in pilots) / GB:g} GB"
    )


def amounts(needs: Resources) -> str:
    """Return what a task asks for, in words."""
    parts = [f"{needs.cores:g} cores", f"{needs.ram_bytes / GB:g} GB of RAM"]
    if needs.disk_bytes:
        parts.append(f"{needs.disk_bytes / GB:g} GB of disk")
    if needs.walltime_s:
        parts.append(f"{needs.walltime_s / 3600:g} h")
    return ", ".join(parts)


def _up(number: float) -> str:
    return f"{ceil(number * 100 - ROUNDING) / 100:g}"


def _down(number: float) -> str:
    return f"{floor(number * 100 + ROUNDING) / 100:g}"
