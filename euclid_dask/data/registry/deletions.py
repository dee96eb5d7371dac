"""The queue of replicas to be removed, and the guard that keeps the last ones.

A replica goes in three steps: it is *marked* in a transaction that locks its file, its bytes are
unlinked, its row is *forgotten*. Nobody reads a marked replica, and nothing that came in between
can need it: pins, transfers and rules are looked at under the same lock.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select, update

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import (
    Deletion,
    DeletionState,
    FileState,
    ReplicaState,
    StorageState,
)
from euclid_dask.data.names import shown
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.events import Change, record
from euclid_dask.data.registry.files import advance_files
from euclid_dask.data.registry.pins import pinned_by
from euclid_dask.data.registry.replicas import advance, remove
from euclid_dask.data.registry.rows import AnyRow, AnySelect, lock_files, storage_ids
from euclid_dask.data.registry.schema import (
    deletions,
    files,
    now_s,
    replicas,
    rule_targets,
    rules,
    storages,
    transfers,
)
from euclid_dask.data.states import (
    ACTIVE,
    DELETION,
    READABLE,
    REPLICA,
    DeletionCue,
    FileCue,
    ReplicaCue,
)


class Deletions:
    """The deletions of a registry; its methods may be called from any thread or host."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def request(
        self,
        wanted: Sequence[tuple[str, str]],
        reason: str,
        *,
        last_copy: bool = False,
        grace_s: float = 0.0,
    ) -> None:
        """Ask that replicas be removed, given by the names of their files and storages.

        One that is asked for already is not asked for again.

        Args:
            wanted: Names of files and storages.
            reason: Why, for the record.
            last_copy: Whether the last good replica of a file may go, and the file with it.
            grace_s: How long they stay nevertheless, in seconds.

        Raises:
            InputError: There is no such replica, it is needed, or it is the last good one.
        """
        if not reason.strip():
            raise InputError("a replica is not removed without a reason", hint="give one")

        def work(connection: Connection) -> None:
            rows = lock_files(connection, [name for name, _ in wanted])
            places = storage_ids(connection, [storage for _, storage in wanted])
            for name, storage in sorted(set(wanted)):
                replica = _replica(connection, rows[name].id, places[storage])
                if replica is None:
                    raise InputError(f"there is no replica of {shown(name)} in {storage}")
                if _is_asked(connection, replica):
                    continue
                if needed := why_needed(connection, rows[name], replica, last_copy=last_copy):
                    raise InputError(
                        f"the replica of {shown(name)} in {storage} is not removed: {needed}"
                    )
                _insert(connection, replica, reason, last_copy=last_copy, grace_s=grace_s)

        self._database.write(work)

    def claim(
        self, worker: str, number: int, lease_s: float, storages: Sequence[str] | None = None
    ) -> list[Deletion]:
        """Mark up to so many replicas, whose bytes the caller is to remove; it has `lease_s`.

        Those that are needed by now are not: their deletions are cancelled, and say why. What
        another cleaner lost is marked already.

        Args:
            worker: Who takes them.
            number: How many at most.
            lease_s: How long they are not given to others, in seconds.
            storages: Names of storages whose replicas the caller can remove; any if None.
        """
        return self._database.write(lambda it: _claim(it, worker, number, lease_s, storages))

    def due(self) -> list[str]:
        """Return the names of the storages of which replicas are to be removed now."""
        query = _all().where(*_is_due()).with_only_columns(storages.c.name).distinct()
        return self._database.read(
            lambda it: list(it.execute(query.order_by(storages.c.name)).scalars())
        )

    def retry(self, deletion: Deletion, error: str, *, retry_in_s: float) -> bool:
        """Give a marked replica back, to be claimed again; return whether it was the caller's.

        It stays marked: its bytes may be gone.
        """

        def work(connection: Connection) -> bool:
            _, row = _locked(connection, deletion)
            if row.state != DeletionState.RUNNING or row.fence != deletion.fence:
                return False
            connection.execute(
                update(deletions)
                .where(deletions.c.id == row.id)
                .values(
                    worker="",
                    lease_until_s=now_s() + retry_in_s,
                    changed_at_s=now_s(),
                    error=error,
                )
            )
            record(connection, Change("deletion waits", row.file_id, row.storage_id, error))
            return True

        return self._database.write(work)

    def finish(self, deletion: Deletion) -> None:
        """Tell that the bytes of a marked replica are gone; telling it twice changes nothing."""

        def work(connection: Connection) -> None:
            file, row = _locked(connection, deletion)
            if row.state == DeletionState.DONE:
                return
            _check_mine(row, deletion, DeletionCue.FINISH)
            replica = _replica(connection, row.file_id, row.storage_id)
            if replica is not None:
                remove(connection, replica, row.reason)
            _settle(connection, file)
            _end(connection, row, DeletionCue.FINISH)

        self._database.write(work)

    def fail(self, deletion: Deletion, error: str) -> None:
        """Tell that the bytes of a marked replica cannot be removed: it is to be checked."""

        def work(connection: Connection) -> None:
            file, row = _locked(connection, deletion)
            _check_mine(row, deletion, DeletionCue.FAIL)
            replica = _replica(connection, row.file_id, row.storage_id)
            if replica is not None:
                advance(connection, [replica], ReplicaCue.KEEP, error)
            _settle(connection, file)
            _end(connection, row, DeletionCue.FAIL, error)

        self._database.write(work)

    def cancel(self, wanted: Sequence[int]) -> int:
        """Let replicas stay that are not marked yet, by ids of deletions; return how many."""

        def work(connection: Connection) -> int:
            query = (
                select(deletions)
                .where(
                    deletions.c.id.in_(wanted),
                    deletions.c.state.in_(DELETION.sources(DeletionCue.CANCEL)),
                )
                .with_for_update()
            )
            rows = connection.execute(query).all()
            for row in rows:
                _end(connection, row, DeletionCue.CANCEL)
            return len(rows)

        return self._database.write(work)

    def get(self, wanted: Sequence[int]) -> list[Deletion]:
        """Return deletions by their ids."""
        query = _all().where(deletions.c.id.in_(wanted)).order_by(deletions.c.id)
        return self._database.read(lambda it: [_deletion(row) for row in it.execute(query)])

    def open(self, *, limit: int = 1000) -> list[Deletion]:
        """Return deletions that are still to have an end, in the order of their ids."""
        states = DELETION.sources(DeletionCue.CLAIM)
        query = _all().where(deletions.c.state.in_(states)).order_by(deletions.c.id).limit(limit)
        return self._database.read(lambda it: [_deletion(row) for row in it.execute(query)])


