"""The registry on both of its databases: one suite, a real server for PostgreSQL."""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from plans import QUEUES, plans, scans
from postgresql import PostgreSQL, postgresql
from registries import Addresses, on_postgresql, on_sqlite
from sqlalchemy import Connection

from euclid_dask.core.errors import (
    IllegalTransitionError,
    InputError,
    RegistryError,
    RegistryUnreachableError,
)
from euclid_dask.core.values import replace
from euclid_dask.data.model import (
    Access,
    Arrival,
    Checksum,
    DeletionState,
    ErrorClass,
    File,
    FileReference,
    FileState,
    Product,
    ProductLink,
    ProductValue,
    Replica,
    ReplicaState,
    Storage,
    StorageState,
    Transfer,
    TransferState,
)
from euclid_dask.data.products import read_product
from euclid_dask.data.query import parse_query
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.deletions import Deletions
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.files import put_checksums
from euclid_dask.data.registry.holdings import Holdings
from euclid_dask.data.registry.pins import Pins
from euclid_dask.data.registry.quotas import Quota, Quotas
from euclid_dask.data.registry.rows import BATCH
from euclid_dask.data.registry.schema import metadata
from euclid_dask.data.registry.transfers import Transfers
from euclid_dask.data.states import ReplicaCue

LEASE_S = 60.0
OVER_S = -1.0
"""A lease that has run out when it begins."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with postgresql() as running:
        yield running


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Addresses:
    return on_sqlite(tmp_path_factory.mktemp("registries"))


@pytest.fixture(scope="module")
def server_addresses(server: PostgreSQL) -> Addresses:
    return on_postgresql(server)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest) -> str:
    fixture = "sqlite" if request.param == "sqlite" else "server_addresses"
    new: Addresses = request.getfixturevalue(fixture)
    return new()


@pytest.fixture
def registry(address: str) -> Iterator[Registry]:
    with Registry(address) as opened:
        for name in ("A", "B", "C"):
            opened.storages.put(Storage(name=name, marker=f"marker of {name}"))
        opened.storages.put(Storage(name="W", marker="marker of W", durable=False))
        yield opened
        check(opened)


def check(registry: Registry) -> None:
    """Demand what has to hold of every registry at every instant, by its own tables."""

    def rows(query: str) -> Sequence[object]:
        return registry.database.read(lambda it: it.exec_driver_sql(query).all())

    readable = "state IN ('available', 'offline', 'suspect')"
    assert not rows(
        "SELECT name FROM files WHERE state = 'committed' AND NOT EXISTS (SELECT 1 FROM replicas "
        f"WHERE file_id = files.id AND replicas.{readable})"
    ), "I3: a committed file has a replica"
    assert not rows(
        "SELECT file_id FROM replicas JOIN files ON id = file_id WHERE files.state IN "
        "('deleted', 'proposed')"
    ), "a deleted or proposed file has none"
    assert not rows(
        "SELECT file_id, destination_id FROM transfers WHERE state NOT IN ('done', 'failed', "
        "'cancelled') GROUP BY file_id, destination_id HAVING count(*) > 1"
    ), "I6: one active transfer for a file and destination"
    assert not rows(
        "SELECT ordinal FROM product_files JOIN files ON files.id = file_id "
        "WHERE files.state = 'proposed'"
    ), "I9: products name committed files"


def a_file(name: str = "a.fits", size: int = 10, xxh3: str = "ab", **more: str) -> File:
    given = {"xxh3": xxh3, **more}
    checksums = tuple(Checksum(algorithm=key, value=value) for key, value in given.items())
    return File(name=name, size=size, checksums=checksums)


def add(registry: Registry, storages: str = "A", names: Sequence[str] = ("a.fits",)) -> None:
    registry.register(
        [a_file(name) for name in names],
        [
            Replica(file=name, storage=storage, path=f"raw/{name}")
            for name in names
            for storage in storages
        ],
    )


def replica_of(name: str, **more: Any) -> Replica:
    return Replica(file=name, storage="A", path=f"raw/{name}", **more)


def a_plain_product(number: int) -> Product:
    files = (FileReference(name="a.fits", ordinal=0),)
    return Product(product_id=f"P{number}", type="DpdPlain", header={}, files=files)


def where(registry: Registry, name: str = "a.fits") -> dict[str, ReplicaState]:
    found = registry.locate([name], frozenset(ReplicaState))[name]
    return {replica.storage: replica.state for replica in found}


def state(registry: Registry, name: str = "a.fits") -> FileState:
    return registry.files([name])[name].state


def content(registry: Registry) -> str:
    """Return all that is in the tables, without times and events."""
    tables = ("files", "file_checksums", "replicas", "products", "product_values", "transfers")

    def work(connection: object) -> str:
        found = {}
        for table in tables:
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}")  # type: ignore[attr-defined]
            found[table] = sorted(
                str({k: v for k, v in row._mapping.items() if not k.endswith(("_s", "event_id"))})
                for row in rows
            )
        return json.dumps(found, indent=1)

    return registry.database.read(work)


# -- files and replicas


class Text(str):
    """A text of a kind of its own, as NumPy's are."""

    __slots__ = ()


def test_a_text_of_a_kind_of_its_own_is_a_text(registry: Registry) -> None:
    registry.register([File(name=Text("x.fits"), size=1)])
    assert registry.exists(["x.fits"]) == {"x.fits"}


def test_a_name_stands_for_one_content(registry: Registry) -> None:
    add(registry)
    for other in (
        a_file(size=11),
        a_file(xxh3="cd"),
        File(name="a.fits", size=10, checksums=(Checksum(algorithm="md5", value="ab"),)),
    ):
        with pytest.raises(InputError, match=r"'a\.fits' is taken"):
            registry.register([other])
    assert registry.files(["a.fits"])["a.fits"].checksums == a_file().checksums


def test_telling_it_twice_changes_nothing(registry: Registry) -> None:
    add(registry, "AB")
    before = content(registry)
    add(registry, "AB")
    assert content(registry) == before


def test_more_checksums_of_the_same_content_are_added(registry: Registry) -> None:
    add(registry)
    registry.register([a_file(md5="ef")])
    assert [one.algorithm for one in registry.files(["a.fits"])["a.fits"].checksums] == [
        "md5",
        "xxh3",
    ]


def test_what_was_declared_stays_so_when_more_is_known_of_several_files(registry: Registry) -> None:
    names = [f"f{number}.fits" for number in range(1200)]
    told = Checksum(algorithm="md5", value="01", declared=True)
    read = Checksum(algorithm="sha256", value="02")
    registry.register([File(name=name, size=1, checksums=(told,)) for name in names])
    both = [File(name=name, size=1, checksums=(read, told)) for name in names[1:]]
    registry.register([*both, both[0]])
    found = registry.files(names)
    assert found.pop(names[0]).checksums == (told,)
    assert {file.checksums for file in found.values()} == {(told, read)}


def test_a_file_is_committed_by_its_first_replica(registry: Registry) -> None:
    registry.register([a_file()])
    assert state(registry) == FileState.PROPOSED
    registry.register([], [Replica(file="a.fits", storage="A", path="a.fits")])
    assert state(registry) == FileState.COMMITTED


def test_all_or_nothing_is_registered(registry: Registry) -> None:
    with pytest.raises(InputError, match="no storage 'Z'"):
        registry.register([a_file()], [Replica(file="a.fits", storage="Z", path="a.fits")])
    assert registry.exists(["a.fits"]) == frozenset()
    assert registry.history("a.fits") == []


