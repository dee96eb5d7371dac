"""The queue of transfers, from which movers take their work.

A mover *claims* transfers for a while (its lease); it *extends* the lease while it copies, asks
whether it may *publish*, and then *finishes*. A mover that dies or stalls loses its lease, and
another claims the transfer with a higher fence: whoever comes with a lower one is too late.
All times are told by the database's clock.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Update,
    bindparam,
    select,
    update,
)

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import (
    Arrival,
    ErrorClass,
    FileState,
    ReplicaState,
    Transfer,
    TransferState,
)
from euclid_dask.data.names import shown
from euclid_dask.data.registry.claims import Reach, take
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.events import Change, record, record_all
from euclid_dask.data.registry.files import put_checksums
from euclid_dask.data.registry.quotas import refuse_overfull
from euclid_dask.data.registry.replicas import put_replicas
from euclid_dask.data.registry.rows import (
    AnyRow,
    add_rows,
    batches,
    first_ids,
    is_one_of,
    lock_files,
    storage_ids,
    where_in,
)
from euclid_dask.data.registry.schema import (
    IS_ACTIVE,
    files,
    now_s,
    replicas,
    storages,
    transfers,
)
from euclid_dask.data.states import READABLE, TRANSFER, TransferCue

_TEXT_LENGTH: Final = 2000
_NAMED: Final = (
    select(transfers, files.c.name.label("file"), storages.c.name.label("destination"))
    .join(files, files.c.id == transfers.c.file_id)
    .join(storages, storages.c.id == transfers.c.destination_id)
)


_HOW: Final = (
    update(transfers)
    .where(transfers.c.id == bindparam("key"))
    .values(method=bindparam("how"), bytes_copied=bindparam("copied"))
)


class Transfers:
    """The transfers of a registry; its methods may be called from any thread or host."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enqueue(self, wanted: Sequence[tuple[str, str]], *, priority: int = 0) -> None:
        """Ask that files come to storages, given by their names.

        What is there, or on its way, is not asked for again.

        Raises:
            InputError: A file or storage is not known, no replica of the file can be read, one
                that cannot is in the way, or the quota of a storage has no room for them.
        """

        def work(connection: Connection) -> None:
            rows = lock_files(connection, [name for name, _ in wanted])
            enqueue(connection, wanted, rows, priority)

        self._database.write(work)

    def claim(
        self,
        worker: str,
        number: int,
        lease_s: float,
        storages: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
    ) -> list[Transfer]:
        """Take up to so many transfers, those of the highest priority first, for `lease_s`.

        Those whose `fence` is more than 1 may have been another mover's: what it left is to be
        looked for.

        Args:
            worker: Who takes them; a name that no other has.
            number: How many at most.
            lease_s: How long they are not given to others, in seconds.
            storages: Names of destinations; all that may be written to if None.
            sources: Names of storages of which one has the file, for transfers that no mover
                lost; any if None.
        """
        reach = Reach(destinations=storages, sources=sources)
        return self._database.write(lambda it: _claim(it, worker, number, lease_s, reach))

    def extend(self, claimed: Sequence[Transfer], lease_s: float) -> list[Transfer]:
        """Hold transfers for `lease_s` more from now; return those that are still the caller's."""
        query = update(transfers).values(lease_until_s=now_s() + lease_s)
        return self._database.write(lambda it: _mine(it, claimed, query, TransferCue.PUBLISH))

    def publishing(self, claimed: Sequence[Transfer], lease_s: float) -> list[Transfer]:
        """Tell that parts are verified and durable; return those that may be published.

        Others have been claimed anew by another mover, or cancelled: their parts are to go.
        How their bytes came there, and how many, is kept: whoever publishes may not come to
        tell it.
        """
        query = update(transfers).values(
            state=TRANSFER.target(TransferCue.PUBLISH), lease_until_s=now_s() + lease_s
        )

        def work(connection: Connection) -> list[Transfer]:
            kept = _mine(connection, claimed, query, TransferCue.PUBLISH)
            if kept:
                how = [{"key": it.id, "how": it.method, "copied": it.bytes_copied} for it in kept]
                connection.execute(_HOW, how)
            return kept

        return self._database.write(work)

    def finish(self, arrivals: Sequence[Arrival]) -> None:
        """Tell that replicas are there, published, durable and verified: all of them or none.

        Telling it twice changes nothing.

        Raises:
            InputError: A transfer is no more the caller's, or a content is not the file's.
        """
        self._database.write(lambda it: _finish(it, arrivals))

    def fail(
        self,
        transfer: Transfer,
        error_class: ErrorClass,
        error: str,
        *,
        retry_in_s: float | None = None,
    ) -> bool:
        """Tell that a transfer did not succeed; return whether it was still the caller's.

        Args:
            transfer: As it was claimed.
            error_class: What went wrong.
            error: What exactly; without secrets.
            retry_in_s: After how long it may be claimed again, in seconds; never if None.
        """
        cue = TransferCue.FAIL if retry_in_s is None else TransferCue.RETRY

        def work(connection: Connection) -> bool:
            row = _locked(connection, transfer)
            if row.state not in TRANSFER.sources(cue) or _is_late(row, transfer):
                return False
            _end(
                connection,
                row,
                cue,
                attempts=row.attempts + 1,
                not_before_s=now_s() + (retry_in_s or 0.0),
                error_class=error_class,
                error=error[:_TEXT_LENGTH],
            )
            return True

        return self._database.write(work)

    def cancel(self, wanted: Sequence[int]) -> int:
        """Give up transfers that are not being published, by id; return how many."""

        def work(connection: Connection) -> int:
            query = select(transfers).where(
                transfers.c.state.in_(TRANSFER.sources(TransferCue.CANCEL))
            )
            query = query.order_by(transfers.c.id).with_for_update()
            found = where_in(connection, query, transfers.c.id, sorted(wanted))
            for row in found:
                _end(connection, row, TransferCue.CANCEL)
            return len(found)

        return self._database.write(work)

    def get(self, wanted: Sequence[int]) -> list[Transfer]:
        """Return transfers by their ids."""
        query = _NAMED.order_by(transfers.c.id)

        def work(connection: Connection) -> list[Transfer]:
            rows = where_in(connection, query, transfers.c.id, sorted(set(wanted)))
            return [_transfer(row) for row in rows]

        return self._database.read(work)

    def active(self, *, limit: int = 1000) -> list[Transfer]:
        """Return transfers that are still to have an end, in the order of their ids."""
        first = first_ids(transfers.c.id, IS_ACTIVE, limit)
        query = _NAMED.where(transfers.c.id.in_(first)).order_by(transfers.c.id)
        return self._database.read(lambda it: [_transfer(row) for row in it.execute(query)])

    def coming(self, names: Collection[str]) -> Mapping[str, AbstractSet[str]]:
        """Return the storages to which files are on their way, or queued, by names of files."""
        query = _NAMED.where(IS_ACTIVE)
        found: dict[str, set[str]] = {}
        for row in self._database.read(lambda it: where_in(it, query, files.c.name, names)):
            found.setdefault(row.file, set()).add(row.destination)
        return found

    def of_files(self, names: Sequence[str]) -> list[Transfer]:
        """Return all transfers of files, also those that have ended."""

        def work(connection: Connection) -> list[Transfer]:
            query = _NAMED.order_by(transfers.c.id)
            return [_transfer(row) for row in where_in(connection, query, files.c.name, names)]

        return self._database.read(work)


