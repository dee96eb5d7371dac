"""The fewest copies, computed from access rows: the four topologies of the seed, and no route."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

import pytest

from euclid_dask.core.values import replace
from euclid_dask.data.model import Access, Storage, StorageState
from euclid_dask.data.resolve import scheme_cost
from euclid_dask.data.routes import Hop, Network, NoRouteError

Hops = tuple[str, ...]
"""Names of storages and zones in turn."""

MERGED: Mapping[str, Mapping[str, str]] = {
    "separate": {},
    "red": {"sub": "eas"},
    "green": {"sub": "exec"},
    "purple": {"sub": "eas", "exec": "eas"},
}
PULL = tuple(
    Access(storage=name, zone="execution", root=root, write=0, delete=0)
    for name, root in (("fr", "http://euclid-archive.fr"), ("eas", "http://euclid-archive.ch"))
)


def network(topology: str, rows: Sequence[Access]) -> Network:
    merged = MERGED[topology]
    names = ("fr", "eas", "sub", "exec")
    known = {name: Storage(name=name, marker=name) for name in names}
    return Network(
        known, [replace(row, storage=merged.get(row.storage, row.storage)) for row in rows]
    )


def hops(route: Sequence[Hop]) -> str:
    return " ".join(f"{hop.source}>{hop.destination}" for hop in route)


@pytest.mark.parametrize(
    ("topology", "routes"),
    [
        (
            "separate",
            {
                "archive kept": "fr>eas eas>sub sub>exec",
                "archive kept, pull": "fr>eas eas>exec",
                "free": "fr>sub sub>exec",
                "free, pull": "fr>exec",
                "archived": "eas>sub sub>exec",
                "archived, pull": "eas>exec",
                "output": "exec>sub sub>eas",
            },
        ),
        (
            "red",
            {
                "archive kept": "fr>eas eas>exec",
                "archive kept, pull": "fr>eas eas>exec",
                "free": "fr>eas eas>exec",
                "free, pull": "fr>exec",
                "archived": "eas>exec",
                "archived, pull": "eas>exec",
                "output": "exec>eas",
            },
        ),
        (
            "green",
            {
                "archive kept": "fr>eas eas>exec",
                "archive kept, pull": "fr>eas eas>exec",
                "free": "fr>exec",
                "free, pull": "fr>exec",
                "archived": "eas>exec",
                "archived, pull": "eas>exec",
                "output": "exec>eas",
            },
        ),
        (
            "purple",
            {
                "archive kept": "fr>eas",
                "archive kept, pull": "fr>eas",
                "free": "fr>eas",
                "free, pull": "fr>eas",
                "archived": "",
                "archived, pull": "",
                "output": "",
            },
        ),
    ],
)
def test_the_topologies_of_the_seed_cost_these_copies(
    seed_accesses: Sequence[Access], topology: str, routes: Mapping[str, str]
) -> None:
    given, pull = network(topology, seed_accesses), network(topology, (*seed_accesses, *PULL))
    written = MERGED[topology].get("exec", "exec")
    assert {
        "archive kept": hops(given.plan({"fr"}, "execution", keep=["eas"])),
        "archive kept, pull": hops(pull.plan({"fr"}, "execution", keep=["eas"])),
        "free": hops(given.plan({"fr"}, "execution")),
        "free, pull": hops(pull.plan({"fr"}, "execution")),
        "archived": hops(given.plan({"eas"}, "execution")),
        "archived, pull": hops(pull.plan({"eas"}, "execution")),
        "output": hops(given.route({written}, {"eas"})),
    } == routes


def test_red_needs_no_copy_of_inputs_once_execution_hosts_mount_it(
    seed_accesses: Sequence[Access],
) -> None:
    mounted = Access(storage="eas", zone="execution", root="file:///mnt/eas")
    assert network("red", (*seed_accesses, mounted)).plan({"eas"}, "execution") == ()


def test_each_copy_is_made_where_both_ends_are_seen(seed_accesses: Sequence[Access]) -> None:
    route = network("separate", seed_accesses).plan({"fr"}, "execution", keep=["eas"])
    assert [hop.zone for hop in route] == ["ial", "ial", "submission"]


def test_of_two_ways_the_better_priority_then_the_cheaper_scheme_is_taken() -> None:
    known = {name: Storage(name=name, marker=name) for name in ("a", "b", "c", "d")}
    rows = [
        Access(storage="a", zone="z", root="ftp://a"),
        Access(storage="b", zone="z", root="sftp://b"),
        Access(storage="c", zone="z", root="file:///c", read=2),
        Access(storage="d", zone="z", root="file:///d"),
    ]
    net = Network(known, rows)
    assert hops(net.route({"a", "b", "c"}, {"d"})) == "b>d"
    assert hops(net.route({"a", "c"}, {"d"})) == "a>d"


def test_no_way_says_between_what() -> None:
    known = {name: Storage(name=name, marker=name) for name in ("a", "b")}
    rows = [
        Access(storage="a", zone="y", root="file:///a"),
        Access(storage="b", zone="z", root="file:///b"),
    ]
    with pytest.raises(NoRouteError, match="no way from a to b"):
        Network(known, rows).route({"a"}, {"b"})
    with pytest.raises(NoRouteError, match="no way from nowhere to b"):
        Network(known, rows).plan((), "z")


def test_a_storage_that_is_not_written_is_on_no_way() -> None:
    known = {
        "a": Storage(name="a", marker="a", state=StorageState.READONLY),
        "b": Storage(name="b", marker="b", state=StorageState.READONLY),
        "c": Storage(name="c", marker="c"),
    }
    rows = [Access(storage=name, zone="z", root=f"file:///{name}") for name in "abc"]
    net = Network(known, rows)
    assert hops(net.route({"a"}, {"c"})) == "a>c"
    with pytest.raises(NoRouteError):
        net.route({"a"}, {"b"})


def test_storages_and_zones_of_the_same_name_are_not_confused() -> None:
    known = {name: Storage(name=name, marker=name) for name in ("x", "y")}
    rows = [Access(storage=s, zone="x", root=f"file:///{s}") for s in ("x", "y")]
    assert Network(known, rows).route({"x"}, {"y"}) == (Hop(source="x", destination="y", zone="x"),)


def ways_of(rows: Sequence[Access], start: str, goal: str) -> Iterator[tuple[int, int, int, Hops]]:
    """Yield all ways without a circle, with their copies, priorities and costs."""
    waiting: list[tuple[int, int, int, Hops]] = [(0, 0, 0, (start,))]
    while waiting:
        copies, rank, cost, way = waiting.pop()
        if way[-1] == goal:
            yield copies, rank, cost, way
            continue
        for read in rows:
            for write in rows:
                if (read.storage, read.zone) == (way[-1], write.zone) and write.storage not in way:
                    costs = scheme_cost(read) + scheme_cost(write)
                    onward = (*way, write.zone, write.storage)
                    waiting.append(
                        (copies + 1, rank + read.read + write.write, cost + costs, onward)
                    )


@pytest.mark.parametrize("seed", range(20))
def test_the_way_is_the_best_of_all_that_there_are(seed: int) -> None:
    chance = Random(seed)
    names, zones = "abcdef", "uvwx"
    rows = [
        Access(
            storage=storage,
            zone=zone,
            root=f"{chance.choice(('file', 'http', 'sftp'))}://h/{storage}",
            read=chance.randint(1, 2),
            write=chance.randint(1, 2),
        )
        for storage in names
        for zone in zones
        if chance.random() < 0.4
    ]
    known = {name: Storage(name=name, marker=name) for name in names}
    for goal in "bcdef":
        best = min(ways_of(rows, "a", goal), default=None)
        if best is None:
            with pytest.raises(NoRouteError):
                Network(known, rows).route(["a"], [goal])
            continue
        found = Network(known, rows).route(["a"], [goal])
        steps = [step for hop in found for step in (hop.zone, hop.destination)]
        assert ("a", *steps) == best[3]
