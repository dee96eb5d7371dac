"""What waits for a storage that is paused is not read when others' transfers are claimed."""

import re
from collections.abc import Iterator

import pytest
from plans import plans, steps
from registries import Addresses
from sqlalchemy import Connection

from euclid_dask.data.model import File, Replica, Storage
from euclid_dask.data.registry import Registry, claims

WAITING = 500
LEASE_S = 60.0


@pytest.fixture(params=["sqlite", "server_addresses"])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """Return a registry whose storage B is paused, with much that waits for it."""
    new: Addresses = request.getfixturevalue(request.param)
    with Registry(new()) as opened:
        for name in ("A", "B", "C", "D"):
            opened.storages.put(Storage(name=name, marker=name))
        names = [f"f{number:04}" for number in range(WAITING)]
        opened.register(
            [File(name=name, size=1) for name in names],
            [Replica(file=name, storage="A", path=name) for name in names],
        )
        opened.transfers.enqueue([(name, "B") for name in names], priority=1)
        opened.storages.pause("B", 3600)
        yield opened


def test_others_are_claimed_in_their_order(registry: Registry) -> None:
    for number in range(6):
        wanted = (f"f{number:04}", "CD"[number % 2])
        registry.transfers.enqueue([wanted], priority=int(number == 5))
    names = [f"f{number:04}" for number in (5, 0, 1, 2, 3, 4)]
    claimed = registry.transfers.claim("mover", 4, LEASE_S, None, ["A"])
    claimed += registry.transfers.claim("other", 4, LEASE_S, ["A", "B", "C", "D"])
    assert [one.file for one in claimed] == names
    assert registry.transfers.claim("mover", 4, LEASE_S) == []
    registry.storages.pause("B", 0)
    assert len(registry.transfers.claim("mover", 4, LEASE_S)) == 4


@pytest.mark.parametrize("registry", ["server_addresses"], indirect=True)  # which has many writers
def test_of_many_that_claim_at_once_each_gets_some(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_SPARE", 1)
    names = [f"f{number:04}" for number in range(4)]
    registry.transfers.enqueue([(name, "C") for name in names])
    registry.transfers.enqueue([("f0004", "C")], priority=1)
    taken: list[list[str]] = []

    def claim(worker: int) -> None:
        def work(connection: Connection) -> None:
            rows, _ = claims.take(connection, f"mover {worker}", 2, LEASE_S, claims.Reach())
            taken.append([row.file for row in rows])
            if worker < 4:
                claim(worker + 1)

        registry.database.write(work)

    claim(1)
    assert taken == [["f0004", "f0000"], ["f0001"], ["f0002", "f0003"], []]


def test_who_waits_is_told_by_a_probe_for_each_storage(registry: Registry) -> None:
    with plans() as found:
        assert registry.transfers.claim("mover", 4, LEASE_S) == []
    (awaited,) = (plan for plan in found if "ix_transfers_awaited" in plan)
    assert re.search(r"destination_id ?>", awaited), awaited
    assert not re.search(r"Sort|TEMP B-TREE|(SCAN|Seq Scan on) transfers", awaited), awaited


@pytest.mark.parametrize("registry", ["sqlite"], indirect=True)  # which counts its steps
def test_what_waits_for_a_paused_storage_is_not_read(registry: Registry) -> None:
    registry.transfers.enqueue([("f0000", "C")])
    with steps() as took:
        assert len(registry.transfers.claim("mover", 4, LEASE_S, None, ["A"])) == 1
        assert registry.transfers.claim("mover", 4, LEASE_S) == []
    assert sum(took) * 100 < WAITING, took
