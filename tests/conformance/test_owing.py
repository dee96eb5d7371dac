"""What rules owe, found by the database, is what they owe if all files are looked at.

The model is `placement` itself: asked once, of all files.
"""

import os
import random
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest
from plans import scans
from registries import Addresses

from euclid_dask.core.values import replace
from euclid_dask.data import ruling as ruling_module
from euclid_dask.data.model import (
    Checksum,
    File,
    FileReference,
    FileState,
    Product,
    ProductValue,
    Replica,
    ReplicaState,
    Storage,
    StorageState,
)
from euclid_dask.data.registry import Registry, owing
from euclid_dask.data.registry.lineage import Lineage
from euclid_dask.data.rules import Grouping, Placement, Room, Rule, Selector, Wanted, placement
from euclid_dask.data.ruling import Ruled, Ruling
from euclid_dask.data.states import READABLE, ReplicaCue

SEEDS = int(os.environ.get("EUCLID_DASK_RULE_SEEDS", "2"))
STEPS = int(os.environ.get("EUCLID_DASK_RULE_STEPS", "4"))
STORAGES = ("A", "B", "C", "D")
RULES = (
    Rule(name="names", select=Selector(names=("a_[0-4]*", "?_*.xml")), places="*", copies=2),
    Rule(name="some", select=Selector(query="DpdX", names=("*.fits",)), places="country=CH"),
    Rule(
        name="together",
        select=Selector(query="DpdX"),
        places="country=CH",
        copies=2,
        grouping=Grouping.PRODUCT,
    ),
    Rule(name="not_bad", select=Selector(query="DpdX where Data.Q != 'BAD'"), places="*"),
    Rule(
        name="with_others",
        select=Selector(names=("b*",)),
        places="name!=A",
        grouping=Grouping.PRODUCT,
        prefer=("D",),
    ),
)


@pytest.fixture(params=["sqlite", "server_addresses"])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """Return a registry with storages and rules."""
    new: Addresses = request.getfixturevalue(request.param)
    with Registry(new()) as opened:
        for name in STORAGES:
            opened.storages.put(storage(name))
        for rule in RULES:
            opened.rules.put(rule)
        yield opened


def storage(name: str, **more: object) -> Storage:
    labels = {"country": "FR" if name == "A" else "CH"}
    return Storage(name=name, marker=name, **{"labels": labels, **more})  # type: ignore[arg-type]