def enqueue(
    connection: Connection,
    wanted: Sequence[tuple[str, str]],
    rows: Mapping[str, AnyRow],
    priority: int,
) -> None:
    """Ask that files, whose rows are locked, come to storages, given by their names.

    Raises:
        InputError: As `Transfers.enqueue` does.
    """
    places = storage_ids(connection, [storage for _, storage in wanted])
    query = select(replicas.c.file_id, replicas.c.storage_id, replicas.c.state)
    keys = list({rows[name].id for name, _ in wanted})
    there = {
        (row.file_id, row.storage_id): ReplicaState(row.state)
        for row in where_in(connection, query, replicas.c.file_id, keys)
    }
    active = select(transfers.c.file_id, transfers.c.destination_id)
    active = active.where(IS_ACTIVE)
    asked = {tuple(row) for row in where_in(connection, active, transfers.c.file_id, keys)}
    new = set()
    for name, storage in wanted:
        row = rows[name]
        if row.state != FileState.COMMITTED:
            raise InputError(f"{shown(name)} is {row.state}: there is nothing to copy")
        key = (row.id, places[storage])
        state = there.get(key)
        if state is None:
            new.add(key)
        elif state not in READABLE:
            raise InputError(
                f"the replica of {shown(name)} in {storage} is {state}: another cannot be put "
                "in its place",
                hint="have it checked, or removed first",
            )
    fresh = sorted(new - asked)
    refuse_overfull(connection, fresh, {row.id: row.size for row in rows.values()})
    _insert(connection, fresh, priority)


def _insert(connection: Connection, keys: Sequence[tuple[int, int]], priority: int) -> None:
    rows = [
        {
            "file_id": file_id,
            "destination_id": storage_id,
            "state": TransferState.QUEUED,
            "rank": -priority,
        }
        for file_id, storage_id in keys
    ]
    add_rows(connection, transfers, rows, at="changed_at_s")
    record_all(connection, (Change("transfer queued", *key) for key in keys))


