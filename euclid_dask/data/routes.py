"""The way of a file with the fewest copies.

A file goes from storage S to storage D in one copy where one zone reads S and writes D: a mover
there streams it. A *route* is a chain of such copies; a task needs none where its zone sees a
storage that holds the file as a file system.

Rule: pure; all is computed from access rows.
"""

import heapq
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


class Network:
    """The storages and the ways between them, made once from access rows and asked often."""

    def __init__(self, storages: Mapping[str, Storage], accesses: Iterable[Access]) -> None:
        """Take the storages by name, and the access rows of all zones where movers are."""
        rows = tuple(accesses)
        self._readers = _edges(rows, storages, Use.READ, from_storage=True)
        self._writers = _edges(rows, storages, Use.WRITE, from_storage=False)
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
        queue: list[_Way] = [(0, 0, 0, (holder,)) for holder in sorted(holders)]
        done: set[str] = set()
        while queue:
            copies, rank, cost, way = heapq.heappop(queue)
            node = way[-1]
            at_storage = len(way) % 2 == 1
            if (key := f"{at_storage} {node}") in done:
                continue
            done.add(key)
            if at_storage and node in goals:
                return _hops(way)
            edges = self._readers if at_storage else self._writers
            for onward, (more_rank, more_cost) in edges.get(node, {}).items():
                step = (copies + (not at_storage), rank + more_rank, cost + more_cost)
                heapq.heappush(queue, (*step, (*way, onward)))
        raise NoRouteError(
            f"no way from {_listed(holders)} to {_listed(goals)}",
            hint="add an access row, so that one zone reads the one and writes the other",
        )

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


_Way = tuple[int, int, int, tuple[str, ...]]
_Edges = dict[str, dict[str, tuple[int, int]]]
_NO_NAMES: Final = "nowhere"


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


def _hops(way: Sequence[str]) -> tuple[Hop, ...]:
    return tuple(
        Hop(source=way[i], zone=way[i + 1], destination=way[i + 2])
        for i in range(0, len(way) - 2, 2)
    )


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or _NO_NAMES
