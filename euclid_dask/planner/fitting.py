"""What fits where: whether a task has time on a pilot, and whether any kind of pilot holds it."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, inf
from typing import NamedTuple

from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.rules import Rules
from euclid_dask.core.values import replace
from euclid_dask.planner.estimates import Estimate
from euclid_dask.planner.fleet import Fleet, Pilot
from euclid_dask.planner.rooms import ROUNDING


def time_needed(expected: Estimate | None, rules: Rules) -> float:
    """Return the seconds that a pilot must have left; of what is unknown only the margin."""
    if expected is None:
        return rules.margin_s
    return rules.kappa * expected.q90_s + min(rules.margin_s, expected.q90_s)


def time_expected(template: PilotTemplate, fleet: Fleet) -> float:
    """Return the seconds that the next pilot of this template probably has left when it joins.

    That is what those had that came, before the first what it is to have.
    """
    starts = fleet.starts.get(template.name)
    return template.left_s if starts is None or starts.left_s is None else starts.left_s


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


def shortfalls(needs: Resources, template: PilotTemplate, rules: Rules) -> Iterator[Shortfall]:
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
    offered_s = template.left_s
    wanted_s = declared_time(needs, rules)
    if wanted_s > offered_s + ROUNDING:
        lost_s = offer.walltime_s - offered_s
        yield Shortfall(
            "walltime",
            " h",
            offer.walltime_s / 3600,
            (wanted_s + lost_s) / 3600,
            _longest(offered_s, rules) / 3600,
        )


def _longest(offered_s: float, rules: Rules) -> float:
    """Return the most walltime that a task may ask for on a pilot with so many seconds left."""
    return max(0.0, offered_s - rules.margin_s, offered_s / 2) / rules.kappa


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


def largest(wish: Resources, *, at_least: Resources, fleet: Fleet) -> Resources:
    """Return `wish` with as much of its RAM and walltime as some pilot can give it.

    That is never less than `at_least`. As much as pilots had that came late is preferred to what
    their template holds. Where pilots come on their own, their ends say nothing of those that may
    follow.
    """
    others = replace(wish, ram_bytes=0)
    ram, rules = [float(at_least.ram_bytes)], fleet.rules
    seen, walltime = [0.0], [at_least.walltime_s] if fleet.templates else [inf]
    for template in (one for one in fleet.templates.values() if one.enabled):
        if not [*shortfalls(others, template, rules)]:
            ram.append(template.offer.ram_bytes)
        if not [*shortfalls(replace(wish, walltime_s=0), template, rules)]:
            seen_s = time_expected(template, fleet)
            late_s = rules.margin_s if seen_s < template.left_s else 0.0  # some come later still
            seen.append(_longest(min(template.left_s, seen_s) - late_s, rules))
            walltime.append(_longest(template.left_s, rules))
    if max(seen) > at_least.walltime_s:
        walltime = seen
    joined = [pilot for pilot in fleet.pilots.values() if pilot.joined_s is not None]
    ram += [pilot.offer.ram_bytes for pilot in joined if pilot.size.holds(others)]
    if not fleet.templates and not (joined and fleet.complete):
        ram.append(inf)
    return replace(
        wish,
        ram_bytes=int(min(wish.ram_bytes, max(ram))),
        walltime_s=min(wish.walltime_s, max(walltime)),
    )


def nothing_larger(wish: Resources, fleet: Fleet) -> str:
    """Return why a task does not get what it needs for a second try, and the smallest fix."""
    if fleet.templates:
        found = {t.name: [*shortfalls(wish, t, fleet.rules)] for t in fleet.templates.values()}
        name, fixes, _ = _smallest_fix(found, fleet)
        return (
            f"a second try would need {amounts(wish)}, and no template holds that. "
            f"Give {name!r} {', '.join(fixes)}"
        )
    ram = max((pilot.offer.ram_bytes for pilot in fleet.pilots.values()), default=0)
    return (
        f"a second try would need {amounts(wish)}, and the largest pilot has {ram / GB:g} GB "
        "of RAM. Have a larger one"
    )


def _misfit(needs: Resources, fleet: Fleet) -> str:
    joined = [pilot for pilot in fleet.pilots.values() if pilot.joined_s is not None]
    if any(pilot.size.holds(needs) and _has_time(pilot, needs, fleet) for pilot in joined):
        return ""
    if not fleet.templates:
        return _larger_than(joined, needs) if joined and fleet.complete else ""
    found = {t.name: [*shortfalls(needs, t, fleet.rules)] for t in fleet.templates.values()}
    if any(t.enabled and not found[t.name] for t in fleet.templates.values()):
        return ""
    name, fixes, limits = _smallest_fix(found, fleet)
    or_less = f", or ask for at most {', '.join(limits)}" if limits else ""
    return (
        f"needs {amounts(needs)}; no template holds it. Give {name!r} {', '.join(fixes)}{or_less}"
    )


def _has_time(pilot: Pilot, needs: Resources, fleet: Fleet) -> bool:
    """Tell whether a pilot had time for such a task when it joined; others like it may come."""
    if not fleet.templates or pilot.until_s is None or pilot.joined_s is None:
        return True
    return declared_time(needs, fleet.rules) <= pilot.until_s - pilot.joined_s


def _smallest_fix(
    found: Mapping[str, Sequence[Shortfall]], fleet: Fleet
) -> tuple[str, list[str], list[str]]:
    """Return the smallest change after which a template holds what `found` says it does not.

    It is the template's name, what it needs more of, and what a task may ask for instead.
    """
    name, lacks = min(
        found.items(),
        key=lambda item: (len(item[1]), max((s.must / (s.has or 1) for s in item[1]), default=0)),
    )
    fixes = [short.fix() for short in lacks]
    if not fleet.templates[name].enabled:
        fixes.append("max_running 1 (it is off)")
    return name, fixes, [short.limit() for short in lacks]


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
