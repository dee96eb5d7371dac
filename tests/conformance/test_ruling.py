"""Rules carried out on both databases: targets are kept, what is missing is queued."""

from collections.abc import Iterator, Sequence

import pytest
from plans import written
from registries import Addresses

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import replace
from euclid_dask.data.model import (
    Checksum,
    DeletionState,
    File,
    FileReference,
    Product,
    ProductValue,
    Replica,
    Storage,
)
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.holdings import Holdings
from euclid_dask.data.registry.rules import RuleState
from euclid_dask.data.registry.targets import TargetState
from euclid_dask.data.rules import Grouping, Rule, Selector, Target
from euclid_dask.data.ruling import Ruling
from euclid_dask.data.states import ReplicaCue


@pytest.fixture(params=["sqlite", "server_addresses"])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """Return a registry with storages A (which has all that is added), B and C."""
    new: Addresses = request.getfixturevalue(request.param)
    with Registry(new()) as opened:
        for name, country in (("A", "FR"), ("B", "CH"), ("C", "CH")):
            labels = {"country": country}
            opened.storages.put(Storage(name=name, marker=name, labels=labels))
        yield opened


def add(registry: Registry, *names: str) -> None:
    sums = (Checksum(algorithm="xxh3", value="ab"),)
    registry.register(
        [File(name=name, size=10, checksums=sums) for name in names],
        [Replica(file=name, storage="A", path=name) for name in names],
    )


def add_product(registry: Registry, number: int, *files: str, tile: str = "1") -> None:
    add(registry, f"P{number}.xml", *files)
    product = Product(
        product_id=f"P{number}",
        type="DpdX",
        files=tuple(FileReference(name=name, ordinal=i) for i, name in enumerate(files)),
        values=(ProductValue(path="Data.Tile", ordinal=0, text=tile, number=float(tile)),),
    )
    registry.register(products={f"P{number}.xml": product})


def put(registry: Registry, *names: str, query: str = "", **more: object) -> Ruling:
    given = {"name": "r", "places": "country=CH", **more}
    registry.rules.put(Rule(select=Selector(query=query, names=names), **given))
    return Ruling(registry)


def queued(registry: Registry) -> list[tuple[str, str, int]]:
    return sorted((one.file, one.destination, one.priority) for one in registry.transfers.active())


def targets(registry: Registry, names: Sequence[str] | None = None) -> set[tuple[str, str]]:
    return {(it.file, it.storage) for it in registry.rules.targets("r", names)}


def bring(registry: Registry, name: str, storage: str) -> None:
    registry.transfers.cancel([one.id for one in registry.transfers.of_files([name])])
    registry.register(replicas=[Replica(file=name, storage=storage, path=name)])


def test_what_a_rule_wants_is_queued_once_with_its_priority(registry: Registry) -> None:
    add(registry, "a.fits", "b.fits", "c.txt")
    ruling = put(registry, "*.fits", priority=7)
    ruled = ruling.apply("r")
    assert (ruled.files, ruled.missing, ruled.released, ruled.stuck) == (2, 2, 0, ())
    once = [("a.fits", "B", 7), ("b.fits", "B", 7)]
    assert queued(registry) == once
    before = registry.history("a.fits")
    (again,) = ruling.apply_all()
    assert again == ruled
    assert queued(registry) == once
    assert targets(registry) == {("a.fits", "B"), ("b.fits", "B")}
    assert registry.history("a.fits") == before, "what is done again leaves no trace"


def test_a_target_that_is_met_keeps_its_replica_until_the_rule_ends(registry: Registry) -> None:
    add(registry, "a.fits")
    ruling = put(registry, "*")
    ruling.apply("r")
    bring(registry, "a.fits", "B")
    assert ruling.apply("r").missing == 0
    (claim,) = registry.rules.why("a.fits")
    assert (claim.rule, claim.storage, claim.state) == ("r", "B", TargetState.OK)
    with pytest.raises(InputError, match="rule r wants it there"):
        registry.deletions.request([("a.fits", "B")], "a test")
    registry.rules.end("r")
    registry.rules.end("r")
    assert targets(registry) == set()
    registry.deletions.request([("a.fits", "B")], "a test")
    assert registry.deletions.due() == ["B"]
    with pytest.raises(InputError, match="has ended"):
        ruling.apply("r")
    assert ruling.apply_all() == []