@pytest.mark.parametrize(
    ("replica", "message"),
    [
        (Replica(file="a.fits", storage="A", path="other/a.fits"), "is known in A as"),
        (Replica(file="b.fits", storage="A", path="raw/a.fits"), r"is known as 'a\.fits'"),
        (Replica(file="b.fits", storage="A", path="../b.fits"), "has the step"),
        (Replica(file="c.fits", storage="A", path="c.fits"), "no file"),
        (
            Replica(file="b.fits", storage="A", path="b", state=ReplicaState.BAD),
            "cannot be bad",
        ),
    ],
)
def test_a_replica_that_cannot_be_is_refused(
    registry: Registry, replica: Replica, message: str
) -> None:
    add(registry)
    with pytest.raises(InputError, match=message):
        registry.register([a_file("b.fits")], [replica])


@pytest.mark.parametrize("size", [-1, 2**63, 2**64])
def test_a_size_that_no_file_has_is_refused(registry: Registry, size: int) -> None:
    with pytest.raises(InputError, match=f"its size is {size} bytes"):
        registry.register([a_file("ok.fits"), File(name="odd.fits", size=size)])
    assert registry.exists(["ok.fits", "odd.fits"]) == frozenset()


def test_a_batch_that_contradicts_itself_is_refused(registry: Registry) -> None:
    with pytest.raises(InputError, match="is taken by other content"):
        registry.register([a_file(), a_file(xxh3="cd")])
    before = [a_file(f"A{number}.fits") for number in range(BATCH - 1)]
    with pytest.raises(InputError, match=r"'a\.fits' is taken by other content"):
        registry.register([*before, a_file(), a_file(xxh3="cd")])
    twins = [Replica(file=name, storage="A", path="same.fits") for name in ("a.fits", "b.fits")]
    with pytest.raises(InputError, match="is given as two files"):
        registry.register([a_file(), a_file("b.fits")], twins)
    registry.register([a_file(), a_file(), a_file(sha1="ef")])
    assert len(registry.files(["a.fits"])["a.fits"].checksums) == 2


def test_a_batch_has_what_is_new_and_what_is_there(registry: Registry) -> None:
    add(registry, names=["a.fits", "b.fits"])
    registry.change_replicas([("b.fits", "A")], ReplicaCue.SUSPECT, "odd")
    registry.register([a_file("p.fits")])  # without a replica, as yet
    names = [f"{letter}.fits" for letter in "pcbad"]
    add(registry, "AB", names)
    assert {name: where(registry, name) for name in names} == dict.fromkeys(
        names, dict.fromkeys("AB", ReplicaState.AVAILABLE)
    )
    assert {state(registry, name) for name in names} == {FileState.COMMITTED}
    taken = Replica(file="new.fits", storage="A", path="raw/a.fits")
    with pytest.raises(InputError, match=r"is known as 'a\.fits', and not as 'new\.fits'"):
        registry.register([a_file("new.fits"), a_file("c.fits")], [taken])
    doubted = Replica(file="new.fits", storage="A", path="x", state=ReplicaState.SUSPECT)
    with pytest.raises(InputError, match="a new replica cannot be suspect"):
        registry.register([a_file("new.fits")], [doubted])
    assert registry.exists(["new.fits"]) == frozenset()


def test_products_that_are_new_and_that_are_there_come_together(registry: Registry) -> None:
    names = ["a.fits", *(f"{n}.xml" for n in range(5))]
    add(registry, names=names)
    known = {f"{n}.xml": a_plain_product(n) for n in range(5)}
    registry.register(products={"1.xml": known["1.xml"], "3.xml": known["3.xml"]})
    registry.register(products=known)
    found = registry.products([f"P{n}" for n in range(5)])
    assert {f"{key[1:]}.xml": product for key, product in found.items()} == known
    other = {"0.xml": replace(known["0.xml"], type="DpdOther"), "9.xml": a_plain_product(9)}
    with pytest.raises(InputError, match="is known with other content"):
        registry.register([a_file("9.xml")], [replica_of("9.xml")], other)
    assert registry.products(["P9"]) == {}


def test_texts_and_numbers_come_back_to_the_last_bit(registry: Registry) -> None:
    numbers = (0.1, 5e-324, 1.7976931348623157e308, 2.0**53 + 2, -1 / 3, 1e22 / 3, None)
    texts = ('"', "\\", "{a,b}", "é\u2028\U0001f600", "NULL", "", "\t\n%s ?")
    values = tuple(
        ProductValue(path="Data.X", ordinal=n, text=text, number=number)
        for n, (text, number) in enumerate(zip(texts, numbers, strict=True))
    )
    product = Product(product_id="P", type="T", header={"Odd": texts[3]}, files=(), values=values)
    size = 2**63 - 1
    registry.register(
        [a_file(size=size)], [replica_of("a.fits", mtime_ns=size)], {"a.fits": product}
    )
    assert registry.products(["P"]) == {"P": product}
    assert registry.files(["a.fits"])["a.fits"].size == size
    assert registry.locate(["a.fits"])["a.fits"][0].mtime_ns == size
    odd = ["a.fits\n", "\\a.fits", '"a.fits"', "{a.fits}", "é", "a.fits,x"]
    assert registry.exists([*odd, "a.fits"]) == {"a.fits"}


def test_what_is_new_is_registered_by_few_statements(registry: Registry) -> None:
    with plans() as found:
        registry.register([a_file()], [replica_of("a.fits")])
    assert len(found) == 5, found


def test_thousands_of_files_are_registered_and_located_at_once(registry: Registry) -> None:
    names = [f"f{number}.fits" for number in range(2500)]
    add(registry, names=names)
    assert {name: len(found) for name, found in registry.locate(names).items()} == dict.fromkeys(
        names, 1
    )
    assert registry.storages.counts() == {("A", "available"): 2500}
    assert registry.exists([*names[:3], "none.fits"]) == frozenset(names[:3])


def test_a_suspect_replica_is_not_read_until_it_is_verified(registry: Registry) -> None:
    add(registry, "AB")
    registry.change_replicas([("a.fits", "A")], ReplicaCue.SUSPECT, "short read")
    assert [one.storage for one in registry.locate(["a.fits"])["a.fits"]] == ["B"]
    registry.change_replicas([("a.fits", "A")], ReplicaCue.VERIFY, "read again")
    assert [one.storage for one in registry.locate(["a.fits"])["a.fits"]] == ["A", "B"]


def test_a_replica_is_not_lost_before_it_is_suspect(registry: Registry) -> None:
    add(registry, "AB")
    with pytest.raises(InputError, match="is available, and cannot become lost"):
        registry.change_replicas([("a.fits", "A")], ReplicaCue.LOSE, "not found")


def test_the_last_replica_is_lost_only_when_a_person_says_so(registry: Registry) -> None:
    add(registry)
    wanted = [("a.fits", "A")]
    registry.change_replicas(wanted, ReplicaCue.SUSPECT, "not found")
    with pytest.raises(InputError, match="would be lost"):
        registry.change_replicas(wanted, ReplicaCue.LOSE, "not found again")
    assert state(registry) == FileState.COMMITTED
    registry.change_replicas(wanted, ReplicaCue.LOSE, "disk broken", confirmed=True)
    assert state(registry) == FileState.LOST
    registry.change_replicas(wanted, ReplicaCue.VERIFY, "found on another disk")
    assert state(registry) == FileState.COMMITTED


def test_every_change_of_a_file_has_an_event(registry: Registry) -> None:
    add(registry)
    registry.transfers.enqueue([("a.fits", "B")])
    (claimed,) = registry.transfers.claim("mover", 1, LEASE_S)
    registry.transfers.publishing([claimed], LEASE_S)
    finish(registry, claimed)
    registry.change_replicas([("a.fits", "A")], ReplicaCue.SUSPECT, "short read")
    registry.pins.put(["a.fits"], "run-1")
    registry.pins.remove("run-1")
    registry.deletions.request([("a.fits", "A")], "suspect")
    (deletion,) = registry.deletions.claim("cleaner", 1, LEASE_S)
    registry.deletions.finish(deletion)
    assert [(event.kind, event.storage) for event in registry.history("a.fits")] == [
        ("registered", ""),
        ("transfer queued", "B"),
        ("transfer claimed", "B"),
        ("replicas added", ""),
        ("transfer done", "B"),
        ("replica suspect", "A"),
        ("pinned", ""),
        ("unpinned", ""),
        ("deletion queued", "A"),
        ("replica deleting", "A"),
        ("replica removed", "A"),
        ("deletion done", "A"),
    ]


