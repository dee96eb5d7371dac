"""The runner's side of pilots: their journal, what is decided about them, and the supply.

As with runs, an event is on disk before anything is done about it.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import assert_never

from euclid_dask import __version__
from euclid_dask.core.effects import PilotEffect, RequestPilot, RetirePilot
from euclid_dask.core.events import (
    JOURNAL_VERSION,
    FleetOpened,
    HostQuarantined,
    PilotDraining,
    PilotEvent,
    PilotJoined,
    PilotLeft,
    PilotRequested,
    PilotStarting,
    RunEvent,
)
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.seams import Clock, Inbox, PilotSupply
from euclid_dask.planner import Fleet, Provisioning, Run
from euclid_dask.planner.hosts import Hosts
from euclid_dask.runner.journal import Journal, read_pilots

log = logging.getLogger(__name__)


def new_pilot_id(template: str) -> PilotId:
    """Return an id for a pilot of this template that no other pilot has."""
    return PilotId(f"{template}-{token_hex(3)}")


def refusal(joined: PilotJoined) -> str:
    """Return why a pilot is given nothing: its software may not understand ours; "" if it does."""
    if joined.version in {"", __version__}:
        return ""
    return (
        f"on {joined.host or joined.pilot} it has euclid_dask {joined.version}, but the runner "
        f"has {__version__}: install the same version for both"
    )


class PilotDesk:
    """Knows all pilots of a site, and has them come and go as the runs need them."""

    def __init__(
        self,
        path: Path,
        supply: PilotSupply,
        fleet: Fleet,
        clock: Clock,
        new_id: Callable[[str], PilotId] = new_pilot_id,
    ) -> None:
        self.fleet = fleet
        self._supply, self._clock, self._new_id = supply, clock, new_id
        self._provisioning, self._hosts = Provisioning(), Hosts()
        self._todo: list[PilotRequested | PilotDraining] = []
        path.touch()
        for event in read_pilots(path):
            self._apply(event)
        self._journal = Journal.reopen(path)

    def open(self, inbox: Inbox) -> None:
        """Take up the pilots that an earlier runner left, and begin to hear of them."""
        self.record(FleetOpened(at_s=self._clock.now_s(), journal_version=JOURNAL_VERSION))
        self._journal.sync()
        believed = {pilot.id: pilot.job or JobId("") for pilot in self.fleet.pilots.values()}
        self._supply.open(inbox, believed)

    def record(self, event: PilotEvent) -> None:
        """Let an event happen: into the journal's buffer, and into the fleet.

        A pilot that has left and comes all the same is told to end: it has no lease. So is one
        that is refused, which counts as a start that failed if it comes for the first time.
        """
        if isinstance(event, PilotJoined):
            is_gone = event.pilot in self.fleet.left
            reason = "the runner has taken it for gone" if is_gone else refusal(event)
            if reason:
                self._turn_away(event, reason)
                return
        self._journal.append(event)
        verdict = self._apply(event)
        if verdict is not None:
            self.record(verdict)

    def _turn_away(self, event: PilotJoined, reason: str) -> None:
        """Have a pilot end that comes. That its job runs may be news: then its start failed."""
        now_s = self._clock.now_s()  # its own clock may differ
        draining = PilotDraining(at_s=now_s, pilot=event.pilot, reason=reason)
        known = self.fleet.pilots.get(event.pilot)
        if known is None:
            log.warning("pilot %s is told to end: %s", event.pilot, reason)
        else:
            if known.joined_s is None:
                self.record(PilotStarting(at_s=now_s, pilot=event.pilot))
            self.record(draining)
        self._todo.append(draining)

    def _apply(self, event: PilotEvent) -> HostQuarantined | None:
        """Change the fleet by what happened; return what becomes of a host that was tested."""
        self.fleet.apply(event)
        hosts, rules, now_s = self._hosts, self.fleet.rules, self._clock.now_s()
        match event:
            case PilotJoined(host=host) if host and self._is_new(event):
                return hosts.tested(host, "", now_s, rules)
            case PilotLeft(unfit=host) if host:
                return hosts.tested(host, event.reason, now_s, rules)
            case _:
                return None

    def _is_new(self, event: PilotJoined) -> bool:
        """Tell whether a pilot has joined for the first time: it has just tested its host."""
        known = self.fleet.pilots.get(event.pilot)
        return known is not None and known.joined_s == event.at_s

    def learn(self, event: RunEvent, pilot: PilotId | None) -> None:
        """Take into account how an attempt on a pilot ended: its host may be a bad one."""
        if pilot is not None:
            host = self.fleet.hosts.get(pilot, "")
            verdict = self._hosts.learn(event, host, pilot, self.fleet.rules)
            if verdict is not None:
                self.record(verdict)

    def decide(self, runs: Sequence[Run]) -> None:
        """Work out what is to be done about pilots, and write it down."""
        now_s = self._clock.now_s()
        for effect in self._provisioning.decide(runs, self.fleet, now_s):
            event = self._event(effect, now_s)
            self.record(event)
            self._todo.append(event)

    def sync(self) -> None:
        """Return when all that happened is on disk.

        Raises:
            OSError: The disk is full or gone; it may be tried again.
        """
        self._journal.sync()

    def _event(self, effect: PilotEffect, now_s: float) -> PilotRequested | PilotDraining:
        match effect:
            case RequestPilot(template=template):
                return PilotRequested(at_s=now_s, pilot=self._new_id(template), template=template)
            case RetirePilot(pilot=pilot, reason=reason):
                return PilotDraining(at_s=now_s, pilot=pilot, reason=reason)
            case _:
                assert_never(effect)

    def carry_out(self) -> list[PilotDraining]:
        """Do what was decided; return which pilots are to end, as they are to be told."""
        todo, self._todo = self._todo, []
        for event in todo:
            match event:
                case PilotRequested(pilot=pilot, template=template):
                    self._supply.request(pilot, template, self.fleet.bad_nodes(event.at_s))
                case PilotDraining(pilot=pilot, reason=reason):
                    known = self.fleet.pilots.get(pilot)
                    joined = known is not None and known.joined_s is not None
                    self._supply.retire(pilot, reason, joined=joined)
        return [event for event in todo if isinstance(event, PilotDraining)]

    def close(self, *, end_pilots: bool) -> None:
        """Hear of pilots no longer; with `end_pilots` have all of them end."""
        self._supply.close(end_pilots=end_pilots)
        with suppress(OSError):  # what is lost so is found out again
            self._journal.sync()
        self._journal.close()