def test_a_rule_is_over_when_its_time_is(registry: Registry) -> None:
    add(registry, "a.fits")
    ruling = put(registry, "*", lifetime_s=-1.0)
    assert ruling.apply_all() == []
    assert registry.rules.get("r").state is RuleState.ENDED
    with pytest.raises(InputError, match="has ended"):
        put(registry, "*", copies=2)


def test_products_are_selected_by_a_query_with_their_files(registry: Registry) -> None:
    ruling = put(registry, query="DpdX where Data.Tile == 1", grouping=Grouping.PRODUCT)
    assert ruling.apply("r").files == 0
    add_product(registry, 1, "a.fits", "b.fits")
    add_product(registry, 2, "c.fits", tile="2")
    (ruled,) = ruling.take(["P1.xml", "P2.xml", "a.fits", "b.fits", "c.fits"])
    assert ruled.files == 3
    assert targets(registry) == {("P1.xml", "B"), ("a.fits", "B"), ("b.fits", "B")}
    assert ruling.apply("r").missing == 3


def valued(registry: Registry, number: int, quality: str, *files: str) -> None:
    """Register a product as `add_product` does, and with one value more."""
    add_product(registry, number, *files)
    was = registry.products([f"P{number}"])[f"P{number}"]
    more = ProductValue(path="Data.Q", ordinal=0, text=quality)
    registry.register(products={f"P{number}.xml": replace(was, values=(*was.values, more))})


def test_a_value_that_comes_later_takes_a_product_from_a_rule(registry: Registry) -> None:
    valued(registry, 1, "GOOD", "a.fits")
    add_product(registry, 2, "b.fits")
    ruling = put(registry, "*.fits", query="DpdX where Data.Q != 'BAD'")
    assert ruling.apply("r").files == 2
    valued(registry, 2, "BAD", "b.fits")
    assert ruling.preview(registry.rules.get("r").rule).released == 1
    ruled = ruling.apply("r")
    assert (ruled.files, ruled.released) == (1, 1)
    assert targets(registry) == {("a.fits", "B")}
    valued(registry, 2, "BAD", "b.fits")
    assert not registry.rules.get("r").is_stale, "nothing was added"


def test_a_value_that_comes_during_a_pass_is_seen_by_the_next(registry: Registry) -> None:
    add_product(registry, 2, "b.fits")
    put(registry, "*.fits", query="DpdX where Data.Q != 'BAD'")
    valued(registry, 1, "GOOD", "a.fits")
    kept = registry.rules.get("r")
    assert kept.is_stale
    valued(registry, 2, "BAD", "b.fits")
    registry.rules.reviewed(kept)
    assert registry.rules.get("r").is_stale


def test_new_files_do_not_touch_the_targets_of_others(registry: Registry) -> None:
    add(registry, "a.fits")
    ruling = put(registry, "*")
    ruling.apply("r")
    add(registry, "b.fits")
    (ruled,) = ruling.take(["b.fits"])
    assert (ruled.files, ruled.missing, ruled.released) == (1, 1, 0)
    assert targets(registry) == {("a.fits", "B"), ("b.fits", "B")}
    assert targets(registry, ["b.fits"]) == {("b.fits", "B")}
    put(registry, "b*")
    assert ruling.apply("r").released == 1
    assert targets(registry) == {("b.fits", "B")}


def test_names_and_query_hold_both(registry: Registry) -> None:
    add_product(registry, 1, "a.fits", "b.fits")
    ruling = put(registry, "*.fits", query="DpdX")
    assert ruling.apply("r").files == 2
    (ruled,) = ruling.take(["a.fits"])
    assert ruled.files == 1


