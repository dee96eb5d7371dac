"""A simulated batch system: pilots are queued, start, live for their walltime, and may be lost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

from euclid_dask.core.events import (
    PilotEvent,
    PilotJoined,
    PilotLeft,
    PilotQueued,
    PilotStarting,
    PilotSubmitted,
)
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.rules import Rules
from euclid_dask.core.seams import Inbox
from euclid_dask.planner import Fleet
from euclid_dask.runner.pilots import PilotDesk
from euclid_dask.sim.workload import random_of
from euclid_dask.sim.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """How a simulated batch system treats a pilot, by chance that depends on its number alone.

    `wait_s` draws the time in the queue. `lost_s` is the mean life of a pilot before it dies,
    None for never. `failing` is the share of pilots that end instead of joining.
    """

    wait_s: Callable[[Random], float] = lambda _: 0.0
    lost_s: float | None = None
    failing: float = 0.0
    seed: int = 0


class SimulatedSupply:
    """Brings pilots into a world. `alive` is how many of each template live, queued ones too.

    `highest` is the most that ever did.
    """

    def __init__(
        self, world: World, templates: Mapping[str, PilotTemplate], queue: Queue | None = None
    ) -> None:
        self.highest: dict[str, int] = {}
        self.requested = 0
        self.templates = templates
        self._world, self._queue = world, queue or Queue()
        self._numbers = count(1)
        self._alive: dict[PilotId, str] = {}
        self._joined: set[PilotId] = set()
        self._inbox: Inbox | None = None

    def new_id(self, template: str) -> PilotId:
        """Return an id for a pilot: its number follows its template."""
        return PilotId(f"{template}-{next(self._numbers):06x}")

    def alive(self, template: str) -> int:
        """Return how many pilots of a template live."""
        return sum(name == template for name in self._alive.values())

    def open(self, inbox: Inbox, believed: Mapping[PilotId, JobId]) -> None:
        """Begin to report; pilots that are believed to live and do not have left."""
        self._inbox = inbox
        for pilot in believed:
            if pilot not in self._alive:
                self._tell(PilotLeft(pilot=pilot, reason="there is no such job", at_s=self._now()))

    def request(self, pilot: PilotId, template: str, avoid: Sequence[str] = ()) -> None:
        """Queue a job."""
        self.requested += 1
        self._alive[pilot] = template
        self.highest[template] = max(self.highest.get(template, 0), self.alive(template))
        self._tell(PilotSubmitted(pilot=pilot, job=JobId(f"j{self.requested}"), at_s=self._now()))
        self._tell(PilotQueued(pilot=pilot, reason="Priority", at_s=self._now()))
        draw = random_of(self._queue.seed, "pilot", self.requested)
        wait_s = self._queue.wait_s(draw)
        self._world.agenda.at(self._now() + wait_s, partial(self._start, pilot, draw))

    def retire(self, pilot: PilotId, reason: str, *, joined: bool) -> None:
        """Cancel a pilot, or have it leave when nothing runs there."""
        if pilot in self._joined:
            self._world.drain_pilot(pilot, partial(self._end, pilot, "it was drained"))
        else:
            self._end(pilot, "it was cancelled")

    def close(self, *, end_pilots: bool) -> None:
        """Report no longer."""
        if end_pilots:
            for pilot in list(self._alive):
                self._end(pilot, "the runner was closed")
        self._inbox = None

    def _start(self, pilot: PilotId, draw: Random) -> None:
        if pilot not in self._alive:
            return
        host = f"n{draw.randrange(100)}"
        self._tell(PilotStarting(pilot=pilot, host=host, at_s=self._now()))
        template = self.templates[self._alive[pilot]]
        until_s = self._now() + template.offer.walltime_s if template.offer.walltime_s else None
        then = partial(self._join, pilot, host, until_s, draw)
        if draw.random() < self._queue.failing:
            then = partial(self._end, pilot, "it could not write to its scratch")
        self._world.agenda.at(self._now() + template.boot_s, then)

    def _join(self, pilot: PilotId, host: str, until_s: float | None, draw: Random) -> None:
        if pilot not in self._alive:
            return
        template = self.templates[self._alive[pilot]]
        self._joined.add(pilot)
        if until_s is not None:
            end = partial(self._end, pilot, "its walltime is over", expired=True)
            self._world.agenda.at(until_s, end)
        self._world.join(
            PilotJoined(
                pilot=pilot,
                offer=template.offer,
                slots=template.slots,
                until_s=until_s,
                template=template.name,
                host=host,
                at_s=0.0,
            )
        )
        if self._queue.lost_s is not None:
            lost_s = self._now() + draw.expovariate(1 / self._queue.lost_s)
            self._world.agenda.at(lost_s, partial(self._end, pilot, "its node died"))

    def _end(self, pilot: PilotId, reason: str, *, expired: bool = False) -> None:
        if self._alive.pop(pilot, None) is None:
            return
        if pilot in self._joined:
            self._world.remove_pilot(pilot, reason, expired=expired)
        else:
            self._tell(PilotLeft(pilot=pilot, reason=reason, at_s=self._now()))

    def _now(self) -> float:
        return self._world.agenda.now_s()

    def _tell(self, event: PilotEvent) -> None:
        if self._inbox is not None:
            self._inbox.put(event)


def make_desk(
    world: World, supply: SimulatedSupply, folder: Path, rules: Rules | None = None
) -> PilotDesk:
    """Return a desk whose pilots come from `supply`, numbered."""
    fleet = Fleet(templates=supply.templates, rules=rules or Rules())
    return PilotDesk(
        folder / "pilots.jsonl",
        supply,
        fleet,
        world.agenda,
        new_id=supply.new_id,
    )