# -- storages


def test_a_storage_changes_but_its_marker(registry: Registry) -> None:
    registry.storages.put(Storage(name="A", marker="marker of A", state=StorageState.READONLY))
    assert registry.storages.get("A").state == StorageState.READONLY
    with pytest.raises(InputError, match="another marker"):
        registry.storages.put(Storage(name="A", marker="of another disk"))
    with pytest.raises(InputError, match="no storage 'Z'"):
        registry.storages.get("Z")


def test_a_storage_with_replicas_is_not_forgotten(registry: Registry) -> None:
    add(registry)
    with pytest.raises(InputError, match="has replicas"):
        registry.storages.remove("A")
    registry.storages.remove("C")
    assert [one.name for one in registry.storages.all()] == ["A", "B", "W"]


def test_a_storage_is_forgotten_with_what_was_moved_there(registry: Registry) -> None:
    add(registry)
    registry.transfers.enqueue([("a.fits", "B")])
    with pytest.raises(InputError, match="transfers to it have not ended"):
        registry.storages.remove("B")
    (claimed,) = registry.transfers.claim("m1", 1, LEASE_S)
    registry.transfers.fail(claimed, ErrorClass.AUTH, "no key")
    registry.storages.remove("B")
    assert "B" not in [one.name for one in registry.storages.all()]
    assert registry.transfers.of_files(["a.fits"]) == []


def test_ways_to_reach_a_storage_are_changed_and_removed(registry: Registry) -> None:
    way = Access(storage="A", zone="hpc", root="sftp://Host:22/data/", options={"timeout_s": "5"})
    registry.storages.put_access([way, Access(storage="B", zone="lab", root="file:///data")])
    registry.storages.put_access([way])
    (kept,) = registry.storages.accesses("hpc")
    assert (kept.root, kept.options) == ("sftp://host:22/data", {"timeout_s": "5"})
    assert len(registry.storages.accesses()) == 2
    registry.storages.remove_access("A", "hpc", "sftp://host:22/data")
    assert registry.storages.accesses("hpc") == []


def test_no_secret_in_a_root_is_stored_or_repeated(registry: Registry) -> None:
    for root in ("https://me:s3cret@host/x", "https://host/x?token=s3cret"):
        with pytest.raises(InputError) as caught:
            registry.storages.put_access([Access(storage="A", zone="z", root=root)])
        assert "s3cret" not in str(caught.value)


# -- transfers


def finish(registry: Registry, transfer: Transfer, **changes: object) -> None:
    replica = Replica(file=transfer.file, storage=transfer.destination, path=f"raw/{transfer.file}")
    arrival = Arrival(transfer=transfer, replica=replica, content=a_file(transfer.file), **changes)
    registry.transfers.finish([arrival])


def test_a_transfer_goes_from_the_queue_to_a_replica(registry: Registry) -> None:
    add(registry)
    registry.transfers.enqueue([("a.fits", "B")])
    (claimed,) = registry.transfers.claim("mover", 10, LEASE_S)
    assert (claimed.file, claimed.destination, claimed.deaths) == ("a.fits", "B", 0)
    assert registry.transfers.claim("other", 10, LEASE_S) == []
    assert registry.transfers.extend([claimed], LEASE_S) == [claimed]
    assert registry.transfers.publishing([claimed], LEASE_S) == [claimed]
    for _ in "again":
        finish(registry, claimed, bytes_copied=10)
    (done,) = registry.transfers.get([claimed.id])
    assert (done.state, done.bytes_copied, done.method) == (TransferState.DONE, 10, "copy")
    assert where(registry) == {"A": "available", "B": "available"}
    assert registry.transfers.active() == []


def test_a_file_is_brought_to_a_storage_once(registry: Registry) -> None:
    add(registry)
    registry.transfers.enqueue([("a.fits", "A"), ("a.fits", "B")])
    registry.transfers.enqueue([("a.fits", "B"), ("a.fits", "B"), ("a.fits", "C")])
    assert [one.destination for one in registry.transfers.active()] == ["B", "C"]


def test_fifty_tasks_that_want_a_file_have_one_transfer(registry: Registry) -> None:
    add(registry)
    with ThreadPoolExecutor(8) as threads:
        wishes = [threads.submit(registry.transfers.enqueue, [("a.fits", "B")]) for _ in range(50)]
        for wish in wishes:
            wish.result()
    assert len(registry.transfers.of_files(["a.fits"])) == 1


def test_what_cannot_be_copied_is_not_asked_for(registry: Registry) -> None:
    registry.register([a_file("proposed.fits")])
    with pytest.raises(InputError, match="is proposed: there is nothing to copy"):
        registry.transfers.enqueue([("proposed.fits", "A")])
    add(registry, "AB")
    registry.change_replicas([("a.fits", "B")], ReplicaCue.SUSPECT, "short read")
    with pytest.raises(InputError, match="in B is suspect"):
        registry.transfers.enqueue([("a.fits", "B")])


def test_the_urgent_are_claimed_first(registry: Registry) -> None:
    add(registry, names=["a.fits", "b.fits", "c.fits"])
    registry.transfers.enqueue([("a.fits", "B")])
    registry.transfers.enqueue([("b.fits", "B"), ("c.fits", "B")], priority=5)
    names = [one.file for one in registry.transfers.claim("mover", 2, LEASE_S)]
    assert names == ["b.fits", "c.fits"]


def test_a_mover_whose_lease_ran_out_publishes_nothing(registry: Registry) -> None:
    add(registry)
    registry.transfers.enqueue([("a.fits", "B")])
    (stalled,) = registry.transfers.claim("stalled", 1, OVER_S)
    (claimed,) = registry.transfers.claim("other", 1, LEASE_S)
    assert claimed.fence == stalled.fence + 1
    assert claimed.deaths == 1
    assert registry.transfers.extend([stalled], LEASE_S) == []
    assert registry.transfers.publishing([stalled, claimed], LEASE_S) == [claimed]
    with pytest.raises(InputError, match="no more stalled's"):
        finish(registry, stalled)
    assert not registry.transfers.fail(stalled, ErrorClass.NETWORK, "late")
    assert where(registry) == {"A": "available"}
    finish(registry, claimed)


def test_nothing_is_recorded_before_it_was_to_be_published(registry: Registry) -> None:
    add(registry)
    registry.transfers.enqueue([("a.fits", "B")])
    (claimed,) = registry.transfers.claim("mover", 1, LEASE_S)
    with pytest.raises(InputError, match="is running"):
        finish(registry, claimed)


def test_a_transfer_of_other_content_is_not_recorded(registry: Registry) -> None:
    add(registry)
    registry.transfers.enqueue([("a.fits", "B")])
    (claimed,) = registry.transfers.claim("mover", 1, LEASE_S)
    registry.transfers.publishing([claimed], LEASE_S)
    replica = Replica(file="a.fits", storage="B", path="a.fits")
    with pytest.raises(InputError, match="other content"):
        registry.transfers.finish(
            [Arrival(transfer=claimed, replica=replica, content=a_file(xxh3="cd"))]
        )
    assert where(registry) == {"A": "available"}
    elsewhere = Replica(file="a.fits", storage="C", path="a.fits")
    with pytest.raises(InputError, match="does not bring"):
        registry.transfers.finish([Arrival(transfer=claimed, replica=elsewhere, content=a_file())])