def test_what_cannot_be_placed_is_stuck_and_says_why(registry: Registry) -> None:
    add(registry, "a.fits")
    ruling = put(registry, "*", copies=3)
    (stuck,) = ruling.apply("r").stuck
    assert stuck.reason == "3 copies are wanted, 2 can be in 'country=CH'"
    rules = registry.rules
    assert [(one.storage, one.state) for one in rules.why("a.fits")] == [
        ("B", TargetState.PENDING),
        ("C", TargetState.PENDING),
        ("", TargetState.STUCK),
    ]
    put(registry, "*", copies=2)
    assert ruling.apply("r").stuck == ()
    assert "" not in {one.storage for one in rules.why("a.fits")}


def test_what_cannot_be_brought_is_stuck_and_does_not_hold_up_others(registry: Registry) -> None:
    add(registry, "a.fits", "b.fits")
    bring(registry, "a.fits", "B")
    registry.change_replicas([("a.fits", "B")], ReplicaCue.SUSPECT, "a test")
    ruling = put(registry, "*", prefer=("B",))
    (stuck,) = ruling.apply("r").stuck
    assert stuck.files == ("a.fits",)
    assert "is suspect" in stuck.reason
    assert queued(registry) == [("b.fits", "B", 0)]
    (claim,) = registry.rules.why("a.fits")
    assert (claim.state, claim.error) == (TargetState.STUCK, stuck.reason)
    registry.change_replicas([("a.fits", "B")], ReplicaCue.VERIFY, "a test")
    assert ruling.apply("r").stuck == ()
    assert registry.rules.why("a.fits")[0].state is TargetState.OK


def test_room_that_is_known_is_respected(registry: Registry) -> None:
    add(registry, "a.fits")
    put(registry, "*")
    assert Ruling(registry, {"B": 5, "C": 50}).apply("r").stuck == ()
    assert targets(registry) == {("a.fits", "C")}


def test_a_quota_that_is_raised_is_used_to_the_last_byte(registry: Registry) -> None:
    add(registry, *(f"f{number}.fits" for number in range(8)))
    registry.quotas.put("B", 40)
    ruling = put(registry, "*", places="name=B")
    assert sum(len(one.files) for one in ruling.apply("r").stuck) == 4
    registry.quotas.put("B", 70)
    put(registry, "*", places="name=B", priority=1)  # has all files looked at
    for again in (ruling.apply("r"), *ruling.apply_all()):
        assert (again.files, again.missing) == (8, 7)
        assert [one.files for one in again.stuck] == [("f7.fits",)]
    put(registry, "*", name="other", places="name=B")
    assert [it.missing for it in ruling.apply_all()] == [7, 7], "one copy does for two rules"