def why_needed(connection: Connection, file: AnyRow, replica: AnyRow, *, last_copy: bool) -> str:
    """Return why a replica of a locked file has to stay, the empty text when it may go."""
    if owners := pinned_by(connection, file.id):
        return f"it is pinned by {', '.join(owners)}"
    transfer = select(transfers.c.id).where(
        transfers.c.file_id == file.id, transfers.c.state.in_(ACTIVE)
    )
    if (key := connection.execute(transfer.limit(1)).scalar()) is not None:
        return f"transfer {key} of the file is not done"
    rule = (
        select(rules.c.name)
        .join(rule_targets, rule_targets.c.rule_id == rules.c.id)
        .where(
            rule_targets.c.file_id == file.id,
            rule_targets.c.storage_id == replica.storage_id,
            rules.c.state != "ended",
        )
    )
    if (name := connection.execute(rule.limit(1)).scalar()) is not None:
        return f"rule {name} wants it there"
    if not last_copy and not _another_stays(connection, replica):
        return "no other good replica is in a durable storage"
    return ""


def _another_stays(connection: Connection, replica: AnyRow) -> bool:
    query = (
        select(replicas.c.storage_id)
        .join(storages, storages.c.id == replicas.c.storage_id)
        .where(
            replicas.c.file_id == replica.file_id,
            replicas.c.storage_id != replica.storage_id,
            replicas.c.state == ReplicaState.AVAILABLE,
            storages.c.durable,
            storages.c.state != StorageState.DISABLED,
        )
    )
    return connection.execute(query.limit(1)).first() is not None


def _is_last(connection: Connection, replica: AnyRow) -> bool:
    query = select(replicas.c.storage_id).where(
        replicas.c.file_id == replica.file_id,
        replicas.c.storage_id != replica.storage_id,
        replicas.c.state.in_(READABLE | {ReplicaState.SUSPECT}),
    )
    return connection.execute(query.limit(1)).first() is None


def _settle(connection: Connection, file: AnyRow) -> None:
    """Say of a file that was to go whether it is gone, once none of its replicas is to go."""
    query = select(replicas.c.state).where(replicas.c.file_id == file.id)
    left = {row.state for row in connection.execute(query)}
    if file.state == FileState.DELETING and ReplicaState.DELETING not in left:
        advance_files(connection, [file], FileCue.KEEP if left else FileCue.REMOVE)


def _replica(connection: Connection, file_id: int, storage_id: int) -> AnyRow | None:
    query = select(replicas).where(
        replicas.c.file_id == file_id, replicas.c.storage_id == storage_id
    )
    return connection.execute(query).first()