def test_a_transfer_is_tried_again_later_or_never(registry: Registry) -> None:
    add(registry)
    registry.transfers.enqueue([("a.fits", "B"), ("a.fits", "C")])
    to_b, to_c = registry.transfers.claim("mover", 2, LEASE_S)
    assert registry.transfers.fail(to_b, ErrorClass.NETWORK, "reset", retry_in_s=0)
    assert registry.transfers.fail(to_c, ErrorClass.NETWORK, "reset", retry_in_s=3600)
    (again,) = registry.transfers.claim("mover", 2, LEASE_S)
    assert (again.destination, again.attempts, again.error) == ("B", 1, "reset")
    assert again.deaths == 0
    registry.transfers.fail(again, ErrorClass.AUTH, "wrong key")
    assert registry.transfers.get([again.id])[0].state == TransferState.FAILED
    registry.transfers.enqueue([("a.fits", "B")])
    assert len(registry.transfers.active()) == 2


def test_a_cancelled_transfer_is_not_published(registry: Registry) -> None:
    add(registry)
    registry.transfers.enqueue([("a.fits", "B")])
    (claimed,) = registry.transfers.claim("mover", 1, LEASE_S)
    assert registry.transfers.cancel([claimed.id]) == 1
    assert registry.transfers.publishing([claimed], LEASE_S) == []
    assert registry.transfers.cancel([claimed.id]) == 0


def test_a_storage_that_is_paused_or_not_written_has_no_transfers(registry: Registry) -> None:
    add(registry)
    registry.transfers.enqueue([("a.fits", "B"), ("a.fits", "C")])
    registry.storages.pause("B", 3600)
    registry.storages.put(Storage(name="C", marker="marker of C", state=StorageState.READONLY))
    assert registry.transfers.claim("mover", 2, LEASE_S) == []
    registry.storages.pause("B", 0)
    assert [one.destination for one in registry.transfers.claim("mover", 2, LEASE_S)] == ["B"]


def test_a_mover_gets_what_it_can_read_and_what_another_lost(registry: Registry) -> None:
    add(registry)
    registry.transfers.enqueue([("a.fits", "C")])
    assert registry.transfers.claim("mover", 1, LEASE_S, ["C"], ["B"]) == []
    (claimed,) = registry.transfers.claim("mover", 1, 0.0, ["C"], ["B", "A"])
    (again,) = registry.transfers.claim("other", 1, LEASE_S, ["C"], ["B"])
    assert (again.id, again.deaths) == (claimed.id, 1)


def test_a_storage_of_one_writer_has_one(registry: Registry) -> None:
    add(registry, names=["a.fits", "b.fits", "c.fits"])
    registry.storages.put(Storage(name="F", marker="ftp", one_writer=True))
    registry.transfers.enqueue([(name, "F") for name in ("a.fits", "b.fits", "c.fits")])
    assert len(registry.transfers.claim("one", 1, LEASE_S)) == 1
    assert registry.transfers.claim("other", 1, LEASE_S) == []
    assert len(registry.transfers.claim("one", 1, LEASE_S)) == 1


def test_a_claim_waits_for_no_other_that_looks_at_a_storage_of_one_writer(
    server_addresses: Addresses,
) -> None:
    looked_at, done = threading.Event(), threading.Event()

    def look(connection: Connection) -> bool:
        connection.exec_driver_sql("SELECT id FROM storages WHERE name = 'F' FOR UPDATE")
        looked_at.set()
        return done.wait(60)

    with Registry(server_addresses()) as registry, ThreadPoolExecutor(1) as pool:
        for name in ("A", "B"):
            registry.storages.put(Storage(name=name, marker=name))
        registry.storages.put(Storage(name="F", marker="ftp", one_writer=True))
        add(registry)
        registry.transfers.enqueue([("a.fits", "B"), ("a.fits", "F")])
        other = pool.submit(registry.database.write, look)
        assert looked_at.wait(60)
        claimed = registry.transfers.claim("mover", 10, LEASE_S)
        done.set()
        assert other.result()
        assert [one.destination for one in claimed] == ["B"]
        assert [one.destination for one in registry.transfers.claim("mover", 10, LEASE_S)] == ["F"]


def test_movers_that_claim_at_once_get_different_transfers(registry: Registry) -> None:
    names = [f"f{number}.fits" for number in range(400)]
    add(registry, names=names)
    registry.transfers.enqueue([(name, "B") for name in names])

    def work(worker: str) -> list[int]:
        mine: list[int] = []
        while claimed := registry.transfers.claim(worker, 20, LEASE_S):
            mine += [one.id for one in claimed]
        return mine

    taken = in_parallel([lambda name=f"mover {n}": work(name) for n in range(4)])
    everything = [key for mine in taken for key in mine]
    assert len(everything) == len(set(everything)) == 400


def test_a_claim_neither_sorts_a_queue_nor_reads_all_files(registry: Registry) -> None:
    names = [f"f{number:03}.fits" for number in range(210)]
    add(registry, names=names)  # and nothing has been counted yet
    registry.transfers.enqueue([(name, "B") for name in names])
    registry.transfers.claim("dead", 1, OVER_S)
    with plans() as found:
        assert len(registry.transfers.claim("mover", 2, LEASE_S)) == 2
    (waiting,) = (plan for plan in found if "ix_transfers_waiting" in plan)
    assert not re.search(r"Sort|TEMP B-TREE|SCAN files|Seq Scan on files", waiting), waiting
    oldest, dropped = (plan for plan in found if "ix_transfers_held" in plan)
    assert re.search(r"SEARCH transfers USING|Limit", oldest), "its first entry is read"
    assert re.search(r"lease_until_s ?<", dropped), dropped
    assert not any("JIT" in plan for plan in found), "nothing is compiled"


def in_parallel(works: Sequence[Callable[[], object]]) -> list:
    """Return what each returns, or the error that it raises; all begin at once."""
    barrier = threading.Barrier(len(works))

    def begin(work: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return work()
        except (InputError, RegistryError, IllegalTransitionError) as error:
            return error

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(begin, works))


# -- pins and deletions


def delete(registry: Registry, storage: str, **more: bool) -> None:
    registry.deletions.request([("a.fits", storage)], "not needed", **more)  # type: ignore[arg-type]
    for deletion in registry.deletions.claim("cleaner", 10, LEASE_S):
        registry.deletions.finish(deletion)


def test_a_replica_goes_when_another_stays(registry: Registry) -> None:
    add(registry, "AB")
    delete(registry, "A")
    assert where(registry) == {"B": "available"}
    assert state(registry) == FileState.COMMITTED


@pytest.mark.parametrize("other", ["", "W"])
def test_the_last_durable_replica_stays(registry: Registry, other: str) -> None:
    add(registry, "A" + other)
    with pytest.raises(InputError, match="no other good replica is in a durable storage"):
        delete(registry, "A")
    assert where(registry)["A"] == "available"


def test_the_last_replica_goes_on_request_and_the_name_stays_taken(registry: Registry) -> None:
    add(registry)
    delete(registry, "A", last_copy=True)
    assert state(registry) == FileState.DELETED
    with pytest.raises(InputError, match="is taken"):
        registry.register([a_file(xxh3="cd")])
    add(registry)
    assert state(registry) == FileState.COMMITTED


def test_no_replica_goes_without_a_reason(registry: Registry) -> None:
    add(registry, "AB")
    with pytest.raises(InputError, match="without a reason"):
        registry.deletions.request([("a.fits", "A")], " ")


def test_a_replica_in_a_disabled_storage_is_none_to_rely_on(registry: Registry) -> None:
    add(registry, "AB")
    registry.storages.put(Storage(name="B", marker="marker of B", state=StorageState.DISABLED))
    with pytest.raises(InputError, match="no other good replica"):
        delete(registry, "A")


