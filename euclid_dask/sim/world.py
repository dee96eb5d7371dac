"""The world in which simulated attempts run: pilots, what runs on them, what was left behind.

Rule 1: a world outlives its runner. When a runner crashes, attempts go on and leave receipts;
the next runner finds or kills them (`core.seams.Traces`). Rule 2: a world refuses what must never
happen: an overbooked pilot, two living attempts of one task, an attempt started twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from euclid_dask.core.attempts import Failure, FailureKind, Order, Place, Profile, Receipt
from euclid_dask.core.events import PilotAway, PilotJoined, PilotLeft
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import (
    AttemptEnded,
    AttemptsLost,
    AttemptsReturned,
    AttemptStarted,
    BundleOrder,
    Inbox,
    News,
)
from euclid_dask.core.values import replace
from euclid_dask.sim.agenda import Action, Agenda
from euclid_dask.sim.files import Files, ListsOnly
from euclid_dask.sim.workload import Behaviour

Key = tuple[RunId, TaskId, int]

_ROUNDING: Final = 1e-6


class WorldError(AssertionError):
    """Something happened that must never happen."""


class Started(NamedTuple):
    """A line of the world's log: an attempt was started. `at_s` is virtual time."""

    at_s: float
    run: RunId
    task: TaskId
    attempt: int
    executable: str
    pilot: PilotId
    cores: float


@dataclass(slots=True, eq=False)
class _Carried:
    """A bundle on a pilot; `position` is that of the attempt that runs."""

    bundle: BundleOrder
    position: int = -1
    started_s: float = 0.0
    alive: bool = True
    cancelled: set[tuple[TaskId, int]] = field(default_factory=set)

    @property
    def run(self) -> RunId:
        return self.bundle.place.run

    @property
    def order(self) -> Order:
        return self.bundle.orders[self.position]

    def key(self) -> Key:
        return (self.run, self.order.task, self.order.attempt)

    def behind(self) -> tuple[tuple[TaskId, int], ...]:
        """Return the attempts that have not been started."""
        return tuple((o.task, o.attempt) for o in self.bundle.orders[self.position + 1 :])


@dataclass(slots=True, eq=False)
class _Pilot:
    """A pilot; `held` is the news of it while it is away, `when_idle` is done when it drains."""

    joined: PilotJoined
    carried: dict[_Carried, None] = field(default_factory=dict)
    held: list[News] | None = None
    when_idle: Action | None = None


