"""The pilots: what each offers, where it stands, and what is free on those that take work."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, assert_never

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
from euclid_dask.core.rules import Rules
from euclid_dask.core.states import PILOT_COMING, PilotCue, PilotState, advance_pilot
from euclid_dask.planner.ready import Shape
from euclid_dask.planner.rooms import ROUNDING, Reservation, Rooms, Size, total

if TYPE_CHECKING:
    from euclid_dask.planner.run import Run

Attempt = tuple[RunId, TaskId, int]


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

    @property
    def size(self) -> Size:
        """What it holds when it is empty."""
        return Size.of(self.offer, self.slots)


@dataclass(slots=True)
class Starts:
    """How pilots of one template have started: their waits, and failures since the last success.

    `wait_s` is the usual time from the request until a pilot has joined, None before the first;
    `left_s` the longest time that one had left then, inf if it does not end; the more came later
    since, the less it counts. If the last one came late, no pilot is tried until `again_s` for
    what needs more. That is after `pause_s`, which doubles with each that was tried in vain.
    """

    wait_s: float | None = None
    left_s: float | None = None
    pause_s: float = 0.0
    again_s: float = -inf
    failures: int = 0
    failed_s: float = 0.0
    reason: str = ""

    def succeeded(self, wait_s: float, left_s: float) -> None:
        """Take into account that a pilot joined."""
        self.failures = 0
        self.wait_s = wait_s if self.wait_s is None else (self.wait_s + wait_s) / 2
        before_s = left_s if self.left_s is None else self.left_s
        self.left_s = max(left_s, (before_s + left_s) / 2)

    def was_late(self, at_s: float, requested_s: float, pause_s: float) -> None:
        """Take into account that the pilot that joined has less time left than it was to have."""
        if not self.pause_s:
            self.pause_s = pause_s
        elif requested_s >= self.again_s:
            self.pause_s *= 2
        self.again_s = at_s + self.pause_s

    def try_again(self) -> None:
        """Let nothing be paused because pilots came late."""
        self.pause_s, self.again_s = 0.0, -inf

    def failed(self, at_s: float, reason: str) -> None:
        """Take into account that a pilot ended before it joined, unasked."""
        self.failures += 1
        self.failed_s, self.reason = at_s, reason


@dataclass(slots=True)
class Fleet:
    """All pilots that are not gone. `complete` says that no larger pilot will ever join.

    `templates` are the kinds of pilots that may be requested; there are none where pilots come on
    their own. `quarantined` hosts get nothing new. `hosts` are those of all pilots, also of those
    that are gone; `nodes` are what the batch system calls them. A runner is there since `opened_s`.
    Pilots that were requested and have `left` never join again. `requests` are when the last ones
    were requested. `changes` counts changes.

    The rest is memory that placing keeps: `touched` are pilots whose `rooms` are to be looked at
    again, `idle_since` tells since when pilots had nothing to do, `reservations` which are kept,
    `misfits` why needs fit no pilot, `settled` what was asked when nothing could be done,
    `little_used` what share of one more pilot of a template would be used, if that is too little.
    """

    pilots: dict[PilotId, Pilot] = field(default_factory=dict)
    complete: bool = True
    templates: Mapping[str, PilotTemplate] = field(default_factory=dict)
    quarantined: dict[str, HostQuarantined] = field(default_factory=dict)
    hosts: dict[PilotId, str] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    opened_s: float = -inf
    left: set[PilotId] = field(default_factory=set)
    starts: dict[str, Starts] = field(default_factory=dict)
    requests: deque[float] = field(default_factory=deque)
    rules: Rules = field(default_factory=Rules)
    changes: int = 0
    touched: set[PilotId] = field(default_factory=set)
    rooms: Rooms = field(default_factory=Rooms)
    idle_since: dict[PilotId, float] = field(default_factory=dict)
    reservations: dict[tuple[RunId, Shape], Reservation] = field(default_factory=dict)
    misfits: dict[Resources, str] = field(default_factory=dict)
    little_used: dict[str, float] = field(default_factory=dict)
    settled: tuple[object, ...] = ()

    def apply(self, event: PilotEvent) -> None:
        """Change by what happened."""
        self.changes += 1
        self.misfits.clear()
        match event:
            case FleetOpened():
                self._open(event)
            case HostQuarantined(host=host):
                self.quarantined[host] = event
                self._touch_host(host)
            case PilotRequested(pilot=pilot_id, template=name):
                self._request(pilot_id, name, event.at_s)
            case PilotJoined():
                if event.pilot not in self.left:
                    self._join(event)
            case _:
                if event.pilot in self.pilots:
                    self._change(self.pilots[event.pilot], event)

    def _open(self, event: FleetOpened) -> None:
        self.opened_s = event.at_s
        for starts in self.starts.values():
            starts.try_again()  # the templates may be others now
            starts.failures = 0  # what kept pilots from starting may be mended
        for pilot in list(self.pilots.values()):
            self._move(pilot, PilotCue.AWAY, event, "the runner was started again")

    def _request(self, pilot_id: PilotId, name: str, at_s: float) -> None:
        while self.requests and self.requests[0] <= at_s - self.rules.every_s:
            self.requests.popleft()
        self.requests.append(at_s)
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
            self._learn(before, event.at_s, before.requested_s, left_s)
        self.touched.add(event.pilot)
        if before.joined_s is None:
            self._call(event.host, before.host)
        self.hosts[event.pilot] = event.host or before.host
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

    def _learn(self, pilot: Pilot, at_s: float, requested_s: float, left_s: float) -> None:
        """Learn from a pilot that joins for the first time."""
        starts, template = self._starts(pilot), self.templates.get(pilot.template)
        starts.succeeded(at_s - requested_s, left_s)
        if template is None or left_s >= template.left_s - ROUNDING:
            starts.try_again()
        else:
            pause_s = min(self.rules.pause_s, template.offer.walltime_s or inf)
            starts.was_late(at_s, requested_s, pause_s)

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
            case PilotStarting():
                self._start(pilot, event)
            case PilotAway(reason=reason):
                self._move(pilot, PilotCue.AWAY, event, reason)
            case PilotDraining(reason=reason):
                if pilot.state is PilotState.STARTING:
                    self._starts(pilot).failed(event.at_s, reason)
                self._move(pilot, PilotCue.DRAIN, event, reason)
            case PilotLeft():
                self._leave(pilot, event)
            case _:
                assert_never(event)

    def _start(self, pilot: Pilot, event: PilotStarting) -> None:
        if pilot.joined_s is not None:
            self._call(pilot.host, event.host)
            return
        host = event.host or pilot.host
        self.hosts[pilot.id] = host
        self._move(replace(pilot, host=host), PilotCue.START, event)

    def _leave(self, pilot: Pilot, event: PilotLeft) -> None:
        self.touched.add(pilot.id)
        del self.pilots[pilot.id]
        if pilot.requested_s is not None:
            self.left.add(pilot.id)
        if pilot.joined_s is None:
            self._call(event.unfit, pilot.host)
        if pilot.state in PILOT_COMING:
            self._starts(pilot).failed(event.at_s, event.reason)

    def _move(self, pilot: Pilot, cue: PilotCue, event: PilotEvent, reason: str = "") -> None:
        after = advance_pilot(pilot.state, cue)
        if after is not pilot.state:
            self.touched.add(pilot.id)
            pilot = replace(pilot, state=after, reason=reason, since_s=event.at_s)
        elif cue is PilotCue.QUEUE and after is PilotState.QUEUED:
            pilot = replace(pilot, reason=reason)
        self.pilots[pilot.id] = pilot

    def _call(self, host: str, node: str) -> None:
        """Learn what the batch system calls a host."""
        if host and node:
            self.nodes[host] = node

    def _starts(self, pilot: Pilot) -> Starts:
        return self.starts.setdefault(pilot.template, Starts())

    def takes_work(self, pilot: Pilot, now_s: float) -> bool:
        """Tell whether anything new may go to `pilot`."""
        if pilot.state is not PilotState.UP:
            return False
        bad = self.quarantined.get(pilot.host)
        return bad is None or bad.until_s <= now_s

    def bad_nodes(self, now_s: float) -> tuple[str, ...]:
        """Return the hosts that are quarantined, as the batch system calls them."""
        bad = {host for host, one in self.quarantined.items() if one.until_s > now_s}
        return tuple(sorted({self.nodes[host] for host in bad if host in self.nodes}))

    def avoided(self, shape: Shape, until_s: float, now_s: float) -> frozenset[PilotId]:
        """Return the pilots on hosts that tasks of `shape` avoid, if another one will do.

        That is one which holds such a task and does not end before `until_s`, busy or not.
        """
        on_hosts = {p.id for p in self.pilots.values() if p.host in shape.avoids}
        is_another = any(
            pilot.id not in on_hosts
            and self.takes_work(pilot, now_s)
            and pilot.size.holds(shape.needs)
            and (pilot.until_s is None or pilot.until_s >= until_s)
            for pilot in self.pilots.values()
        )
        return frozenset(on_hosts if is_another else ())

    def refresh(self, runs: "Sequence[Run]", now_s: float) -> Rooms:
        """Bring the rooms up to date with what `runs` hold, and return them."""
        for run in runs:
            self.touched |= run.touched
            run.touched.clear()
        for host in [host for host, bad in self.quarantined.items() if bad.until_s <= now_s]:
            self._touch_host(host)
            del self.quarantined[host]
        for pilot_id in self.touched:
            pilot = self.pilots.get(pilot_id)
            if pilot is None or not self.takes_work(pilot, now_s):
                self.rooms.drop(pilot_id)
                self.idle_since.pop(pilot_id, None)
                continue
            used = total(run.usage[pilot_id] for run in runs if pilot_id in run.usage)
            self.rooms.put(pilot, used)
            if used.slots:
                self.idle_since.pop(pilot_id, None)
            else:
                self.idle_since.setdefault(pilot_id, now_s)
        self.touched.clear()
        return self.rooms

    def _touch_host(self, host: str) -> None:
        self.touched |= {pilot.id for pilot in self.pilots.values() if pilot.host == host}
