"""The pilots that offer places, and how much of each is free."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from euclid_dask.core.events import PilotEvent, PilotJoined, PilotLeft
from euclid_dask.core.ids import PilotId
from euclid_dask.core.resources import Resources

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
    """A pilot that is up: what it offers, and when it ends (None for never)."""

    id: PilotId
    offer: Resources
    slots: int
    until_s: float | None = None

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
class Fleet:
    """All pilots that are up. `complete` says that no larger pilot will ever join."""

    pilots: dict[PilotId, Pilot] = field(default_factory=dict)
    complete: bool = True
    _places: dict[Resources, int] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def apply(self, event: PilotEvent) -> None:
        """Change by what happened."""
        self._places.clear()
        match event:
            case PilotJoined(pilot=pilot, offer=offer, slots=slots, until_s=until_s):
                self.pilots[pilot] = Pilot(pilot, offer, slots, until_s)
            case PilotLeft(pilot=pilot):
                self.pilots.pop(pilot, None)
            case _:
                assert_never(event)

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