def test_what_is_pinned_or_under_way_stays(registry: Registry) -> None:
    add(registry, "AB")
    registry.pins.put(["a.fits"], "run-1")
    registry.pins.put(["a.fits"], "run-2", lasting_s=OVER_S)
    assert registry.pins.owners("a.fits") == ["run-1"]
    with pytest.raises(InputError, match="pinned by run-1"):
        delete(registry, "A")
    assert registry.pins.remove("run-1", ["a.fits"]) == 1
    registry.transfers.enqueue([("a.fits", "C")])
    with pytest.raises(InputError, match="of the file is not done"):
        delete(registry, "A")


def test_what_is_pinned_during_its_grace_stays(registry: Registry) -> None:
    add(registry, "AB")
    registry.deletions.request([("a.fits", "A")], "not needed")
    registry.pins.put(["a.fits"], "run-1")
    (asked,) = registry.deletions.open()
    assert registry.deletions.claim("cleaner", 1, LEASE_S) == []
    (deletion,) = registry.deletions.get([asked.id])
    assert (deletion.state, deletion.error) == (
        DeletionState.CANCELLED,
        "it is pinned by run-1",
    )
    assert where(registry) == {"A": "available", "B": "available"}


def test_a_replica_stays_readable_during_its_grace(registry: Registry) -> None:
    add(registry, "AB")
    for _ in "again":
        registry.deletions.request([("a.fits", "A")], "not needed", grace_s=3600)
    assert registry.deletions.claim("cleaner", 1, LEASE_S) == []
    assert len(registry.locate(["a.fits"])["a.fits"]) == 2
    (deletion,) = registry.deletions.open()
    assert registry.deletions.cancel([deletion.id]) == 1
    assert registry.deletions.open() == []


def test_a_cleaner_that_died_is_followed_by_another(registry: Registry) -> None:
    add(registry, "AB")
    registry.deletions.request([("a.fits", "A")], "not needed")
    (dead,) = registry.deletions.claim("dead", 1, OVER_S)
    (deletion,) = registry.deletions.claim("other", 1, LEASE_S)
    assert (deletion.id, deletion.fence) == (dead.id, dead.fence + 1)
    with pytest.raises(InputError, match="another's"):
        registry.deletions.finish(dead)
    for _ in "again":
        registry.deletions.finish(deletion)
    assert where(registry) == {"B": "available"}


@pytest.mark.parametrize(
    ("ends", "file", "left"),
    [
        ("A-,B-", FileState.DELETED, {}),
        ("B-,A-", FileState.DELETED, {}),
        ("A!,B-", FileState.COMMITTED, {"A": "suspect"}),
        ("B-,A!", FileState.COMMITTED, {"A": "suspect"}),
        ("A-,B!", FileState.COMMITTED, {"B": "suspect"}),
        ("A!,B!", FileState.COMMITTED, {"A": "suspect", "B": "suspect"}),
    ],
)
def test_a_file_is_gone_when_the_last_of_its_replicas_is(
    registry: Registry, ends: str, file: FileState, left: dict[str, str]
) -> None:
    add(registry, "AB")
    for storage in "AB":
        registry.deletions.request([("a.fits", storage)], "not needed", last_copy=True)
    going = {one.storage: one for one in registry.deletions.claim("cleaner", 2, LEASE_S)}
    assert state(registry) == FileState.DELETING
    first, second = ends.split(",")
    for end in (first, second):
        if end[1] == "-":
            registry.deletions.finish(going[end[0]])
        else:
            registry.deletions.fail(going[end[0]], "no permission")
        if end == first:
            assert state(registry) == FileState.DELETING, "one of them is still to go"
    assert (state(registry), where(registry)) == (file, left)


def test_a_replica_that_cannot_be_removed_is_suspect(registry: Registry) -> None:
    add(registry)
    registry.deletions.request([("a.fits", "A")], "not needed", last_copy=True)
    (deletion,) = registry.deletions.claim("cleaner", 1, LEASE_S)
    assert state(registry) == FileState.DELETING
    with pytest.raises(InputError, match="being removed"):
        registry.register([a_file()], [Replica(file="a.fits", storage="B", path="a.fits")])
    with pytest.raises(InputError, match="is deleting"):
        registry.pins.put(["a.fits"], "run-1")
    registry.deletions.fail(deletion, "no permission")
    assert where(registry) == {"A": "suspect"}
    assert state(registry) == FileState.COMMITTED


def race_of_deletions(registry: Registry, other: Registry, rounds: int) -> None:
    """Delete both replicas of each of many files at once, as two that do not know each other."""
    names = [f"f{number}.fits" for number in range(rounds)]
    add(registry, "AB", names)
    for name in names:

        def removal(mine: Registry, storage: str, name: str = name) -> Callable[[], None]:
            def work() -> None:
                mine.deletions.request([(name, storage)], "not needed")
                for deletion in mine.deletions.claim(storage, 10, LEASE_S):
                    mine.deletions.finish(deletion)

            return work

        in_parallel([removal(registry, "A"), removal(other, "B")])
    for deletion in registry.deletions.claim("last", 10 * rounds, LEASE_S):
        registry.deletions.finish(deletion)
    left = registry.locate(names)
    assert {name: len(found) for name, found in left.items()} == dict.fromkeys(names, 1)


def test_two_deletions_of_two_replicas_leave_one(registry: Registry) -> None:
    rounds = 100 if registry.database._engine.dialect.name == "postgresql" else 30
    race_of_deletions(registry, registry, int(os.environ.get("EUCLID_DASK_RACES", rounds)))


def test_a_pin_and_a_deletion_at_once_do_not_both_win(registry: Registry) -> None:
    names = [f"f{number}.fits" for number in range(30)]
    add(registry, "A", names)
    for name in names:

        def remove(name: str = name) -> int:
            registry.deletions.request([(name, "A")], "not needed", last_copy=True)
            return len(registry.deletions.claim("cleaner", 10, LEASE_S))

        def pin(name: str = name) -> str:
            registry.pins.put([name], "run")
            return "pinned"

        removed, pinned = in_parallel([remove, pin])
        assert (removed == 1) != (pinned == "pinned"), (removed, pinned)


class Paused:
    """A database whose transactions pause before they are committed."""

    def __init__(self, database: Database, pause: Callable[[], object]) -> None:
        self.database = database
        self.pause = pause

    def write(self, work: Callable[[Connection], object]) -> object:
        def longer(connection: Connection) -> object:
            result = work(connection)
            self.pause()
            return result

        return self.database.write(longer)


@pytest.mark.parametrize("need", ["pin", "transfer", "deletion"])
def test_a_replica_is_not_marked_while_somebody_begins_to_need_it(
    server_addresses: Addresses, need: str
) -> None:
    with Registry(server_addresses()) as registry, ThreadPoolExecutor(1) as thread:
        for name in ("A", "B", "C"):
            registry.storages.put(Storage(name=name, marker=name))
        add(registry, "AB")
        registry.deletions.request([("a.fits", "A")], "not needed")
        claims: list[Future[object]] = []

        def claim_meanwhile() -> None:
            claims.append(thread.submit(remove_other if need == "deletion" else remove))
            wait(claims, timeout=0.5)  # it waits for us, or passes over what we hold

        def remove() -> object:
            return registry.deletions.claim("cleaner", 10, LEASE_S)

        def remove_other() -> object:
            registry.deletions.request([("a.fits", "B")], "not needed")
            return remove()

        paused: Any = Paused(registry.database, claim_meanwhile)
        match need:
            case "pin":
                Pins(paused).put(["a.fits"], "run")
            case "transfer":
                Transfers(paused).enqueue([("a.fits", "C")])
            case _:
                Deletions(paused).claim("first", 10, LEASE_S)
        marked = [one for one, state in where(registry).items() if state == "deleting"]
        assert marked == (["A"] if need == "deletion" else [])
        assert isinstance(claims[0].exception(), InputError) or claims[0].result() == []


