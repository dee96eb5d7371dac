"""The way of a file with the fewest copies.

A file goes from storage S to storage D in one copy where one zone reads S and writes D: a mover
there streams it. A *route* is a chain of such copies; a task needs none where its zone sees a
storage that holds the file as a file system.

Rule: pure; all is computed from access rows.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from euclid_dask.core.errors import SiteError
from euclid_dask.core.values import Value
from euclid_dask.data.model import Access, Storage
from euclid_dask.data.resolve import Use, priority, scheme, scheme_cost, usable


class Hop(Value, frozen=True, kw_only=True):
    """One copy: a mover in `zone` reads it from `source` and writes it to `destination`."""

    source: str
    destination: str
    zone: str


class NoRouteError(SiteError):
    """No chain of zones leads from where a file is to where it is wanted."""


_Way = tuple[int, int, tuple[str, ...]]
"""Priorities and costs of schemes, summed up, and the names of storages and zones in turn."""
_Edges = dict[str, dict[str, tuple[int, int]]]
_NO_NAMES: Final = "nowhere"


class Network:
    """The storages and the ways between them, made once from access rows and asked often."""

    def __init__(self, storages: Mapping[str, Storage], accesses: Iterable[Access]) -> None:
        """Take the storages by name, and the access rows of all zones where movers are."""
        rows = tuple(accesses)
        self._readers = _edges(rows, storages, Use.READ, from_storage=True)
        self._writers = _edges(rows, storages, Use.WRITE, from_storage=False)
        self._into: dict[str, set[str]] = {}  # by storage, the zones that write it
        for zone, written in self._writers.items():
            for name in written:
                self._into.setdefault(name, set()).add(zone)
        self._visible: dict[str, set[str]] = {}
        for access in usable(rows, storages, Use.READ):
            if scheme(access) == "file":
                self._visible.setdefault(access.zone, set()).add(access.storage)

    def visible(self, zone: str) -> Collection[str]:
        """Return the storages that hosts of a zone see as file systems."""
        return self._visible.get(zone, frozenset())

    def route(self, holders: Collection[str], goals: Collection[str]) -> tuple[Hop, ...]:
        """Return the fewest copies after which one of `goals` holds the file.

        Of routes with equally many, the one with the best priorities, then the cheapest schemes,
        then the first by name.

        Args:
            holders: Storages with an available replica.
            goals: Storages of which one is to have it.

        Raises:
            NoRouteError: There is none.
        """
        levels = self._levels(holders, frozenset(goals))
        # of storages that are equally far, only those that lead to a goal in time are looked at
        meant = levels[-1].intersection(goals)
        chain = [meant]
        for level in reversed(levels[:-1]):
            zones = set[str]().union(*(self._into[name] for name in meant))
            meant = {name for name in level if not zones.isdisjoint(self._readers.get(name, ()))}
            chain.append(meant)
        best: dict[str, _Way] = {name: (0, 0, (name,)) for name in chain.pop()}
        while chain:
            best = self._onward(best, chain.pop())
        return _hops(min(best.values())[2])

    def _levels(self, holders: Collection[str], goals: frozenset[str]) -> list[set[str]]:
        """Return the storages that a file can reach first after 0, 1, ... copies, up to a goal."""
        levels = [set(holders)]
        reached = set(holders)
        while levels[-1].isdisjoint(goals):
            zones = set[str]().union(*(self._readers.get(name, ()) for name in levels[-1]))
            fresh = set[str]().union(*(self._writers.get(zone, ()) for zone in zones)) - reached
            if not fresh:
                raise NoRouteError(
                    f"no way from {_listed(holders)} to {_listed(goals)}",
                    hint="add an access row, so that one zone reads the one and writes the other",
                )
            levels.append(fresh)
            reached |= fresh
        return levels

    def _onward(self, best: Mapping[str, _Way], meant: Collection[str]) -> dict[str, _Way]:
        """Return the best ways to storages that are one copy further."""
        to_zones: dict[str, _Way] = {}
        for name, (rank, cost, way) in best.items():
            for zone, (more_rank, more_cost) in self._readers.get(name, {}).items():
                _improve(to_zones, zone, (rank + more_rank, cost + more_cost, way))
        onward: dict[str, _Way] = {}
        for name in meant:
            for zone in self._into[name]:
                if zone in to_zones:
                    rank, cost, way = to_zones[zone]
                    more_rank, more_cost = self._writers[zone][name]
                    whole = (*way, zone, name)
                    _improve(onward, name, (rank + more_rank, cost + more_cost, whole))
        return onward

    def plan(
        self, holders: Collection[str], zone: str, *, keep: Sequence[str] = ()
    ) -> tuple[Hop, ...]:
        """Return the copies after which tasks in `zone` can link the file; empty if they can now.

        Args:
            holders: Storages with an available replica.
            zone: Where the tasks run.
            keep: Storages that must hold a replica, too, as the archive of a data centre.

        Raises:
            NoRouteError: There is none.
        """
        have, hops = set(holders), list[Hop]()
        for goals in (*({name} for name in keep), self.visible(zone)):
            hops += self.route(have, goals)
            have.update(hop.destination for hop in hops)
        return tuple(hops)


def _edges(
    rows: Sequence[Access], storages: Mapping[str, Storage], use: Use, *, from_storage: bool
) -> _Edges:
    """Return the best (priority, scheme cost) between each storage and each zone."""
    edges: _Edges = {}
    for access in usable(rows, storages, use):
        ends = (access.storage, access.zone) if from_storage else (access.zone, access.storage)
        weight = (priority(access, use), scheme_cost(access))
        known = edges.setdefault(ends[0], {})
        known[ends[1]] = min(weight, known.get(ends[1], weight))
    return edges


def _improve(ways: dict[str, _Way], goal: str, way: _Way) -> None:
    if goal not in ways or way < ways[goal]:
        ways[goal] = way


def _hops(way: Sequence[str]) -> tuple[Hop, ...]:
    return tuple(
        Hop(source=way[i], zone=way[i + 1], destination=way[i + 2])
        for i in range(0, len(way) - 2, 2)
    )


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or _NO_NAMES