def _is_asked(connection: Connection, replica: AnyRow) -> bool:
    query = select(deletions.c.id).where(
        deletions.c.file_id == replica.file_id,
        deletions.c.storage_id == replica.storage_id,
        deletions.c.state.in_(DELETION.sources(DeletionCue.CLAIM)),
    )
    return connection.execute(query).first() is not None


def _insert(
    connection: Connection, replica: AnyRow, reason: str, *, last_copy: bool, grace_s: float
) -> None:
    connection.execute(
        insert(deletions).values(
            file_id=replica.file_id,
            storage_id=replica.storage_id,
            path=replica.path,
            state=DeletionState.QUEUED,
            reason=reason,
            last_copy=last_copy,
            not_before_s=now_s() + grace_s,
            changed_at_s=now_s(),
        )
    )
    record(connection, Change("deletion queued", replica.file_id, replica.storage_id, reason))


def _is_due() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    waits = and_(deletions.c.state == DeletionState.QUEUED, deletions.c.not_before_s <= now_s())
    dropped = and_(deletions.c.state == DeletionState.RUNNING, deletions.c.lease_until_s < now_s())
    return or_(waits, dropped), storages.c.state == StorageState.ENABLED


def _claim(
    connection: Connection, worker: str, number: int, lease_s: float, within: Sequence[str] | None
) -> list[Deletion]:
    due = _all().where(*_is_due())
    if within is not None:
        due = due.where(storages.c.name.in_(within))
    # the file is locked before the deletion, as everywhere; so the deletion is looked at again
    locking = due.order_by(deletions.c.id).limit(number)
    seen = connection.execute(locking.with_for_update(skip_locked=True, of=files)).all()
    again = due.where(deletions.c.id.in_([row.id for row in seen])).order_by(deletions.c.id)
    claimed = [
        row.id
        for row in connection.execute(again.with_for_update(of=deletions)).all()
        if row.state == DeletionState.RUNNING or _mark(connection, row)
    ]
    connection.execute(
        update(deletions)
        .where(deletions.c.id.in_(claimed))
        .values(
            state=DELETION.target(DeletionCue.CLAIM),
            worker=worker,
            fence=deletions.c.fence + 1,
            lease_until_s=now_s() + lease_s,
            changed_at_s=now_s(),
        )
    )
    query = _all().where(deletions.c.id.in_(claimed)).order_by(deletions.c.id)
    return [_deletion(row) for row in connection.execute(query)]


def _mark(connection: Connection, row: AnyRow) -> bool:
    """Mark the replica of a deletion, unless it is needed: then cancel it. The file is locked."""
    (file,) = lock_files(connection, [row.file]).values()
    replica = _replica(connection, row.file_id, row.storage_id)
    if replica is None or replica.state not in REPLICA.sources(ReplicaCue.MARK):
        _end(connection, row, DeletionCue.CANCEL, "the replica is gone, or out of reach")
        return False
    if needed := why_needed(connection, file, replica, last_copy=row.last_copy):
        _end(connection, row, DeletionCue.CANCEL, needed)
        return False
    advance(connection, [replica], ReplicaCue.MARK, row.reason)
    if file.state == FileState.COMMITTED and _is_last(connection, replica):
        advance_files(connection, [file], FileCue.MARK)
    return True


def _locked(connection: Connection, deletion: Deletion) -> tuple[AnyRow, AnyRow]:
    (file,) = lock_files(connection, [deletion.file]).values()
    query = select(deletions).where(deletions.c.id == deletion.id).with_for_update()
    return file, connection.execute(query).one()


def _check_mine(row: AnyRow, deletion: Deletion, cue: DeletionCue) -> None:
    if row.state not in DELETION.sources(cue) or row.fence != deletion.fence:
        raise InputError(
            f"deletion {deletion.id} of {shown(deletion.file)} is {row.state}, and another's"
        )


def _end(connection: Connection, row: AnyRow, cue: DeletionCue, error: str = "") -> None:
    state = DELETION.target(cue)
    connection.execute(
        update(deletions)
        .where(deletions.c.id == row.id)
        .values(state=state, worker="", lease_until_s=0, changed_at_s=now_s(), error=error)
    )
    record(connection, Change(f"deletion {state}", row.file_id, row.storage_id, error))


def _all() -> AnySelect:
    return (
        select(deletions, files.c.name.label("file"), storages.c.name.label("storage"))
        .join(files, files.c.id == deletions.c.file_id)
        .join(storages, storages.c.id == deletions.c.storage_id)
    )


def _deletion(row: AnyRow) -> Deletion:
    return Deletion(
        id=row.id,
        file=row.file,
        storage=row.storage,
        path=row.path,
        state=DeletionState(row.state),
        reason=row.reason,
        last_copy=row.last_copy,
        fence=row.fence,
        error=row.error,
    )