def _claim(
    connection: Connection, worker: str, number: int, lease_s: float, reach: Reach
) -> list[Transfer]:
    rows, goals = take(connection, worker, number, lease_s, reach)
    record_all(
        connection,
        (Change("transfer claimed", row.file_id, row.destination_id, worker) for row in rows),
    )
    return [_transfer(row, goals[row.destination_id]) for row in rows]


def _finish(connection: Connection, arrivals: Sequence[Arrival]) -> None:
    lock_files(connection, [arrival.transfer.file for arrival in arrivals])  # first, as all do
    keys = [arrival.transfer.id for arrival in arrivals]
    query = select(transfers).order_by(transfers.c.id).with_for_update()
    rows = {row.id: row for row in where_in(connection, query, transfers.c.id, keys)}
    new = [arrival for arrival in arrivals if _is_news(arrival, rows[arrival.transfer.id])]
    if not new:
        return
    put_checksums(connection, [arrival.content for arrival in new])
    event = record(connection, Change("replicas added", detail=f"{len(new)} by transfers"))
    put_replicas(connection, [arrival.replica for arrival in new], event)
    ended = {"worker": "", "lease_until_s": 0, "changed_at_s": now_s()}
    connection.execute(
        _HOW.values(state=TRANSFER.target(TransferCue.FINISH), **ended),
        [{"key": a.transfer.id, "how": a.method, "copied": a.bytes_copied} for a in new],
    )
    done = [(arrival.method, rows[arrival.transfer.id]) for arrival in new]
    record_all(
        connection,
        (Change("transfer done", row.file_id, row.destination_id, how) for how, row in done),
    )


def _is_news(arrival: Arrival, row: AnyRow) -> bool:
    """Return False when the registry was told already; raise InputError when it cannot be."""
    transfer, replica = arrival.transfer, arrival.replica
    if row.state == TransferState.DONE and row.fence == transfer.fence:
        return False
    if (replica.file, replica.storage) != (transfer.file, transfer.destination):
        raise InputError(f"transfer {transfer.id} does not bring {shown(replica.file)}")
    if row.state not in TRANSFER.sources(TransferCue.FINISH) or _is_late(row, transfer):
        raise InputError(
            f"transfer {transfer.id} of {shown(transfer.file)} is {row.state}, and no "
            f"more {transfer.worker}'s"
        )
    return True


def _mine(
    connection: Connection, claimed: Sequence[Transfer], query: Update, cue: TransferCue
) -> list[Transfer]:
    keys = [transfer.id for transfer in claimed]
    locking = select(transfers.c.id, transfers.c.fence, transfers.c.state).with_for_update()
    rows = where_in(connection, locking.order_by(transfers.c.id), transfers.c.id, sorted(keys))
    held = {(row.id, row.fence) for row in rows if row.state in TRANSFER.sources(cue)}
    kept = [transfer for transfer in claimed if (transfer.id, transfer.fence) in held]
    for batch in batches(transfer.id for transfer in kept):
        connection.execute(query.where(is_one_of(connection, transfers.c.id, batch)))
    return kept


def _locked(connection: Connection, transfer: Transfer) -> AnyRow:
    lock_files(connection, [transfer.file])  # first, as everybody does
    query = select(transfers).where(transfers.c.id == transfer.id).with_for_update()
    return connection.execute(query).one()


def _is_late(row: AnyRow, transfer: Transfer) -> bool:
    return bool(row.fence != transfer.fence)


def _end(connection: Connection, row: AnyRow, cue: TransferCue, **columns: Any) -> None:
    state = TRANSFER.target(cue)
    connection.execute(
        update(transfers)
        .where(transfers.c.id == row.id)
        .values(state=state, worker="", lease_until_s=0, changed_at_s=now_s(), **columns)
    )
    detail = f"{columns.get('error_class', '')} {columns.get('error', '')}".strip()
    change = Change(f"transfer {state}", row.file_id, row.destination_id, detail)
    record(connection, change)


def _transfer(row: AnyRow, destination: str = "") -> Transfer:
    return Transfer(
        id=row.id,
        file=row.file,
        destination=destination or row.destination,
        state=TransferState(row.state),
        fence=row.fence,
        attempts=row.attempts,
        worker=row.worker,
        priority=-row.rank,
        bytes_copied=row.bytes_copied,
        method=row.method,
        error_class=ErrorClass(row.error_class) if row.error_class else None,
        error=row.error,
    )
