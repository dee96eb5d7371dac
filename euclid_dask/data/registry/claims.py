"""Which transfers a mover gets: those that are waiting, and those that another lost."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Connection, and_, exists, select, update

from euclid_dask.core.values import Value
from euclid_dask.data.model import ReplicaState, StorageState, TransferState
from euclid_dask.data.registry.rows import AnyRow, batches, is_one_of
from euclid_dask.data.registry.schema import (
    IS_HELD,
    IS_WAITING,
    now_s,
    replicas,
    storages,
    transfers,
)
from euclid_dask.data.states import TRANSFER, TransferCue


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
        IS_WAITING,
        transfers.c.not_before_s <= now_s(),
        *_has_source(connection, reach.sources),
    )
    dropped = and_(IS_HELD, transfers.c.lease_until_s < now_s())
    goals = _destinations(connection, worker, reach.destinations)
    found: list[AnyRow] = []
    for ready in (dropped, waits) if goals else ():
        query = (
            select(transfers.c.id, transfers.c.state)
            .where(ready, transfers.c.destination_id.in_(goals))
            .order_by(transfers.c.rank, transfers.c.id)
            .limit(number - len(found))
            .with_for_update(skip_locked=True)
        )
        found += connection.execute(query).all()
    for batch in batches(row.id for row in found):
        connection.execute(
            update(transfers)
            .where(is_one_of(connection, transfers.c.id, batch))
            .values(
                state=TRANSFER.target(TransferCue.CLAIM),
                worker=worker,
                fence=transfers.c.fence + 1,
                lease_until_s=now_s() + lease_s,
                changed_at_s=now_s(),
            )
        )
    return {row.id: TransferState(row.state) for row in found}


def _has_source(connection: Connection, sources: Sequence[str] | None) -> list[ColumnElement[bool]]:
    """Return what has to hold of a transfer so that its file can be read in one of `sources`."""
    if sources is None:
        return []
    query = select(storages.c.id).where(storages.c.name.in_(sources))
    readable = exists().where(
        replicas.c.file_id == transfers.c.file_id,
        replicas.c.storage_id.in_(list(connection.execute(query).scalars())),
        replicas.c.state == ReplicaState.AVAILABLE,
    )
    return [readable.correlate(transfers)]


def _destinations(connection: Connection, worker: str, names: Collection[str] | None) -> list[int]:
    """Return the keys of storages to which this worker may write now."""
    is_meant = [
        storages.c.state == StorageState.ENABLED,
        storages.c.paused_until_s <= now_s(),
        *([] if names is None else [storages.c.name.in_(names)]),
    ]
    # locked: else two movers that claim at once would each find that nobody else writes there
    single = select(storages.c.id).where(storages.c.one_writer, *is_meant)
    single = single.order_by(storages.c.id).with_for_update()
    alone = list(connection.execute(single).scalars())
    taken: set[int] = set()
    if alone:
        others = select(transfers.c.destination_id).where(
            IS_HELD, transfers.c.lease_until_s >= now_s(), transfers.c.worker != worker
        )
        taken = set(connection.execute(others.distinct()).scalars())
    many = select(storages.c.id).where(storages.c.one_writer.is_(False), *is_meant)
    return [*connection.execute(many).scalars(), *(key for key in alone if key not in taken)]
