"""The queues as people look at them, beside a long history."""

from collections.abc import Iterator

import pytest
from plans import steps
from registries import Addresses

from euclid_dask.data.model import File, Replica, Storage, TransferState
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.queues import Queues
from euclid_dask.data.states import ACTIVE

ENDED = 500


@pytest.fixture(params=["sqlite", "server_addresses"])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """Return a registry with many transfers that have ended, and two that are queued."""
    new: Addresses = request.getfixturevalue(request.param)
    with Registry(new()) as opened:
        for name in ("A", "B"):
            opened.storages.put(Storage(name=name, marker=name))
        names = [f"f{number:04}" for number in range(ENDED)]
        opened.register(
            [File(name=name, size=1) for name in names],
            [Replica(file=name, storage="A", path=name) for name in names],
        )
        opened.transfers.enqueue([(name, "B") for name in names])
        opened.transfers.cancel([one.id for one in opened.transfers.active()])
        opened.transfers.enqueue([(name, "B") for name in names[:2]])
        yield opened


def test_transfers_are_counted_by_the_states_that_are_asked_for(registry: Registry) -> None:
    queues = Queues(registry.database)
    few = {TransferState.QUEUED: 2}
    assert queues.counts(ACTIVE) == few
    assert queues.counts(frozenset(TransferState)) == {**few, TransferState.CANCELLED: ENDED}


@pytest.mark.parametrize("registry", ["sqlite"], indirect=True)  # which counts its steps
def test_history_is_not_read_to_count_what_waits(registry: Registry) -> None:
    with steps() as took:
        Queues(registry.database).counts(ACTIVE)
    assert sum(took) * 100 < ENDED, took