def test_two_that_register_a_name_with_other_content_do_not_both_win(registry: Registry) -> None:
    for number in range(20):
        one, other = in_parallel(
            [
                lambda name=f"f{number}.fits", xxh3=xxh3: registry.register(
                    [a_file(name, xxh3=xxh3)]
                )
                for xxh3 in ("ab", "cd")
            ]
        )
        assert isinstance(one, InputError) != isinstance(other, InputError), (one, other)


def test_what_others_learn_of_a_known_content_is_compared(server_addresses: Addresses) -> None:
    with Registry(server_addresses()) as registry, ThreadPoolExecutor(1) as thread:
        registry.register([a_file(md5="01")])
        told: list[Future[None]] = []

        def tell(sha256: str) -> None:
            registry.register([a_file(md5="01", sha256=sha256)])

        def tell_first(connection: Connection) -> None:
            put_checksums(connection, [a_file(md5="01", sha256="02")])
            told.append(thread.submit(tell, "03"))
            wait(told, timeout=0.5)  # it waits for us

        registry.database.write(tell_first)
        with pytest.raises(InputError, match="taken by other content: its sha256 is 02"):
            told[0].result()


def test_two_that_learn_more_of_one_content_are_both_heard(registry: Registry) -> None:
    names = [f"f{number}.fits" for number in range(20)]
    registry.register([a_file(name, md5="01") for name in names])

    def tell(order: list[str], **sums: str) -> None:
        for name in order:
            registry.register([a_file(name, md5="01", **sums)])

    told = [lambda: tell(names, sha256="02"), lambda: tell(names, adler32="00000003")]
    assert not any(isinstance(outcome, Exception) for outcome in in_parallel(told))
    for file in registry.files(names).values():
        assert [one.algorithm for one in file.checksums] == ["adler32", "md5", "sha256", "xxh3"]


def test_two_that_register_the_same_both_succeed(registry: Registry) -> None:
    names = [f"f{number}.fits" for number in range(200)]
    outcomes = in_parallel(
        [
            lambda: add(registry, "AB", names),
            lambda: add(registry, "BA", names[::-1]),
            lambda: add(registry, "A", names[50:150]),
        ]
    )
    assert outcomes == [None, None, None]


# -- products


def a_product(key: str = "P1", **changes: object) -> Product:
    given: dict[str, object] = {
        "product_id": key,
        "type": "DpdVisRawFrame",
        "namespace": "http://ecdm.euclid-ec.org/schema/dpd/vis/rawframe",
        "header": {"DataSetRelease": "SC8_MAIN_V0", "ManualValidationStatus": "UNKNOWN"},
        "files": (FileReference(name="a.fits", ordinal=0, xpath="Data/DataStorage"),),
        "links": (ProductLink(role="calibration", target="P0"),),
        "values": (
            ProductValue(path="Data.Filter", ordinal=0, text="VIS"),
            ProductValue(path="Data.Filter", ordinal=1, text="NIR_Y"),
            ProductValue(path="Data.TileIndex", ordinal=0, text="90346", number=90346),
        ),
        **changes,
    }
    return Product(**given)  # type: ignore[arg-type]


def add_product(registry: Registry, key: str = "P1", **changes: object) -> None:
    add(registry, "A", ["a.fits", f"{key}.xml"])
    registry.register(products={f"{key}.xml": a_product(key, **changes)})


def found(registry: Registry, text: str, **more: object) -> list[str]:
    query = parse_query(text, "DpdVisRawFrame")
    return [one.product_id for one in registry.find(query, **more)]  # type: ignore[arg-type]


def test_a_product_is_kept_as_it_is(registry: Registry) -> None:
    for _ in "again":
        add_product(registry)
    assert registry.products(["P1", "P2"]) == {"P1": a_product()}
    (row,) = registry.find(parse_query("DpdVisRawFrame"))
    assert (row.product_id, row.xml) == ("P1", "P1.xml")


def test_a_product_is_registered_after_its_files(registry: Registry) -> None:
    add(registry, "A", ["P1.xml"])
    registry.register([a_file("a.fits")])
    with pytest.raises(InputError, match="a product is registered after all its files"):
        registry.register(products={"P1.xml": a_product()})
    assert registry.products(["P1"]) == {}


def test_a_product_with_half_a_character_is_refused_with_it(registry: Registry) -> None:
    with pytest.raises(InputError, match=r"the text 'a\\ud800' .* its character 2 is half of one"):
        add_product(registry, header={"Title": "a\ud800"})
    assert registry.products(["P1"]) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"header": {}}, "known with other content"),
        ({"problems": ("its checksum is no MD5",)}, "its checksum is no MD5"),
    ],
)
def test_a_product_that_is_another_or_odd_is_refused(
    registry: Registry, changes: dict[str, object], message: str
) -> None:
    add_product(registry)
    with pytest.raises(InputError, match=message):
        add_product(registry, **changes)


def test_a_declared_checksum_that_is_not_the_files_is_refused(registry: Registry) -> None:
    wrong = Checksum(algorithm="xxh3", value="cd", declared=True)
    with pytest.raises(InputError, match="other content"):
        add_product(registry, files=(FileReference(name="a.fits", ordinal=0, checksum=wrong),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Header.DataSetRelease=SC8_MAIN_V0", ["P1", "P2"]),
        ('Header.ManualValidationStatus.ManualValidationStatus!="INVALID"', ["P1", "P3"]),
        ("Data.TileIndex==90346", ["P1", "P3"]),
        ("Data.TileIndex<90346", ["P2"]),
        ("Data.TileIndex>=90346 and not Header.DataSetRelease like SC8*", ["P3"]),
        ("Data.Filter like *_Y", ["P1", "P2"]),
        ("Data.Filter like *_y", []),
        ("Data.Filter == VIS and Data.Filter == NIR_Y", ["P1", "P2"]),
        ("Data.Filter != NIR_Y", ["P3"]),
        ("Header.CreationDate < dt(2023,1,1,0,0,0)", ["P3"]),
        ("Header.ProductId > P1 && (Data.TileIndex == 7 || Data.Filter == none)", ["P2"]),
        ("Header.DataSetRelease like SC8%", []),
        ("Header.PlanId > 9", ["P3"]),
        ("Header.PlanId == 9.0", ["P2"]),
        ("Header.PlanId != 9", ["P1", "P3"]),
        ("Header.PlanId < 1e9 and not Header.PlanId < 1e1", ["P3"]),
        ('Header.PlanId == "9"', ["P2"]),
        ("Header.Curator < 5", []),
        ("Data.TileIndex == 90_346", []),
        ("DpdVisRawFrame", ["P1", "P2", "P3"]),
        ("DpdMerFinalCatalog", []),
    ],
)
def test_products_are_found_by_their_values(
    registry: Registry, text: str, expected: list[str]
) -> None:
    add_product(registry)
    add_product(
        registry,
        "P2",
        header={
            "DataSetRelease": "SC8_MAIN_V0",
            "ManualValidationStatus": "INVALID",
            "PlanId": "9",
            "Curator": "1e999",
        },
        values=(
            *a_product().values[:2],
            ProductValue(path="Data.TileIndex", ordinal=0, text="7", number=7),
        ),
    )
    add_product(
        registry,
        "P3",
        header={
            "DataSetRelease": "DR1",
            "CreationDate": "2022-07-07T15:18:11.300Z",
            "PlanId": "10",
            "Curator": "4 of us",
        },
        values=(a_product().values[0], a_product().values[2]),
    )
    assert found(registry, text) == expected