class World:
    """Pilots and attempts in virtual time. `log` and `receipts` survive any runner.

    `hop_s` is the time between an order and the start of its first attempt. `files` says what of
    the outputs is really written.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        agenda: Agenda | None = None,
        files: Files | None = None,
        hop_s: float = 0.0,
    ) -> None:
        self.agenda = agenda or Agenda()
        self.log: list[Started] = []
        self.ended_s: dict[Key, float] = {}
        self.receipts: dict[Key, Receipt] = {}
        self._behaviour = behaviour
        self._files: Files = files or ListsOnly()
        self._hop_s = hop_s
        self._pilots: dict[PilotId, _Pilot] = {}
        self._started: set[Key] = set()
        self._running: dict[tuple[RunId, TaskId], _Carried] = {}
        self._inbox: Inbox | None = None

    # ---- pilots

    def add_pilot(
        self,
        name: str,
        offer: Resources,
        *,
        slots: int | None = None,
        after_s: float = 0.0,
        until_s: float | None = None,
    ) -> None:
        """Have a pilot join `after_s` seconds from now, and leave at the time `until_s`."""
        joined = PilotJoined(
            pilot=PilotId(name),
            offer=offer,
            slots=slots if slots is not None else max(1, int(4 * offer.cores)),
            until_s=until_s,
            at_s=0.0,
        )
        if after_s > 0:
            self.agenda.at(self.agenda.now_s() + after_s, partial(self.join, joined))
        else:
            self.join(joined)
        if until_s is not None:
            leave = partial(self.remove_pilot, name, "its time is over", expired=True)
            self.agenda.at(until_s, leave)

    def remove_pilot(self, name: str, reason: str = "it died", *, expired: bool = False) -> None:
        """Have a pilot die, with all that runs on it; or leave, if its time has `expired`."""
        pilot = self._pilots.pop(PilotId(name), None)
        if pilot is None:
            return
        for news in pilot.held or ():
            self._tell(news)
        self._tell(PilotLeft(pilot=pilot.joined.pilot, reason=reason, at_s=self.agenda.now_s()))
        for carried in list(pilot.carried):
            if expired and carried.position >= 0:
                failure = Failure(kind=FailureKind.EXPIRED, message=reason)
                self._end(carried, carried.position, failure)
            else:
                self._lose(carried, reason)

    def drain_pilot(self, name: str, then: Action) -> None:
        """Do `then` when nothing runs on a pilot any more."""
        pilot = self._pilots[PilotId(name)]
        pilot.when_idle = then
        if not pilot.carried:
            then()

    def send_away(self, name: str, for_s: float) -> None:
        """Have a pilot be unreachable for so long; what runs there goes on."""
        pilot = self._pilots[PilotId(name)]
        self._tell(PilotAway(pilot=pilot.joined.pilot, reason="gone", at_s=self.agenda.now_s()))
        pilot.held = []
        self.agenda.at(self.agenda.now_s() + for_s, partial(self._come_back, pilot))

    def _come_back(self, pilot: _Pilot) -> None:
        if pilot.held is None or pilot.joined.pilot not in self._pilots:
            return
        held, pilot.held = pilot.held, None
        for news in held:
            self._tell(news)
        carrying = tuple(one.key() for one in pilot.carried if one.position >= 0)
        self._tell(replace(pilot.joined, at_s=self.agenda.now_s(), carrying=carrying))

    def join(self, joined: PilotJoined) -> None:
        """Have a pilot join now."""
        joined = replace(joined, at_s=self.agenda.now_s())
        self._pilots[joined.pilot] = _Pilot(joined)
        self._tell(joined)

    # ---- the runner that is there now, if any

    def connect(self, inbox: Inbox) -> None:
        """Tell news to `inbox` from now on, first of all which pilots are up."""
        self._inbox = inbox
        for pilot in self._pilots.values():
            inbox.put(replace(pilot.joined, at_s=self.agenda.now_s()))

    def disconnect(self) -> None:
        """Tell nobody any more, as when the runner has crashed; what runs goes on."""
        self._inbox = None

    def close(self) -> None:
        """End all that runs, as lost."""
        for pilot in self._pilots.values():
            for carried in list(pilot.carried):
                self._lose(carried, "the executor was closed")
        self.disconnect()

    def carry(self, bundle: BundleOrder) -> None:
        """Take a bundle to its pilot."""
        pilot = self._pilots.get(bundle.pilot)
        carried = _Carried(bundle)
        if pilot is None:
            self._lose(carried, f"there is no pilot {bundle.pilot!r}")
            return
        pilot.carried[carried] = None
        self._check_booking(pilot)
        self.agenda.at(self.agenda.now_s() + self._hop_s, partial(self._go_on, carried))

    def cancel(
        self, run: RunId, attempts: Sequence[tuple[TaskId, int]], *, only_waiting: bool = False
    ) -> None:
        """Kill attempts on request, or only keep them from starting."""
        wanted = set(attempts)
        if only_waiting:
            wanted -= {(task, n) for owner, task, n in self._started if owner == run}
        for pilot in self._pilots.values():
            for carried in list(pilot.carried):
                if carried.run == run:
                    carried.cancelled |= wanted.intersection(
                        (order.task, order.attempt) for order in carried.bundle.orders
                    )
                    if carried.position >= 0 and carried.key()[1:] in carried.cancelled:
                        self._end(carried, carried.position, _CANCELLED)

    # ---- core.seams.Traces

    def was_started(self, place: Place, task: TaskId, attempt: int) -> bool:
        """Tell whether the attempt was started."""
        return (place.run, task, attempt) in self._started

    def receipt(self, place: Place, task: TaskId, attempt: int) -> Receipt | None:
        """Return how the attempt ended, None if it left no receipt."""
        return self.receipts.get((place.run, task, attempt))

    def kill(
        self, run: RunId, task: TaskId | None = None, attempt: int | None = None
    ) -> Sequence[int]:
        """Kill the bundles of a run, or the one with this attempt, without a receipt."""
        for pilot in self._pilots.values():
            for carried in list(pilot.carried):
                if carried.run != run:
                    continue
                if task is None or (task, attempt) in {
                    (order.task, order.attempt) for order in carried.bundle.orders
                }:
                    self._remove(carried)
        return []

    # ---- the life of a bundle

    def _go_on(self, carried: _Carried) -> None:
        """Start the next attempt of a bundle, or end it."""
        if not carried.alive:
            return
        carried.position += 1
        if carried.position == len(carried.bundle.orders):
            self._remove(carried)
            return
        order, key, now_s = carried.order, carried.key(), self.agenda.now_s()
        if key in self._started:
            raise WorldError(f"{key} was started twice")
        if key[:2] in self._running:
            raise WorldError(f"{key} was started while another attempt was alive")
        if (order.task, order.attempt) in carried.cancelled:
            self._end(carried, carried.position, _CANCELLED)
            return
        carried.started_s = now_s
        self._started.add(key)
        self._running[key[:2]] = carried
        self.log.append(
            Started(now_s, *key, order.executable, carried.bundle.pilot, order.needs.cores)
        )
        run, task, attempt = key
        started = AttemptStarted(run=run, task=task, attempt=attempt, host="sim", at_s=now_s)
        self._report(carried, started)
        missing = self._files.missing(carried.bundle.place, order)
        outcome = self._behaviour(run, order)
        if missing:
            failure = Failure(kind=FailureKind.INPUT, message=f"there is no {missing}")
            outcome = replace(outcome, failure=failure, duration_s=0.0)
        self.agenda.at(
            now_s + outcome.duration_s,
            partial(self._end, carried, carried.position, outcome.failure, outcome.lists),
        )

    def _end(
        self,
        carried: _Carried,
        position: int,
        failure: Failure | None,
        lists: dict[str, tuple[object, ...]] | None = None,
    ) -> None:
        """End the running attempt of a bundle, unless it ended before."""
        if not carried.alive or carried.position != position:
            return
        if failure is not None and failure.kind is FailureKind.LOST:
            self._lose(carried, failure.message)
            return
        order, key, now_s = carried.order, carried.key(), self.agenda.now_s()
        self._stop(carried)
        outputs = (
            self._files.write(carried.bundle.place, order, lists or {}) if failure is None else {}
        )
        receipt = Receipt(
            task=order.task,
            attempt=order.attempt,
            outputs=outputs,
            failure=failure,
            profile=Profile(wall_s=now_s - carried.started_s),
            host="sim",
            started_s=carried.started_s,
            ended_s=now_s,
        )
        self.receipts[key] = receipt
        self._report(carried, AttemptEnded(run=carried.run, receipt=receipt))
        if failure is None:
            self._go_on(carried)
        else:
            self._give_back(carried)

    def _give_back(self, carried: _Carried) -> None:
        """Return the attempts behind the one that failed, the cancelled ones as cancelled."""
        behind = carried.behind()
        self._remove(carried)
        for task, attempt in behind:
            if (task, attempt) in carried.cancelled:
                receipt = Receipt(task=task, attempt=attempt, failure=_CANCELLED)
                self.receipts[carried.run, task, attempt] = receipt
                self._report(carried, AttemptEnded(run=carried.run, receipt=receipt))
        rest = tuple(one for one in behind if one not in carried.cancelled)
        if rest:
            self._report(carried, AttemptsReturned(run=carried.run, attempts=rest))

    def _lose(self, carried: _Carried, reason: str) -> None:
        """End a bundle without receipts."""
        attempts = carried.behind()
        if carried.position >= 0:
            attempts = ((carried.order.task, carried.order.attempt), *attempts)
        self._remove(carried)
        self._report(carried, AttemptsLost(run=carried.run, attempts=attempts, reason=reason))

    def _stop(self, carried: _Carried) -> None:
        """Have the running attempt run no longer."""
        if self._running.pop((carried.run, carried.order.task), None) is not None:
            self.ended_s[carried.key()] = self.agenda.now_s()

    def _remove(self, carried: _Carried) -> None:
        """Take a bundle off its pilot."""
        if 0 <= carried.position < len(carried.bundle.orders):
            self._stop(carried)
        carried.alive = False
        pilot = self._pilots.get(carried.bundle.pilot)
        if pilot is not None:
            pilot.carried.pop(carried, None)
            if not pilot.carried and pilot.when_idle is not None:
                self.agenda.at(self.agenda.now_s(), pilot.when_idle)

    def _check_booking(self, pilot: _Pilot) -> None:
        needs = [_largest(carried.bundle) for carried in pilot.carried]
        offer = pilot.joined.offer
        if (
            len(needs) > pilot.joined.slots
            or sum(n.cores for n in needs) > offer.cores + _ROUNDING
            or sum(n.ram_bytes for n in needs) > offer.ram_bytes
            or (offer.disk_bytes and sum(n.disk_bytes for n in needs) > offer.disk_bytes)
        ):
            raise WorldError(f"pilot {pilot.joined.pilot!r} is overbooked")

    def _report(self, carried: _Carried, news: News) -> None:
        """Tell news of a bundle, once its pilot can be reached."""
        pilot = self._pilots.get(carried.bundle.pilot)
        if pilot is not None and pilot.held is not None:
            pilot.held.append(news)
        else:
            self._tell(news)

    def _tell(self, news: News) -> None:
        if self._inbox is not None:
            self._inbox.put(news)


_CANCELLED: Final = Failure(kind=FailureKind.CANCELLED, message="it was cancelled")


def _largest(bundle: BundleOrder) -> Resources:
    needs = [order.needs for order in bundle.orders]
    return Resources(
        cores=max(n.cores for n in needs),
        ram_bytes=max(n.ram_bytes for n in needs),
        disk_bytes=max(n.disk_bytes for n in needs),
    )
