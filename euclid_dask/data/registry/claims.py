"""Which transfers a mover gets: those that are waiting, and those that another lost.

Claims are many, and a queue is long: the first are read from its index, in their order.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Float,
    String,
    Table,
    any_,
    bindparam,
    exists,
    func,
    literal_column,
    select,
    true,
    tuple_,
    update,
)

from euclid_dask.core.values import Value
from euclid_dask.data.model import DeletionState, ReplicaState, StorageState, TransferState
from euclid_dask.data.registry.rows import AnyRow, AnySelect, is_among
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
_OLDEST_LEASE: Final = select(func.min(transfers.c.lease_until_s)).where(IS_HELD).scalar_subquery()
_STORAGES: Final = select(
    storages.c.id,
    storages.c.name,
    storages.c.one_writer,
    ((storages.c.state == StorageState.ENABLED) & (storages.c.paused_until_s <= now_s())).label(
        "is_open"
    ),
    (now_s() > _OLDEST_LEASE).label("is_any_dropped"),
)
_IN_ORDER: Final = _STORAGES.add_columns(
    *(func.set_config(name, "off", true()) for name in ("enable_sort", "jit"))
)
"""Where PostgreSQL believes that few wait, it would sort all rather than read the index in order;
where it has to sort all the same, it believes that this is dear, and compiles it for a second."""
_NEXT_AWAITED: Final = (
    select(transfers.c.destination_id)
    .where(IS_WAITING, transfers.c.destination_id >= storages.c.id)
    .order_by(transfers.c.destination_id)
    .limit(1)
    .correlate(storages)
    .scalar_subquery()
)
"""One probe of an index: that there is one of a storage may be found by reading all of others."""
_AWAITED: Final = select(storages.c.id).where(storages.c.id == _NEXT_AWAITED)
_OTHERS: Final = (
    select(transfers.c.destination_id)
    .where(IS_HELD, transfers.c.lease_until_s >= NOW, transfers.c.worker != bindparam("me"))
    .distinct()
)
_FILE: Final = (
    select(files.c.name)
    .where(files.c.id == transfers.c.file_id)
    .correlate(transfers)
    .scalar_subquery()
)
"""Not a join, and destinations are sums: else a database that does not know how many wait reads all
of them, or all files, and sorts them."""
_CLAIM: Final = (
    select(transfers.c.id)
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
_READABLE: Final = _WAITING.where(_IS_READABLE)
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
_FIRST_READABLE: Final = _FIRST.where(_IS_READABLE)


def take(
    connection: Connection, worker: str, number: int, lease_s: float, reach: Reach
) -> tuple[list[AnyRow], Mapping[int, str]]:
    """Give transfers to a worker.

    What another mover lost is taken wherever the file is: it may be at its destination already.

    Returns:
        Their rows as they are now, and the names of their destinations by key.
    """
    lite = is_sqlite(connection.dialect)
    known = connection.execute(_STORAGES if lite else _IN_ORDER).all()
    goals = _destinations(connection, worker, known, reach.destinations)
    given = {"goals": list(goals), "mover": worker, "lease_s": lease_s}
    found: list[AnyRow] = []
    for query, more in _queries(connection, known, goals, number, reach.sources):
        lending = _lent(query, number - len(found), lite=lite)
        lent = connection.execute(lending, {**given, **more}).all()
        found += sorted(lent, key=lambda row: (row.rank, row.id))
        if len(found) == number or (lent and query is not _DROPPED):
            break
    return found, goals


def _queries(
    connection: Connection,
    known: Sequence[AnyRow],
    goals: Mapping[int, str],
    number: int,
    readable: Collection[str] | None,
) -> Iterator[tuple[AnySelect, Mapping[str, Any]]]:
    """Yield queries for what may be lent, with their parameters."""
    if not goals:
        return
    if known[0].is_any_dropped:
        yield _DROPPED, {}
    waiting, first, sources = _WAITING, _FIRST, {}
    if readable is not None:
        waiting, first = _READABLE, _FIRST_READABLE
        sources["sources"] = [row.id for row in known if row.name in readable]
    if goals.keys() == {row.id for row in known}:
        yield waiting, sources
        return
    awaited = set(connection.execute(_AWAITED).scalars())
    if awaited <= goals.keys():
        yield waiting, sources
        return
    # what waits for others may be much, and is not read
    narrowed = _narrowed(waiting, connection.dialect.name)
    for ids in _in_line(connection, first, awaited & goals.keys(), number + _SPARE, sources):
        yield narrowed, {"ids": json.dumps(ids), **sources}


def leased(table: Table, state: TransferState | DeletionState) -> Mapping[str, Any]:
    """Return the values of rows that are lent to a `mover` for `lease_s`."""
    return {
        "state": state,
        "worker": bindparam("mover"),
        "fence": table.c.fence + 1,
        "lease_until_s": now_s() + bindparam("lease_s", type_=Float()),
        "changed_at_s": now_s(),
    }


@lru_cache(maxsize=64)
def _lent(query: AnySelect, number: int, *, lite: bool) -> Any:
    """Return a statement that lends the first that a query finds.

    The number is a word of it: PostgreSQL makes a plan for each number else, each time.
    """
    first = query.limit(literal_column(str(number))).correlate(None)
    ids = first if lite else any_(func.array(first.scalar_subquery()))
    is_first = transfers.c.id.in_(ids) if lite else transfers.c.id == ids
    lending = update(transfers).values(leased(transfers, TRANSFER.target(TransferCue.CLAIM)))
    return lending.where(is_first).returning(transfers, _FILE.label("file"))


@lru_cache(maxsize=8)
def _narrowed(query: AnySelect, dialect: str) -> AnySelect:
    ordered = query.order_by(None).order_by(transfers.c.rank + 0, transfers.c.id)
    return ordered.where(is_among(transfers.c.id, bindparam("ids", type_=String()), dialect))


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