def test_products_are_found_page_by_page(registry: Registry) -> None:
    for number in range(5):
        add_product(registry, f"P{number}")
    assert found(registry, "DpdVisRawFrame", limit=2) == ["P0", "P1"]
    assert found(registry, "DpdVisRawFrame", limit=2, after="P1") == ["P2", "P3"]


def test_a_value_that_no_product_has_is_named(registry: Registry) -> None:
    assert found(registry, "Data.TileIndx == 1") == []
    add_product(registry)
    with pytest.raises(InputError, match=r"no product has the value Data\.TileIndx"):
        found(registry, "Data.TileIndx == 1")


SAMPLES = Path(__file__).parents[1] / "data" / "products"
VALUES = ("Data.TileIndex", "Data.ObservationId", "Data.ObservationSequence.ObservationId")
SAMPLE_CHANGES = {
    # what the archive would have in place of the random texts of the samples
    "mer_final_catalog": {"NapiI": "SC8_MAIN_V0", "-5728752819019246857": "90346"},
    "phz_pf_output_catalog": {"5717818400712049998": "90346"},
    "star_catalog": {"sfpWE": "SC8_MAIN_V0", "5294579098449068494": "10351"},
    "validation_test_results": {"vdOoy": "SC8_MAIN_V0", "1782638695496383127": "10351"},
    "vis_calibrated_frame": {"y7eaZ": "SC8_MAIN_V0", "235981124042421938": "10351"},
    "vis_calibrated_quad_frame": {"oe9RH": "SC8_MAIN_V0"},
}
QUERY_HEAD = (
    'Header.ManualValidationStatus.ManualValidationStatus!="INVALID"'
    "&&Header.DataSetRelease=SC8_MAIN_V0"
)


@pytest.fixture
def samples(registry: Registry, tmp_path: Path) -> Registry:
    """Have the sample products of the archive's clients registered, with releases and ids."""
    for sample, changes in SAMPLE_CHANGES.items():
        text = (SAMPLES / f"she_ppt__sample_{sample}.xml").read_text()
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        xml = tmp_path / f"{sample}.xml"
        xml.write_text(re.sub(r'checksum(Method|Value)="[^"]*"', "", text))
        product = read_product(xml, VALUES)
        add(registry, "A", [xml.name, *sorted({one.name for one in product.files})])
        registry.register(products={xml.name: product})
    return registry


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            QUERY_HEAD,
            "mer_final_catalog star_catalog vis_calibrated_frame vis_calibrated_quad_frame",
        ),
        (f"{QUERY_HEAD}&&Data.TileIndex==90346", "mer_final_catalog"),
        (f"{QUERY_HEAD}&&Data.ObservationId==10351", "star_catalog"),
        (
            f"{QUERY_HEAD}&&Data.ObservationSequence.ObservationId==10351",
            "vis_calibrated_frame",
        ),
        (
            (
                "DpdVisCalibratedQuadFrame where Data.ObservationSequence.ObservationId == "
                "8135911541567827901"
            ),
            "vis_calibrated_quad_frame",
        ),
        ("Data.ObservationSequence.ObservationId == 8135911541567827902", ""),
    ],
)
def test_the_texts_of_the_archives_clients_find_the_right_samples(
    samples: Registry, query: str, expected: str
) -> None:
    rows = samples.find(parse_query(query))
    assert {row.xml for row in rows} == {f"{name}.xml" for name in expected.split()}


# -- quotas


def test_copies_that_a_quota_has_no_room_for_are_not_queued(registry: Registry) -> None:
    names = ["a.fits", "b.fits", "c.fits"]
    add(registry, names=names)
    size = a_file("a.fits").size
    add(registry, "B", ["b0.fits"])
    registry.quotas.put("B", 3 * size)
    registry.transfers.enqueue([("a.fits", "B")])
    assert registry.quotas.all() == {
        "B": Quota(limit_bytes=3 * size, there_bytes=size, coming_bytes=size)
    }
    registry.transfers.enqueue([("a.fits", "B")])  # is on its way
    with pytest.raises(InputError, match=f"B may hold .* {size:,} bytes are free: {2 * size:,}"):
        registry.transfers.enqueue([("b.fits", "B"), ("c.fits", "B")])
    registry.transfers.enqueue([("b.fits", "B"), ("c.fits", "C")])
    with pytest.raises(InputError, match="0 bytes are free"):
        registry.transfers.enqueue([("c.fits", "B")])
    registry.quotas.put("B", None)
    registry.transfers.enqueue([("c.fits", "B")])
    assert registry.quotas.all() == {}
    with pytest.raises(InputError, match="no storage"):
        registry.quotas.put("nowhere", 1)


def test_two_that_queue_at_once_keep_a_quota(address: str) -> None:
    names = [f"f{number}.fits" for number in range(12)]
    with Registry(address) as one, Registry(address) as other:
        for name in "AB":
            one.storages.put(Storage(name=name, marker=name))
        add(one, names=names)
        size = a_file("a.fits").size
        one.quotas.put("B", 5 * size)

        def asking(mine: Registry, name: str) -> Callable[[], None]:
            return lambda: mine.transfers.enqueue([(name, "B")])

        some = [asking((one, other)[n % 2], name) for n, name in enumerate(names)]
        told = in_parallel(some)
        assert [str(one) for one in told].count("None") == 5
        assert one.quotas.all()["B"].free_bytes == 0


def test_who_waits_for_a_quota_that_is_changed_keeps_it(server_addresses: Addresses) -> None:
    with Registry(server_addresses()) as registry, ThreadPoolExecutor(1) as thread:
        for name in "AB":
            registry.storages.put(Storage(name=name, marker=name))
        add(registry)
        registry.quotas.put("B", 100)
        told: list[Future[None]] = []

        def queue_meanwhile() -> None:
            told.append(thread.submit(registry.transfers.enqueue, [("a.fits", "B")]))
            wait(told, timeout=0.5)  # it waits for us

        paused: Any = Paused(registry.database, queue_meanwhile)
        Quotas(paused).put("B", 1)
        with pytest.raises(InputError, match="B may hold 1B"):
            told[0].result()


# -- the databases


def test_many_read_while_one_writes(address: str) -> None:
    with Registry(address) as writer, Registry(address, read_only=True) as reader:
        writer.storages.put(Storage(name="A", marker="a"))
        assert [one.name for one in reader.storages.all()] == ["A"]


def test_processes_write_to_sqlite_in_turns(tmp_path: Path) -> None:
    address = str(tmp_path / "new.sqlite")

    def writer(number: int) -> Callable[[], None]:
        def work() -> None:
            for step in range(10):
                with Registry(address) as registry:
                    registry.storages.put(Storage(name=f"S{number}.{step}", marker="m"))

        return work

    assert in_parallel([writer(number) for number in range(4)]) == [None] * 4
    with Registry(address, read_only=True) as reader:
        assert len(reader.storages.all()) == 40


def test_two_processes_that_delete_two_replicas_in_sqlite_leave_one(sqlite: Addresses) -> None:
    address = sqlite()
    with Registry(address) as one, Registry(address) as other:
        for name in ("A", "B"):
            one.storages.put(Storage(name=name, marker=name))
        race_of_deletions(one, other, 30)
        check(one)


def test_one_process_serves_a_registry_in_sqlite_and_others_write(sqlite: Addresses) -> None:
    address = sqlite()
    with Registry(address) as one, Registry(address) as other, one.database.served():
        refused = pytest.raises(RegistryError, match="another `euclid-dask move` serves")
        with refused, other.database.served():
            pass
        other.storages.put(Storage(name="A", marker="a"))
        assert [storage.name for storage in one.storages.all()] == ["A"]
    with other.database.served():
        pass