def test_what_storages_hold_is_summed_once_for_all_rules(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(registry, *(f"f{number}.fits" for number in range(8)))
    registry.quotas.put("B", 40)
    for name in ("r", "s", "t"):
        put(registry, "*", name=name)
    sums: list[str] = []
    monkeypatch.setattr(registry.quotas, "all", lambda: sums.append("one") or {})
    Ruling(registry).take(["f0.fits", "f1.fits"])
    assert len(sums) == 1
    Ruling(registry).apply_all()
    assert len(sums) == 2


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"places": "country"}, "in the places"),
        ({"query": "DpdX where"}, "query"),
        ({"copies": 0}, "0 copies"),
        ({"grouping": Grouping.RUN}, "by their runs"),
        ({"name": "a/b"}, "path"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(
    registry: Registry, more: dict[str, object], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        put(registry, "*", **more)  # type: ignore[arg-type]
    assert registry.rules.all() == []


def test_a_rule_that_selects_nothing_or_is_not_there_is_refused(registry: Registry) -> None:
    with pytest.raises(InputError, match="selects nothing"):
        put(registry)
    with pytest.raises(InputError, match="there is no rule"):
        Ruling(registry).apply("nobody")
    with pytest.raises(InputError, match="there is no rule"):
        registry.rules.end("nobody")


def test_a_marked_replica_is_given_back_and_claimed_again(registry: Registry) -> None:
    add(registry, "a.fits")
    bring(registry, "a.fits", "B")
    registry.deletions.request([("a.fits", "B")], "a test")
    assert registry.deletions.claim("w", 1, 60.0, ["A"]) == []
    (claimed,) = registry.deletions.claim("w", 1, 60.0, ["A", "B"])
    assert registry.deletions.due() == []
    assert registry.deletions.retry(claimed, "later", retry_in_s=-1.0)
    assert registry.deletions.due() == ["B"]
    (again,) = registry.deletions.claim("v", 1, 60.0)
    assert not registry.deletions.retry(claimed, "late", retry_in_s=0.0)
    registry.deletions.finish(again)
    assert registry.deletions.get([again.id])[0].state is DeletionState.DONE


def test_a_storage_tells_what_it_should_hold_page_by_page(registry: Registry) -> None:
    names = [f"f{number}.fits" for number in range(5)]
    add(registry, *names)
    holdings = Holdings(registry.database, "A")
    first = holdings.page(limit=3)
    rest = holdings.page(after=first[-1].replica.path, limit=3)
    assert [one.replica.path for one in (*first, *rest)] == names
    assert {one.size for one in rest} == {10}
    assert list(holdings.at(["f1.fits", "nobody"])) == ["f1.fits"]
    assert Holdings(registry.database, "B").page() == []


def test_targets_are_told_apart_by_files(registry: Registry) -> None:
    add(registry, "a.fits")
    put(registry, "*", copies=2).apply("r")
    assert registry.rules.targets("r", ["a.fits"]) == {
        Target(file="a.fits", storage="B"),
        Target(file="a.fits", storage="C"),
    }


# -- page by page


def test_more_files_than_are_looked_at_at_once_are_ruled_and_released(registry: Registry) -> None:
    names = [f"f{number:04}.fits" for number in range(1100)]
    add(registry, *names)
    ruling = put(registry, "f*.fits")
    assert ruling.preview(registry.rules.get("r").rule).missing == 1100
    assert targets(registry) == set()
    ruled = ruling.apply("r")
    assert (ruled.files, ruled.missing, ruled.released) == (1100, 1100, 0)
    assert targets(registry) == {(name, "B") for name in names}
    put(registry, "f0000.*", "f109*", "f1*.fits")
    ruled = ruling.apply("r")
    assert (ruled.files, ruled.missing, ruled.released) == (101, 101, 999)
    assert targets(registry) == {(name, "B") for name in (names[0], *names[1000:])}


def test_a_file_of_two_products_goes_with_the_first(registry: Registry) -> None:
    registry.storages.put(Storage(name="A", marker="A"))
    add_product(registry, 1, "common.fits", "a.fits")
    add_product(registry, 2, "common.fits", "b.fits")
    ruling = put(registry, query="DpdX", grouping=Grouping.PRODUCT)
    ruled = ruling.apply("r")
    assert (ruled.files, ruled.missing, ruled.stuck) == (5, 5, ())
    assert ruling.apply("r") == ruled


def test_where_nothing_is_new_nothing_is_written(registry: Registry) -> None:
    add(registry, "a.fits", "b.fits")
    ruling = put(registry, "*.fits", copies=3)
    ruling.apply("r")
    bring(registry, "a.fits", "B")
    bring(registry, "b.fits", "B")
    ruled = ruling.apply("r")
    with written() as statements:
        assert ruling.apply("r") == ruled
        assert ruling.apply_all() == [ruled]
    assert statements == []


def test_room_is_taken_from_one_page_to_the_next(registry: Registry) -> None:
    add(registry, *(f"f{number:04}.fits" for number in range(1100)))
    put(registry, "f*")
    ruled = Ruling(registry, {"B": 10 * 1050, "C": 0}).apply("r")
    assert (ruled.missing, sum(len(one.files) for one in ruled.stuck)) == (1050, 50)
