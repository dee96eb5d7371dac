"""The pilots that offer places, and how much of each is free."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import assert_never

from euclid_dask.core.events import (
    FleetOpened,
    HostQuarantined,
    PilotAway,
    PilotDraining,
    PilotEvent,
    PilotJoined,
    PilotLeft,
    PilotQueued,
    PilotRequested,
    PilotStarting,
    PilotSubmitted,
)
from euclid_dask.core.ids import JobId, PilotId, RunId, TaskId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import Resources
from euclid_dask.core.states import PILOT_COMING, PilotCue, PilotState, advance_pilot

Attempt = tuple[RunId, TaskId, int]

_ROUNDING = 1e-9


@dataclass(slots=True)
class Usage:
    """What bundles hold on a pilot: cores, bytes of RAM and disk, slots."""

    cores: float = 0.0
    ram_bytes: int = 0
    disk_bytes: int = 0
    slots: int = 0

    def add(self, needs: Resources, sign: int = 1) -> None:
        """Add (or with `sign` -1 take away) one bundle of these needs."""
        self.cores += sign * needs.cores
        self.ram_bytes += sign * needs.ram_bytes
        self.disk_bytes += sign * needs.disk_bytes
        self.slots += sign


@dataclass(frozen=True, slots=True)
class Pilot:
    """A pilot that is not gone: what it offers, and when it ends (None for never).

    Until it has joined, `offer` and `slots` are what its template says. `reason` is why it waits,
    is away or drains. `since_s` is when its state last changed.
    """

    id: PilotId
    offer: Resources
    slots: int
    until_s: float | None = None
    state: PilotState = PilotState.UP
    template: str = ""
    job: JobId | None = None
    host: str = ""
    reason: str = ""
    since_s: float = 0.0
    requested_s: float | None = None
    joined_s: float | None = None
    carrying: frozenset[Attempt] = frozenset()

    def can_hold(self, needs: Resources) -> bool:
        """Tell whether an empty pilot of this size holds a task of these needs."""
        return (
            needs.cores <= self.offer.cores + _ROUNDING
            and needs.ram_bytes <= self.offer.ram_bytes
            and (not self.offer.disk_bytes or needs.disk_bytes <= self.offer.disk_bytes)
        )

    def places(self, needs: Resources) -> int:
        """Return how many tasks of these needs it holds at once when it is empty."""
        if not self.can_hold(needs):
            return 0
        offer, places = self.offer, self.slots
        if needs.cores:
            places = min(places, int(offer.cores / needs.cores + _ROUNDING))
        if needs.ram_bytes:
            places = min(places, offer.ram_bytes // needs.ram_bytes)
        if needs.disk_bytes and offer.disk_bytes:
            places = min(places, offer.disk_bytes // needs.disk_bytes)
        return max(1, places)

    def has_free(self, needs: Resources, used: Usage) -> bool:
        """Tell whether it holds a task of these needs beside what is in use."""
        offer = self.offer
        return (
            used.slots < self.slots
            and used.cores + needs.cores <= offer.cores + _ROUNDING
            and used.ram_bytes + needs.ram_bytes <= offer.ram_bytes
            and (not offer.disk_bytes or used.disk_bytes + needs.disk_bytes <= offer.disk_bytes)
        )


@dataclass(slots=True)
class Starts:
    """How pilots of one template have started: their waits, and failures since the last success.

    `wait_s` is the usual time from the request until a pilot has joined, None before the first;
    `left_s` the longest time that one had left then, inf if it does not end.
    """

    wait_s: float | None = None
    left_s: float | None = None
    failures: int = 0
    failed_s: float = 0.0
    reason: str = ""

    def succeeded(self, wait_s: float, left_s: float) -> None:
        """Take into account that a pilot joined."""
        self.failures = 0
        self.wait_s = wait_s if self.wait_s is None else (self.wait_s + wait_s) / 2
        self.left_s = left_s if self.left_s is None else max(self.left_s, left_s)

    def failed(self, at_s: float, reason: str) -> None:
        """Take into account that a pilot ended before it joined, unasked."""
        self.failures += 1
        self.failed_s, self.reason = at_s, reason


@dataclass(slots=True)
class Fleet:
    """All pilots that are not gone. `complete` says that no larger pilot will ever join.

    `templates` are the kinds of pilots that may be requested; there are none where pilots come on
    their own. `quarantined` hosts get nothing new. `changes` counts changes.
    """

    pilots: dict[PilotId, Pilot] = field(default_factory=dict)
    complete: bool = True
    templates: Mapping[str, PilotTemplate] = field(default_factory=dict)
    quarantined: dict[str, HostQuarantined] = field(default_factory=dict)
    starts: dict[str, Starts] = field(default_factory=dict)
    changes: int = 0
    _places: dict[Resources, int] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def apply(self, event: PilotEvent) -> None:
        """Change by what happened."""
        self._places.clear()
        self.changes += 1
        match event:
            case FleetOpened():
                for pilot in list(self.pilots.values()):
                    self._move(pilot, PilotCue.AWAY, event, "the runner was started again")
            case HostQuarantined(host=host):
                self.quarantined[host] = event
            case PilotRequested(pilot=pilot_id, template=name):
                self._request(pilot_id, name, event.at_s)
            case PilotJoined():
                self._join(event)
            case _:
                if event.pilot in self.pilots:
                    self._change(self.pilots[event.pilot], event)

    def _request(self, pilot_id: PilotId, name: str, at_s: float) -> None:
        template = self.templates.get(name)
        self.pilots[pilot_id] = Pilot(
            id=pilot_id,
            offer=template.offer if template else Resources(cores=0, ram_bytes=0),
            slots=template.slots if template else 0,
            state=PilotState.REQUESTED,
            template=name,
            since_s=at_s,
            requested_s=at_s,
        )

    def _join(self, event: PilotJoined) -> None:
        now = Pilot(event.pilot, event.offer, event.slots)
        before = self.pilots.get(event.pilot, now)
        if before.requested_s is not None and before.joined_s is None:
            left_s = inf if event.until_s is None else event.until_s - event.at_s
            self._starts(before).succeeded(event.at_s - before.requested_s, left_s)
        self.pilots[event.pilot] = replace(
            before,
            offer=event.offer,
            slots=event.slots,
            until_s=event.until_s,
            state=advance_pilot(before.state, PilotCue.JOIN),
            template=event.template or before.template,
            host=event.host or before.host,
            reason=before.reason if before.state is PilotState.DRAINING else "",
            since_s=event.at_s,
            joined_s=event.at_s if before.joined_s is None else before.joined_s,
            carrying=frozenset(event.carrying),
        )

    def _change(
        self,
        pilot: Pilot,
        event: PilotSubmitted | PilotQueued | PilotStarting | PilotAway | PilotDraining | PilotLeft,
    ) -> None:
        match event:
            case PilotSubmitted(job=job):
                self.pilots[pilot.id] = replace(pilot, job=job)
            case PilotQueued(reason=reason):
                self._move(pilot, PilotCue.QUEUE, event, reason)
            case PilotStarting(host=host):
                self._move(replace(pilot, host=host or pilot.host), PilotCue.START, event)
            case PilotAway(reason=reason):
                self._move(pilot, PilotCue.AWAY, event, reason)
            case PilotDraining(reason=reason):
                self._move(pilot, PilotCue.DRAIN, event, reason)
            case PilotLeft(reason=reason):
                del self.pilots[pilot.id]
                if pilot.state in PILOT_COMING:
                    self._starts(pilot).failed(event.at_s, reason)
            case _:
                assert_never(event)

    def _move(self, pilot: Pilot, cue: PilotCue, event: PilotEvent, reason: str = "") -> None:
        after = advance_pilot(pilot.state, cue)
        if after is not pilot.state:
            pilot = replace(pilot, state=after, reason=reason, since_s=event.at_s)
        elif cue is PilotCue.QUEUE and after is PilotState.QUEUED:
            pilot = replace(pilot, reason=reason)
        self.pilots[pilot.id] = pilot

    def _starts(self, pilot: Pilot) -> Starts:
        return self.starts.setdefault(pilot.template, Starts())

    def takes_work(self, pilot: Pilot, now_s: float) -> bool:
        """Tell whether anything new may go to `pilot`."""
        if pilot.state is not PilotState.UP:
            return False
        bad = self.quarantined.get(pilot.host)
        return bad is None or bad.until_s <= now_s

    def places(self, needs: Resources) -> int:
        """Return how many tasks of these needs the pilots hold at once when they are empty."""
        found = self._places.get(needs)
        if found is None:
            found = sum(pilot.places(needs) for pilot in self.pilots.values())
            self._places[needs] = found
        return found

    def largest(self) -> Resources:
        """Return the largest cores and RAM that any one pilot offers."""
        offers = [pilot.offer for pilot in self.pilots.values()]
        return Resources(
            cores=max((o.cores for o in offers), default=0.0),
            ram_bytes=max((o.ram_bytes for o in offers), default=0),
        )


def total(usages: Iterable[Usage]) -> Usage:
    """Return the sum of several usages of one pilot."""
    result = Usage()
    for usage in usages:
        result.cores += usage.cores
        result.ram_bytes += usage.ram_bytes
        result.disk_bytes += usage.disk_bytes
        result.slots += usage.slots
    return result
