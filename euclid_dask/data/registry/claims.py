"""Which transfers a mover gets: those that are waiting, and those that another lost.

Claims are many, and a queue is long: the first are read from its index, in their order.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Table,
    bindparam,
    exists,
    select,
    tuple_,
    update,
)

from euclid_dask.core.values import Value
from euclid_dask.data.model import DeletionState, ReplicaState, StorageState, TransferState
from euclid_dask.data.registry.rows import AnyRow, AnySelect, batches, is_one_of
from euclid_dask.data.registry.schema import (
    IS_HELD,
    IS_WAITING,
    files,
    is_sqlite,
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


NOW: Final = select(now_s()).scalar_subquery()
"""The time, asked for once: PostgreSQL searches no index for what may differ from row to row."""
_STORAGES: Final = select(
    storages.c.id,
    storages.c.name,
    storages.c.one_writer,
    ((storages.c.state == StorageState.ENABLED) & (storages.c.paused_until_s <= now_s())).label(
        "is_open"
    ),
    exists()
    .where(transfers.c.destination_id == storages.c.id, IS_WAITING)
    .correlate(storages)
    .label("is_awaited"),
)
_OTHERS: Final = (
    select(transfers.c.destination_id)
    .where(IS_HELD, transfers.c.lease_until_s >= NOW, transfers.c.worker != bindparam("me"))
    .distinct()
)
_IN_ORDER: Final = "SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true)"
"""Where PostgreSQL believes that few wait, it would sort all rather than read the index in order;
where it has to sort all the same, it believes that this is dear, and compiles it for a second."""
_FILE: Final = (
    select(files.c.name)
    .where(files.c.id == transfers.c.file_id)
    .correlate(transfers)
    .scalar_subquery()
)
"""Not a join, and destinations are sums: else a database that does not know how many wait reads all
of them, or all files, and sorts them."""
_CLAIM: Final = (
    select(transfers, _FILE.label("file"))
    .where((transfers.c.destination_id + 0).in_(bindparam("goals", expanding=True)))
    .order_by(transfers.c.rank, transfers.c.id)
    .with_for_update(skip_locked=True, of=transfers)
)
_IS_READABLE: Final = (
    exists()
    .where(
        replicas.c.file_id == transfers.c.file_id,
        replicas.c.storage_id.in_(bindparam("sources", expanding=True)),
        replicas.c.state == ReplicaState.AVAILABLE,
    )
    .correlate(transfers)
)
_DROPPED: Final = _CLAIM.where(IS_HELD, transfers.c.lease_until_s < NOW)
_WAITING: Final = _CLAIM.where(IS_WAITING, transfers.c.not_before_s <= NOW)
_SPARE: Final = 500
"""More transfers than are wanted, of which others may have taken the first."""
_AFTER_RANK: Final = bindparam("after_rank", type_=BigInteger())
_AFTER_ID: Final = bindparam("after_id", type_=BigInteger())
_BEFORE_ALL: Final = (-(2**63), 0)
_FIRST: Final = (
    select(transfers.c.rank, transfers.c.id)
    .where(IS_WAITING, transfers.c.not_before_s <= NOW)
    .where(transfers.c.destination_id == bindparam("goal"))
    .where(tuple_(transfers.c.rank, transfers.c.id) > tuple_(_AFTER_RANK, _AFTER_ID))
    .order_by(transfers.c.rank, transfers.c.id)
    .limit(bindparam("most"))
)


def take(
    connection: Connection, worker: str, number: int, lease_s: float, reach: Reach
) -> tuple[list[AnyRow], Mapping[int, str]]:
    """Give transfers to a worker.

    What another mover lost is taken wherever the file is: it may be at its destination already.

    Returns:
        Their rows as they were before, and the names of their destinations by key.
    """
    known = connection.execute(_STORAGES).all()
    goals = _destinations(connection, worker, known, reach.destinations)
    if not is_sqlite(connection.dialect):
        connection.exec_driver_sql(_IN_ORDER)
    given: dict[str, list[int]] = {"goals": list(goals)}
    waiting, first = _WAITING, _FIRST
    if reach.sources is not None:
        given["sources"] = [row.id for row in known if row.name in reach.sources]
        waiting, first = waiting.where(_IS_READABLE), first.where(_IS_READABLE)
    awaited = {row.id for row in known if row.is_awaited}
    queries: Iterable[AnySelect] = (waiting,)
    if not awaited <= goals.keys():  # what waits for others may be much, and is not read
        sources = {key: keys for key, keys in given.items() if key == "sources"}
        narrowed = waiting.order_by(None).order_by(transfers.c.rank + 0, transfers.c.id)
        queries = (
            narrowed.where(is_one_of(connection, transfers.c.id, ids))
            for ids in _in_line(connection, first, awaited & goals.keys(), number + _SPARE, sources)
        )
    found = list(connection.execute(_DROPPED.limit(number), given)) if goals else []
    lacking = number - len(found)
    for query in queries if goals and lacking else ():
        found += connection.execute(query.limit(lacking), given).all()
        if number - len(found) < lacking:
            break
    state = TRANSFER.target(TransferCue.CLAIM)
    lend(connection, transfers, [row.id for row in found], state, worker, lease_s)
    return found, goals


def lend(
    connection: Connection,
    table: Table,
    keys: Sequence[int],
    state: TransferState | DeletionState,
    worker: str,
    lease_s: float,
) -> None:
    """Give transfers or deletions, whose rows are locked, to a worker for a while."""
    lent = update(table).values(
        state=state,
        worker=worker,
        fence=table.c.fence + 1,
        lease_until_s=now_s() + lease_s,
        changed_at_s=now_s(),
    )
    for batch in batches(keys):
        connection.execute(lent.where(is_one_of(connection, table.c.id, batch)))


def _in_line(
    connection: Connection,
    first: AnySelect,
    goals: Collection[int],
    most: int,
    sources: Mapping[str, Sequence[int]],
) -> Iterator[list[int]]:
    """Yield the ids of the first that wait for storages, then, where there are, of those behind."""
    after = dict.fromkeys(sorted(goals), _BEFORE_ALL)
    while after:
        ids: list[int] = []
        for goal, (rank, last) in list(after.items()):
            where = {"goal": goal, "after_rank": rank, "after_id": last, "most": most}
            rows = connection.execute(first, {**where, **sources}).all()
            ids += (row.id for row in rows)
            if len(rows) < most:
                del after[goal]
            else:
                after[goal] = (rows[-1].rank, rows[-1].id)
        if ids:
            yield ids


def _destinations(
    connection: Connection,
    worker: str,
    known: Sequence[AnyRow],
    names: Collection[str] | None,
) -> Mapping[int, str]:
    """Return the storages to which this worker may write now."""
    meant = [row for row in known if row.is_open and (names is None or row.name in names)]
    single = {row.id for row in meant if row.one_writer}
    if single:
        # locked: else two movers that claim at once would each find that nobody else writes there;
        # what another has locked is left to it, since waiting would put all claims in one line
        lock = select(storages.c.id).where(storages.c.id.in_(single))
        ours = set(connection.execute(lock.with_for_update(skip_locked=True)).scalars())
        taken = set(connection.execute(_OTHERS, {"me": worker}).scalars())
        single -= ours - taken
    return {row.id: row.name for row in meant if row.id not in single}
