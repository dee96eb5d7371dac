"""What is told of pilots: a line for people, a row for each for programs."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from euclid_dask.core.states import PilotState
from euclid_dask.planner import Fleet
from euclid_dask.planner.provisioning import paused_until
from euclid_dask.report.words import printable

MOST_REASONS: Final = 3
_ORDER: Final = (
    PilotState.UP,
    PilotState.AWAY,
    PilotState.DRAINING,
    PilotState.STARTING,
    PilotState.QUEUED,
    PilotState.REQUESTED,
)
_WITH_REASONS: Final = frozenset({PilotState.AWAY, PilotState.QUEUED})


def pilots_text(fleet: Fleet, now_s: float) -> str:
    """Return how the pilots stand, in one line; "" where pilots are not asked for."""
    parts = [*_states(fleet), *_paused(fleet, now_s), *_quarantined(fleet, now_s)]
    if not parts and fleet.templates:
        parts = ["none yet"]
    return f"pilots: {', '.join(parts)}" if parts else ""


def pilots_rows(fleet: Fleet) -> list[dict[str, Any]]:
    """Return the pilots that were asked for and are not gone, as `--json` prints them."""
    return [
        {
            "pilot": pilot.id,
            "template": pilot.template,
            "state": str(pilot.state),
            "reason": pilot.reason,
            "job": pilot.job,
            "host": pilot.host,
            "until_s": pilot.until_s,
        }
        for pilot in fleet.pilots.values()
        if pilot.template
    ]


def _states(fleet: Fleet) -> Iterator[str]:
    pilots = [pilot for pilot in fleet.pilots.values() if pilot.template]
    for state in _ORDER:
        there = [pilot for pilot in pilots if pilot.state is state]
        if there:
            told = state in _WITH_REASONS
            reasons = Counter(pilot.reason for pilot in there if told and pilot.reason)
            some = ", ".join(printable(reason) for reason, _ in reasons.most_common(MOST_REASONS))
            yield f"{len(there):,} {state}" + (f" ({some})" if some else "")


def _quarantined(fleet: Fleet, now_s: float) -> Iterator[str]:
    for bad in fleet.quarantined.values():
        if bad.until_s > now_s:
            yield f"nothing more on host {bad.host} for now: {printable(bad.reason)}"


def _paused(fleet: Fleet, now_s: float) -> Iterator[str]:
    for template in fleet.templates.values():
        if paused_until(template, fleet) > now_s:
            starts = fleet.starts[template.name]
            yield (
                f"no more '{template.name}' for now, since {starts.failures} did not start: "
                f"{printable(starts.reason)}"
            )
