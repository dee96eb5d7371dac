"""Where there is room: pilots by what is free on them, kept up to date change by change.

Rule 1: bringing it up to date costs time proportional to what changed. Rule 2: a search looks at
pilots with equal rooms at once, so its cost does not grow with the number of pilots. It is a
memory of what runs and fleet say, and of the reservations made; leaving it out changes no truth.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import NamedTuple, Protocol

from sortedcontainers import SortedDict, SortedList

from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.planner.ready import Shape

ROUNDING = 1e-9
_DIGITS = 6


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


def total(usages: Iterable[Usage]) -> Usage:
    """Return the sum of several usages of one pilot."""
    result = Usage()
    for usage in usages:
        result.cores += usage.cores
        result.ram_bytes += usage.ram_bytes
        result.disk_bytes += usage.disk_bytes
        result.slots += usage.slots
    return result


class Size(NamedTuple):
    """What an empty pilot holds. Sizes are in order: smaller ones come first."""

    cores: float
    ram_bytes: int
    disk_bytes: int
    slots: int

    @classmethod
    def of(cls, offer: Resources, slots: int) -> "Size":
        """Return the size of a pilot with this offer."""
        return cls(offer.cores, offer.ram_bytes, offer.disk_bytes, slots)

    def has_free(self, needs: Resources, used: Usage) -> bool:
        """Tell whether it holds a task of these needs beside what is in use."""
        return (
            used.slots < self.slots
            and used.cores + needs.cores <= self.cores + ROUNDING
            and used.ram_bytes + needs.ram_bytes <= self.ram_bytes
            and (not self.disk_bytes or used.disk_bytes + needs.disk_bytes <= self.disk_bytes)
        )

    def holds(self, needs: Resources) -> bool:
        """Tell whether it holds a task of these needs when it is empty."""
        return self.has_free(needs, _NOTHING)

    def places(self, needs: Resources) -> int:
        """Return how many tasks of these needs it holds at once when it is empty."""
        if not self.holds(needs):
            return 0
        places = self.slots
        if needs.cores:
            places = min(places, int(self.cores / needs.cores + ROUNDING))
        if needs.ram_bytes:
            places = min(places, self.ram_bytes // needs.ram_bytes)
        if needs.disk_bytes and self.disk_bytes:
            places = min(places, self.disk_bytes // needs.disk_bytes)
        return places

    def waste(self, needs: Resources, used: Usage) -> float:
        """Return the shares of cores and RAM that stay free beside a task of these needs."""
        waste = (self.cores - used.cores - needs.cores) / (self.cores or 1.0)
        return waste + (self.ram_bytes - used.ram_bytes - needs.ram_bytes) / (self.ram_bytes or 1)


_NOTHING = Usage()


class Reservation(NamedTuple):
    """A pilot that is kept for the next task of a shape, which can start there at `start_s`."""

    run: RunId
    shape: Shape
    task: TaskId
    pilot: PilotId
    start_s: float


class _Bucket:
    """Pilots of one size with equal usage, in the order of their ends."""

    __slots__ = ("pilots", "used")

    def __init__(self, used: Usage) -> None:
        self.used = used
        self.pilots: SortedList = SortedList()


_Sub = tuple[int, int, int]


@dataclass(slots=True)
class _Level:
    """The buckets of one size, by free cores and then by the rest of the usage."""

    count: int = 0
    by_free: "SortedDict" = field(default_factory=SortedDict)

    def bucket(self, size: Size, used: Usage) -> _Bucket:
        free = round(size.cores - used.cores, _DIGITS)
        subs = self.by_free.get(free)
        if subs is None:
            subs = self.by_free[free] = {}
        sub = (used.ram_bytes, used.disk_bytes, used.slots)
        found: _Bucket | None = subs.get(sub)
        if found is None:
            copy = Usage(used.cores, *sub)
            found = subs[sub] = _Bucket(copy)
        return found

    def lasting(self, until_s: float) -> int:
        buckets = (bucket for subs in self.by_free.values() for bucket in subs.values())
        return sum(len(b.pilots) - b.pilots.bisect_left((until_s,)) for b in buckets)

    def drop(self, size: Size, used: Usage) -> None:
        free = round(size.cores - used.cores, _DIGITS)
        subs = self.by_free[free]
        del subs[used.ram_bytes, used.disk_bytes, used.slots]
        if not subs:
            del self.by_free[free]


class Place(Protocol):
    """A pilot, as far as rooms are concerned."""

    @property
    def id(self) -> PilotId:
        """Its id."""

    @property
    def size(self) -> Size:
        """What it holds when it is empty."""

    @property
    def until_s(self) -> float | None:
        """When it ends, None for never."""


class _Spot(NamedTuple):
    """Where a pilot is in the index."""

    size: Size
    until_s: float
    used: Usage


class Rooms:
    """An index of pilots that take work, by what is free on them.

    `changes` counts what `put` and `drop` changed.
    """

    def __init__(self) -> None:
        self.changes = 0
        self._levels: SortedDict = SortedDict()
        self._spots: dict[PilotId, _Spot] = {}
        self._hidden: dict[PilotId, _Spot] = {}

    def put(self, pilot: Place, used: Usage) -> None:
        """Add a pilot, or note what is in use on it now."""
        until_s = inf if pilot.until_s is None else pilot.until_s
        before = self._spots.get(pilot.id) or self._hidden.get(pilot.id)
        if before is not None and before == (pilot.size, until_s, used):
            return  # as it was booked
        self.changes += 1
        copy = Usage(used.cores, used.ram_bytes, used.disk_bytes, used.slots)
        spot = _Spot(pilot.size, until_s, copy)
        if pilot.id in self._hidden:
            self._hidden[pilot.id] = spot
            return
        self._take(pilot.id)
        self._insert(pilot.id, spot)

    def drop(self, pilot: PilotId) -> None:
        """Leave a pilot out."""
        self.changes += pilot in self
        self._hidden.pop(pilot, None)
        self._take(pilot)

    def book(self, pilot: PilotId, needs: Resources) -> None:
        """Note that a bundle of these needs is about to go to `pilot`."""
        spot = self._hidden.get(pilot)
        if spot is not None:
            spot.used.add(needs)
            return
        spot = self._take(pilot)
        assert spot is not None
        spot.used.add(needs)
        self._insert(pilot, spot)

    def hide(self, pilot: PilotId) -> None:
        """Keep a pilot from being found."""
        spot = self._take(pilot)
        assert spot is not None
        self._hidden[pilot] = spot

    def show(self, pilot: PilotId) -> None:
        """Have a hidden pilot be found again."""
        spot = self._hidden.pop(pilot, None)
        if spot is not None:
            self._insert(pilot, spot)

    def shows(self, pilot: PilotId) -> bool:
        """Tell whether a pilot is there and may be found."""
        return pilot in self._spots

    def __contains__(self, pilot: PilotId) -> bool:
        return pilot in self._spots or pilot in self._hidden

    def __len__(self) -> int:
        return len(self._spots) + len(self._hidden)

    def spot(self, pilot: PilotId) -> tuple[Size, float, Usage]:
        """Return size, end and usage of a pilot."""
        return self._spots.get(pilot) or self._hidden[pilot]

    def best(self, needs: Resources, until_s: float, *, longest: bool = False) -> PilotId | None:
        """Return a pilot that has room for these needs and does not end before `until_s`.

        It is of the smallest size that has room, and there the one with the least waste; of equal
        ones that which ends first, or with `longest` last.
        """
        for size, level in self._levels.items():
            if size.holds(needs):
                bucket = _least_waste(size, level, needs, until_s)
                if bucket is not None:
                    pilots = bucket.pilots
                    found: PilotId = pilots[-1 if longest else pilots.bisect_left((until_s,))][1]
                    return found
        return None

    def candidates(self, needs: Resources, until_s: float, limit: int) -> Iterator[PilotId]:
        """Yield pilots of each size that would hold these needs when empty, the freest first."""
        for size, level in self._levels.items():
            if size.holds(needs):
                yield from islice(_freest(level, until_s), limit)

    def hold(self, needs: Resources) -> bool:
        """Tell whether any pilot holds a task of these needs when it is empty."""
        return any(size.holds(needs) for size in self._levels) or any(
            spot.size.holds(needs) for spot in self._hidden.values()
        )

    def places(self, needs: Resources, until_s: float = -inf) -> int:
        """Return how many tasks of these needs all pilots hold at once when they are empty.

        With `until_s` only pilots count that do not end before it.
        """
        places = 0
        for size, level in self._levels.items():
            each = size.places(needs)
            if each:
                places += each * (level.count if until_s == -inf else level.lasting(until_s))
        return places + sum(
            spot.size.places(needs) for spot in self._hidden.values() if spot.until_s >= until_s
        )

    @property
    def cores(self) -> float:
        """All cores of all pilots."""
        cores: float = sum(size.cores * level.count for size, level in self._levels.items())
        return cores + sum(spot.size.cores for spot in self._hidden.values())

    def _insert(self, pilot: PilotId, spot: _Spot) -> None:
        level = self._levels.get(spot.size)
        if level is None:
            level = self._levels[spot.size] = _Level()
        level.count += 1
        level.bucket(spot.size, spot.used).pilots.add((spot.until_s, pilot))
        self._spots[pilot] = spot

    def _take(self, pilot: PilotId) -> _Spot | None:
        spot = self._spots.pop(pilot, None)
        if spot is None:
            return None
        level = self._levels[spot.size]
        bucket = level.bucket(spot.size, spot.used)
        bucket.pilots.remove((spot.until_s, pilot))
        level.count -= 1
        if not bucket.pilots:
            level.drop(spot.size, spot.used)
            if not level.count:
                del self._levels[spot.size]
        return spot


def _least_waste(size: Size, level: _Level, needs: Resources, until_s: float) -> _Bucket | None:
    best: _Bucket | None = None
    least = inf
    for free in level.by_free.irange(minimum=round(needs.cores - ROUNDING, _DIGITS)):
        for bucket in level.by_free[free].values():
            if size.has_free(needs, bucket.used) and bucket.pilots[-1][0] >= until_s:
                waste = size.waste(needs, bucket.used)
                if waste < least:
                    best, least = bucket, waste
    return best


def _freest(level: _Level, until_s: float) -> Iterator[PilotId]:
    for free in reversed(level.by_free):
        for bucket in level.by_free[free].values():
            for _, pilot in bucket.pilots.islice(bucket.pilots.bisect_left((until_s,))):
                yield pilot


def earliest(
    size: Size, used: Usage, held: Sequence[tuple[float, Resources]], needs: Resources
) -> float:
    """Return when a task of these needs can start on a pilot that holds it; -inf means now.

    `held` are the bundles there, all of `used`, each with the time when it is expected to end.
    """
    left = Usage(used.cores, used.ram_bytes, used.disk_bytes, used.slots)
    start_s = -inf
    for end_s, bundle in sorted(held, key=lambda one: one[0]):
        if size.has_free(needs, left):
            break
        left.add(bundle, -1)
        start_s = end_s
    return start_s
