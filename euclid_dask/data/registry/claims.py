"""Which transfers a mover gets: those that are waiting, and those that another lost."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select, update

from euclid_dask.core.values import Value
from euclid_dask.data.model import ReplicaState, StorageState, TransferState
from euclid_dask.data.registry.rows import AnyRow
from euclid_dask.data.registry.schema import now_s, replicas, storages, transfers
from euclid_dask.data.states import TRANSFER, TransferCue

_WAITING: Final = (TransferState.QUEUED, TransferState.RETRY)
_HELD: Final = (TransferState.RUNNING, TransferState.PUBLISHING)
_OTHER: Final = transfers.alias("other")
_SOURCE: Final = storages.alias("source")


class Reach(Value, frozen=True, kw_only=True):
    """The storages that a mover reaches, by name; all if None."""

    destinations: Sequence[str] | None = None
    sources: Sequence[str] | None = None


def take(
    connection: Connection, worker: str, number: int, lease_s: float, reach: Reach
) -> dict[int, TransferState]:
    """Give transfers to a worker; return the states they were in, by their ids.

    What another mover lost is taken wherever the file is: it may be at its destination already.
    """
    waits = and_(
        transfers.c.state.in_(_WAITING),
        transfers.c.not_before_s <= now_s(),
        *_has_source(reach.sources),
    )
    dropped = and_(transfers.c.state.in_(_HELD), transfers.c.lease_until_s < now_s())
    found: list[AnyRow] = []
    _lock_single_writers(connection)
    for ready in (dropped, waits):
        query = (
            select(transfers.c.id, transfers.c.state)
            .join(storages, storages.c.id == transfers.c.destination_id)
            .where(ready, *_is_open(worker, reach.destinations))
            .order_by(transfers.c.rank, transfers.c.id)
            .limit(number - len(found))
            .with_for_update(skip_locked=True, of=transfers)
        )
        found += connection.execute(query).all()
    earlier = {row.id: TransferState(row.state) for row in found}
    connection.execute(
        update(transfers)
        .where(transfers.c.id.in_(list(earlier)))
        .values(
            state=TRANSFER.target(TransferCue.CLAIM),
            worker=worker,
            fence=transfers.c.fence + 1,
            lease_until_s=now_s() + lease_s,
            changed_at_s=now_s(),
        )
    )
    return earlier


def _has_source(sources: Sequence[str] | None) -> list[ColumnElement[bool]]:
    """Return what has to hold of a transfer so that its file can be read in one of `sources`."""
    if sources is None:
        return []
    query = (
        exists()
        .where(
            replicas.c.file_id == transfers.c.file_id,
            replicas.c.state == ReplicaState.AVAILABLE,
            _SOURCE.c.id == replicas.c.storage_id,
            _SOURCE.c.name.in_(sources),
        )
        .correlate(transfers)
    )
    return [query]


def _is_open(worker: str, destinations: Sequence[str] | None) -> list[ColumnElement[bool]]:
    """Return what has to hold of a destination so that this worker may write there."""
    is_taken = exists().where(
        _OTHER.c.destination_id == storages.c.id,
        _OTHER.c.state.in_(_HELD),
        _OTHER.c.lease_until_s >= now_s(),
        _OTHER.c.worker != worker,
    )
    conditions = [
        storages.c.state == StorageState.ENABLED,
        storages.c.paused_until_s <= now_s(),
        or_(storages.c.one_writer.is_(False), ~is_taken),
    ]
    if destinations is not None:
        conditions.append(storages.c.name.in_(destinations))
    return conditions


def _lock_single_writers(connection: Connection) -> None:
    # else two movers that claim at once would each find that nobody else writes there
    connection.execute(
        select(storages.c.id).where(storages.c.one_writer).order_by(storages.c.id).with_for_update()
    )