class World:
    """A registry in which anything happens, and what rules should want of it."""

    def __init__(self, registry: Registry, seed: int) -> None:
        self.registry = registry
        self.chance = random.Random(seed)
        self.groups: dict[str, str] = {}  # by file, the product that names it
        self.qualities: dict[str, str] = {}  # by product, its value
        self.rules = {rule.name: rule for rule in RULES}

    def step(self) -> None:
        """Have something happen."""
        happening = (
            self.register,
            self.register,
            self.arrive,
            self.arrive,
            self.spoil,
            self.mend,
            self.change_storage,
            self.cancel,
            self.change_rule,
        )
        self.chance.choice(happening)()

    def register(self) -> None:
        number = len(self.groups)
        start = self.chance.choice("ab")
        names = [f"{start}_{number + i}.fits" for i in range(self.chance.randrange(1, 4))]
        xml = f"{start}_{number}.xml"
        sums = (Checksum(algorithm="xxh3", value="ab"),)
        product = Product(
            product_id=f"P{number}",
            type="DpdX",
            files=tuple(FileReference(name=name, ordinal=i) for i, name in enumerate(names)),
        )
        is_product = self.chance.random() < 0.5
        new = [*names, xml]
        self.registry.register(
            [File(name=name, size=10, checksums=sums) for name in new],
            [Replica(file=name, storage="A", path=name) for name in new],
            {xml: product} if is_product else {},
        )
        self.groups |= dict.fromkeys(new, product.product_id if is_product else "")
        if self.chance.random() < 0.5:
            Ruling(self.registry).take(new)

    def add_value(self) -> None:
        """Register a product again, with a value that it had not."""
        products = {one: xml for xml, one in self.groups.items() if one and xml.endswith(".xml")}
        if not products.keys() - self.qualities:
            return
        key = self.chance.choice(sorted(products.keys() - self.qualities))
        xml = products[key]
        quality = self.chance.choice(["GOOD", "BAD"])
        known = self.registry.products([key])[key]
        names = [xml, *(one.name for one in known.files)]
        if all(it.state is FileState.COMMITTED for it in self.registry.files(names).values()):
            value = ProductValue(path="Data.Q", ordinal=0, text=quality)
            self.registry.register(products={xml: replace(known, values=(value,))})
            self.qualities[key] = quality

    def arrive(self) -> None:
        active = self.registry.transfers.active()
        for one in self.chance.sample(active, len(active) // 2):
            self.registry.transfers.cancel([one.id])
            here = Replica(file=one.file, storage=one.destination, path=one.file)
            self.registry.register(replicas=[here])

    def spoil(self) -> None:
        for name, replicas in self.replicas(READABLE):
            for one in replicas:
                if self.chance.random() < 0.2:
                    pair = [(name, one.storage)]
                    self.registry.change_replicas(pair, ReplicaCue.SUSPECT, "a test")

    def mend(self) -> None:
        for name, replicas in self.replicas({ReplicaState.SUSPECT}):
            for one in replicas:
                cue = self.chance.choice([ReplicaCue.VERIFY, ReplicaCue.LOSE])
                pair = [(name, one.storage)]
                self.registry.change_replicas(pair, cue, "a test", confirmed=True)

    def change_storage(self) -> None:
        state = self.chance.choice(list(StorageState))
        durable = self.chance.random() < 0.7
        name = self.chance.choice(STORAGES[1:])
        self.registry.storages.put(storage(name, state=state, durable=durable))

    def cancel(self) -> None:
        active = self.registry.transfers.active()
        ids = [one.id for one in active if self.chance.random() < 0.3]
        self.registry.transfers.cancel(ids)

    def change_rule(self) -> None:
        was = self.rules[self.chance.choice(sorted(self.rules))]
        places = self.chance.choice(["*", "country=CH", "name!=B"])
        narrow = ("a*", "b_1*")
        selects = [was.select, Selector(names=narrow), replace(was.select, names=narrow)]
        select = self.chance.choice(selects)
        rule = Rule(
            name=was.name,
            select=select,
            places=places,
            copies=self.chance.randrange(1, 4),
            grouping=was.grouping,
        )
        self.rules[was.name] = rule
        self.registry.rules.put(rule)

    def replicas(self, states: object) -> list[tuple[str, list[Replica]]]:
        return sorted(self.registry.locate(list(self.groups), states).items())  # type: ignore[arg-type]

    def expected(self, rule: Rule) -> Placement:
        """Return what a rule wants, of all files at once."""
        held = {name: {it.storage for it in some} for name, some in self.replicas(READABLE)}
        return placement(
            rule,
            [
                Wanted(file=one.name, size=one.size, group=self.groups[one.name])
                for one in self.registry.files(list(self.groups)).values()
                if one.state is FileState.COMMITTED
                and self.is_found(rule.select.query, self.groups[one.name])
                and any(fnmatchcase(one.name, it) for it in rule.select.names or "*")
            ],
            [Room(storage=one) for one in self.registry.storages.all()],
            held,
            self.registry.rules.targets(rule.name),
        )

    def is_found(self, query: str, product: str) -> bool:
        if "Data.Q" in query:  # which nothing is found by before there is one
            return bool(self.qualities and product and self.qualities.get(product) != "BAD")
        return bool(product or not query)

    def check(self, ruled: Ruled, expected: Placement) -> None:
        """Compare what a rule did with what it should have wanted."""
        assert self.registry.rules.targets(ruled.rule) == set(expected.targets)
        stuck = {name for one in expected.stuck for name in one.files}
        there = {
            (name, one.storage) for name, some in self.replicas(list(ReplicaState)) for one in some
        }
        missing = {(one.file, one.storage) for one in expected.missing}
        active = self.registry.transfers.active(limit=10_000)
        assert missing - there <= {(one.file, one.destination) for one in active}
        assert ruled.files == len({one.file for one in expected.targets} | stuck)
        assert ruled.missing == len(missing)
        assert ruled.released == len(expected.released)
        in_the_way = {name for name, _ in missing & there}
        assert {name for one in ruled.stuck for name in one.files} == stuck | in_the_way
        for name in self.groups:
            states = {
                one.storage: one.state.value
                for one in self.registry.rules.why(name)
                if one.rule == ruled.rule
            }
            here = {one.storage for one in expected.targets if one.file == name}
            assert states == {
                where: "ok"
                if (name, where) not in missing
                else ("stuck" if (name, where) in there else "pending")
                for where in here
            } | ({"": "stuck"} if name in stuck else {})


@pytest.mark.parametrize(
    ("registry", "seed"),
    [*(("sqlite", seed) for seed in range(SEEDS)), ("server_addresses", SEEDS)],
    indirect=["registry"],
)
def test_a_pass_does_what_looking_at_all_files_would(
    registry: Registry, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owing, "STEP", 3)
    monkeypatch.setattr(ruling_module, "_PAGE", 4)
    world = World(registry, seed)
    for _ in range(STEPS):
        for _ in range(3):
            world.step()
        world.add_value()
        for name, rule in sorted(world.rules.items()):
            expected = world.expected(rule)
            world.check(Ruling(registry).apply(name), expected)


def test_no_large_table_is_read_from_end_to_end(registry: Registry) -> None:
    world = World(registry, 1)
    for _ in range(5):
        world.register()
    with scans() as found:
        for _ in range(2):
            Ruling(registry).apply_all()
        Ruling(registry).take(list(world.groups))
    is_any = "SELECT products.id \nFROM products"  # whether there is one
    assert [one for one in found if is_any not in one] == []


def test_what_a_rule_lost_is_owed_again(registry: Registry) -> None:
    for rule in RULES[:-1]:
        registry.rules.end(rule.name)
    sums = (Checksum(algorithm="xxh3", value="ab"),)
    registry.register(
        [File(name="b.fits", size=10, checksums=sums)],
        [Replica(file="b.fits", storage="A", path="b.fits")],
    )
    registry.register([File(name="unlike.fits", size=10)])

    def applied() -> list[str]:
        (ruled,) = Ruling(registry).apply_all()
        assert ruled.files == 1
        return [one.destination for one in registry.transfers.active()]

    assert applied() == ["D"]  # files are owed that nobody told the rule about
    registry.transfers.cancel([one.id for one in registry.transfers.active()])
    assert applied() == ["D"]
    registry.transfers.cancel([one.id for one in registry.transfers.active()])
    registry.register(replicas=[Replica(file="b.fits", storage="D", path="b.fits")])
    assert applied() == []
    assert [one.state.value for one in registry.rules.why("b.fits")] == ["ok"]
    registry.storages.put(storage("D", durable=False))
    assert applied() == ["B"]


def test_products_that_name_a_file_are_told_in_lists(registry: Registry) -> None:
    sums = (Checksum(algorithm="xxh3", value="ab"),)
    names = ["common.fits", "other.fits", "alone.fits", *(f"{i}.xml" for i in range(9))]
    registry.register(
        [File(name=name, size=10, checksums=sums) for name in names],
        [Replica(file=name, storage="A", path=name) for name in names],
        {
            f"{i}.xml": Product(
                product_id=f"P{i}",
                type="DpdX",
                files=(
                    FileReference(name="common.fits", ordinal=0),
                    *([FileReference(name="other.fits", ordinal=1)] if i % 2 else ()),
                ),
            )
            for i in range(9)
        },
    )
    pages = list(registry.rules.products_of([*names[:4], "unknown.fits"], 4))
    assert all(len(page) <= 4 + 1 for page in pages)
    assert {one for page in pages for one in page} == {f"P{i}" for i in range(9)}
    (few,) = registry.rules.products_of(["other.fits", "2.xml"], 100)
    assert few == ["P1", "P2", "P3", "P5", "P7"]
    assert list(registry.rules.products_of(["alone.fits", "unknown.fits"], 4)) == []
    lineage = Lineage(registry.database)
    assert lineage.of("common.fits", limit=2) == (["P0", "P1"], 7)
    assert lineage.of("other.fits", limit=4) == (["P1", "P3", "P5", "P7"], 0)
    assert lineage.of("2.xml", limit=4) == (["P2"], 0)
    assert lineage.of("alone.fits", limit=4) == ([], 0)


@pytest.mark.parametrize("after", [0, 1, 3, 4])
@pytest.mark.parametrize("registry", ["sqlite"], indirect=True)
def test_a_pass_that_is_killed_leaves_the_rest_to_the_next(
    registry: Registry, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ruling_module, "_PAGE", 2)
    world = World(registry, 3)
    for _ in range(4):
        world.register()
    Ruling(registry).apply_all()
    rule = replace(RULES[0], select=Selector(names=("[ab]*.fits",)), places="name!=B")
    registry.rules.put(rule)
    expected = world.expected(rule)
    write, left = registry.database.write, [after]

    def die(work: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return write(work)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(registry.database, "write", die)
        with pytest.raises(KeyboardInterrupt):
            Ruling(registry).apply("names")
    assert registry.rules.get("names").is_stale
    Ruling(registry).apply("names")
    assert registry.rules.targets("names") == set(expected.targets)
    assert not registry.rules.get("names").is_stale
    again = Ruling(registry).apply("names")
    world.check(again, world.expected(rule))