def test_a_reader_changes_nothing(sqlite: Addresses) -> None:
    with Registry(sqlite(), read_only=True) as reader, pytest.raises(RegistryError):
        reader.storages.put(Storage(name="A", marker="a"))


def test_an_empty_database_is_no_registry_to_read(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no registry"):
        Registry(tmp_path / "none.db", read_only=True)


def filled(address: str) -> Registry:
    """Return a registry with something in each of its tables that are written."""
    registry = Registry(address)
    registry.storages.put(Storage(name="A", marker="a", labels={"country": "CH"}))
    registry.storages.put(Storage(name="B", marker="b"))
    registry.storages.put_access([Access(storage="A", zone="lab", root="file:///data")])
    add_product(registry)
    add(registry, "AB", ["b.fits", "c.fits"])
    registry.transfers.enqueue([("a.fits", "B")])
    registry.deletions.request([("b.fits", "A")], "not needed")
    registry.pins.put(["c.fits"], "run-1")
    return registry


def everything(registry: Registry) -> dict[str, list[str]]:
    def work(connection: object) -> dict[str, list[str]]:
        return {
            table.name: sorted(map(str, connection.execute(table.select()).all()))  # type: ignore[attr-defined]
            for table in metadata.sorted_tables
        }

    return registry.database.read(work)


def test_a_registry_goes_to_postgresql_and_back_unchanged(
    sqlite: Addresses, server_addresses: Addresses
) -> None:
    with (
        filled(sqlite()) as first,
        Registry(server_addresses()) as second,
        Registry(sqlite()) as third,
    ):
        assert first.copy_to(second) == second.copy_to(third)
        assert everything(first) == everything(second) == everything(third)
        with pytest.raises(InputError, match="not empty"):
            first.copy_to(second)
        for registry in (second, third):  # new keys follow those that were copied
            add(registry, "AB", ["d.fits"])
            registry.transfers.enqueue([("c.fits", "A"), ("b.fits", "B")])
            check(registry)


def test_a_server_that_is_away_is_told_and_used_again(
    server: PostgreSQL, server_addresses: Addresses
) -> None:
    with Registry(server_addresses()) as registry:
        registry.storages.put(Storage(name="A", marker="a"))
        server.crash()
        try:
            with pytest.raises(RegistryUnreachableError):
                registry.storages.all()
        finally:
            server.start()
        assert [one.name for one in registry.storages.all()] == ["A"]


def test_a_transaction_is_done_again_after_a_deadlock(server_addresses: Addresses) -> None:
    with Registry(server_addresses()) as registry:
        for name in ("A", "B"):
            registry.storages.put(Storage(name=name, marker=name))
        met = threading.Barrier(2)
        tries: list[str] = []

        def cross(first: str, second: str) -> Callable[[], None]:
            def work(connection: object) -> None:
                tries.append(first)
                lock = "UPDATE storages SET durable = durable WHERE name = '%s'"
                connection.exec_driver_sql(lock % first)  # type: ignore[attr-defined]
                if len(tries) <= 2:
                    met.wait()
                connection.exec_driver_sql(lock % second)  # type: ignore[attr-defined]

            return lambda: registry.database.write(work)

        assert in_parallel([cross("A", "B"), cross("B", "A")]) == [None, None]
        assert len(tries) >= 3


# -- what it costs beside a long history

HISTORY = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO {table} SELECT {columns} FROM n"""
ENDED = {
    "transfers (file_id, destination_id, state, changed_at_s)": (
        "1 + i - i / 500 * 500, 1, 'done', 0"
    ),
    "deletions (file_id, storage_id, path, state, reason, last_copy, changed_at_s)": (
        "1 + i - i / 500 * 500, 1, 'x', 'done', 'r', {no}, 0"
    ),
}


LARGE = ("files", "replicas", "events", "transfers", "deletions")


def believe_in_millions(connection: Connection) -> None:
    """Have SQLite take large tables, but not what is still to be done, for much larger."""
    query = "SELECT rowid, tbl, idx, stat FROM sqlite_stat1"
    for key, table, index, stat in connection.exec_driver_sql(query).all():
        if table in LARGE and not str(index).endswith(QUEUES):
            rows, *more = stat.split()
            more_rows = " ".join([f"{rows}0000", *more])
            change = "UPDATE sqlite_stat1 SET stat = ? WHERE rowid = ?"
            connection.exec_driver_sql(change, (more_rows, key))
    connection.exec_driver_sql("ANALYZE sqlite_schema")


def with_history(registry: Registry) -> list[str]:
    """Fill a registry with much that is over, have it counted, and return names of files."""
    names = [f"f{number:03}.fits" for number in range(500)]
    add(registry, "AB", names)
    is_sqlite = registry.database.read(lambda it: it.dialect.name) == "sqlite"
    for table, columns in ENDED.items():
        values = columns.format(no="0" if is_sqlite else "false")
        fill = HISTORY.format(table=table, columns=values)
        registry.database.write(lambda it, fill=fill: it.exec_driver_sql(fill))  # type: ignore[misc]
    registry.database.write(lambda it: it.exec_driver_sql("ANALYZE"))
    if is_sqlite:
        registry.database.write(believe_in_millions)
    return names


def use_queues(registry: Registry, names: Sequence[str]) -> None:
    """Ask everything that movers, cleaners and checks ask."""
    transfers, deletions = registry.transfers, registry.deletions
    transfers.enqueue([(name, "C") for name in names[:20]])
    transfers.of_files(names[:3])
    claimed = transfers.claim("mover", 10, LEASE_S, ["C"], ["A", "B"])
    transfers.get([one.id for one in claimed])
    transfers.extend(claimed, LEASE_S)
    transfers.publishing(claimed, LEASE_S)
    finish(registry, claimed[0])
    transfers.fail(claimed[1], ErrorClass.NETWORK, "later", retry_in_s=0.0)
    transfers.claim("mover", 10, OVER_S)
    transfers.cancel([one.id for one in transfers.active(limit=5)])
    wanted = [(name, "A") for name in names[100:110]]
    registry.deletions.request(wanted, "over")
    deletions.due()
    marked = deletions.claim("cleaner", 5, LEASE_S, ["A", "B"])
    deletions.finish(marked[0])
    deletions.retry(marked[1], "later", retry_in_s=0.0)
    deletions.fail(marked[2], "never")
    deletions.get([one.id for one in marked])
    deletions.cancel([one.id for one in deletions.open(limit=2)])
    registry.change_replicas([(names[200], "A")], ReplicaCue.SUSPECT, "odd")
    registry.pins.put(names[:3], "run")
    registry.pins.remove("run", names[:2])
    registry.locate(names[:3])
    Holdings(registry.database, "A").page(after="raw/f1", limit=10)
    Holdings(registry.database, "A").at(["raw/f001.fits"])


def test_no_queue_reads_its_history(registry: Registry) -> None:
    names = with_history(registry)
    with scans() as found:
        use_queues(registry, names)
    assert not found, found[0]


def test_no_queue_that_is_new_reads_its_history(registry: Registry) -> None:
    names = [f"f{number:03}.fits" for number in range(210)]
    add(registry, "AB", names)  # and nothing has been counted yet
    with scans() as found:
        use_queues(registry, names)
    assert not found, found[0]


def test_more_are_asked_for_than_a_statement_has_parameters(registry: Registry) -> None:
    names = with_history(registry)
    registry.transfers.enqueue([(names[0], "C")])
    (key,) = (one.id for one in registry.transfers.active())
    many = [*range(10**6, 10**6 + 40_000), key]
    assert [one.id for one in registry.transfers.get(many)] == [key]
    assert registry.transfers.cancel(many) == 1
    assert registry.deletions.get(many) == registry.deletions.get([key])
    assert registry.deletions.cancel(many) == 0
