"""The queue of replicas to be removed, and the guard that keeps the last ones.

A replica goes in three steps: it is *marked* in a transaction that locks its file, its bytes are
unlinked, its row is *forgotten*. Nobody reads a marked replica, and nothing that came in between
can need it: pins, transfers and rules are looked at under the same lock.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, and_, select, update

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import (
    Deletion,
    DeletionState,
    FileState,
    ReplicaState,
    StorageState,
)
from euclid_dask.data.names import shown
from euclid_dask.data.registry.claims import NOW, leased
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.events import Change, record, record_all
from euclid_dask.data.registry.files import advance_files
from euclid_dask.data.registry.needs import Needs
from euclid_dask.data.registry.replicas import advance, remove
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
    IS_OPEN,
    IS_QUEUED,
    IS_RUNNING,
    deletions,
    files,
    now_s,
    replicas,
    storages,
)
from euclid_dask.data.states import DELETION, REPLICA, DeletionCue, FileCue, ReplicaCue

_ALL: Final = (
    select(deletions, files.c.name.label("file"), storages.c.name.label("storage"))
    .join(files, files.c.id == deletions.c.file_id)
    .join(storages, storages.c.id == deletions.c.storage_id)
)
_DUE: Final = (
    and_(IS_RUNNING, deletions.c.lease_until_s < NOW),
    and_(IS_QUEUED, deletions.c.not_before_s <= NOW),
)
"""That a deletion was lost by another cleaner, or that it is time to claim it."""
_FIRST: Final = (deletions.c.lease_until_s, deletions.c.not_before_s)
"""Which of these come first: those that are due for longest."""


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
        adopted: bool = False,
        grace_s: float = 0.0,
    ) -> None:
        """Ask that replicas be removed, given by the names of their files and storages.

        One that is asked for already is not asked for again.

        Args:
            wanted: Names of files and storages.
            reason: Why, for the record.
            last_copy: Whether the last good replica of a file may go, and the file with it.
            adopted: Whether replicas may go that were registered where they lay; these files are
                somebody's own.
            grace_s: How long they stay nevertheless, in seconds.

        Raises:
            InputError: There is no such replica, it is needed, it is the last good one, or it was
                registered where it lay.
        """
        if not reason.strip():
            raise InputError("a replica is not removed without a reason", hint="give one")

        def work(connection: Connection) -> None:
            going = _free(connection, wanted, last_copy=last_copy, adopted=adopted)
            _insert(connection, going, reason, last_copy=last_copy, grace_s=grace_s)

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

        def work(connection: Connection) -> list[str]:
            found = {
                name
                for is_due in _DUE
                for name in connection.execute(
                    select(storages.c.name)
                    .join(deletions, deletions.c.storage_id == storages.c.id)
                    .where(is_due, storages.c.state == StorageState.ENABLED)
                    .distinct()
                ).scalars()
            }
            return sorted(found)

        return self._database.read(work)

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
            query = select(deletions).where(
                deletions.c.state.in_(DELETION.sources(DeletionCue.CANCEL))
            )
            query = query.order_by(deletions.c.id).with_for_update()
            rows = where_in(connection, query, deletions.c.id, sorted(wanted))
            for row in rows:
                _end(connection, row, DeletionCue.CANCEL)
            return len(rows)

        return self._database.write(work)

    def get(self, wanted: Sequence[int]) -> list[Deletion]:
        """Return deletions by their ids."""
        keys = sorted(set(wanted))
        return self._database.read(lambda it: [_deletion(row) for row in _by_id(it, keys)])

    def contested(self, names: Collection[str]) -> Mapping[tuple[str, str], int]:
        """Return how often replicas were removed by several cleaners, by file and storage.

        All but the last may not know that they have lost it, and remove what is there by then.
        """
        query = _ALL.where(deletions.c.state == DeletionState.DONE, deletions.c.fence > 1)
        rows = self._database.read(lambda it: where_in(it, query, files.c.name, names))
        return Counter((row.file, row.storage) for row in rows)

    def open(self, *, limit: int = 1000) -> list[Deletion]:
        """Return deletions that are still to have an end, in the order of their ids."""
        first = first_ids(deletions.c.id, IS_OPEN, limit)
        query = _ALL.where(deletions.c.id.in_(first)).order_by(deletions.c.id)
        return self._database.read(lambda it: [_deletion(row) for row in it.execute(query)])


def _free(
    connection: Connection, wanted: Sequence[tuple[str, str]], *, last_copy: bool, adopted: bool
) -> list[AnyRow]:
    """Return replicas that are to be removed and are not asked for yet, if all of them may go."""
    rows = lock_files(connection, [name for name, _ in wanted])
    places = storage_ids(connection, [storage for _, storage in wanted])
    files = [row.id for row in rows.values()]
    query = select(deletions.c.file_id, deletions.c.storage_id).where(IS_OPEN)
    asked = {tuple(row) for row in where_in(connection, query, deletions.c.file_id, files)}
    needs = Needs(connection, files)
    going = []
    for name, storage in sorted(set(wanted)):
        key = (rows[name].id, places[storage])
        replica = needs.replicas.get(key)
        if replica is None:
            raise InputError(f"there is no replica of {shown(name)} in {storage}")
        if key in asked:
            continue
        if needed := needs.why(replica, last_copy=last_copy, adopted=adopted):
            raise InputError(f"the replica of {shown(name)} in {storage} is not removed: {needed}")
        going.append(replica)
    return going


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


def _insert(
    connection: Connection,
    going: Sequence[AnyRow],
    reason: str,
    *,
    last_copy: bool,
    grace_s: float,
) -> None:
    now = connection.scalar(select(now_s())) or 0.0
    rows = [
        {
            "file_id": replica.file_id,
            "storage_id": replica.storage_id,
            "path": replica.path,
            "state": DeletionState.QUEUED,
            "reason": reason,
            "last_copy": last_copy,
            "not_before_s": now + grace_s,
            "changed_at_s": now,
        }
        for replica in going
    ]
    add_rows(connection, deletions, rows)
    record_all(
        connection,
        (Change("deletion queued", one.file_id, one.storage_id, reason) for one in going),
    )


def _claim(
    connection: Connection, worker: str, number: int, lease_s: float, within: Sequence[str] | None
) -> list[Deletion]:
    kept = _mark(connection, _due(connection, number, within))
    lent = update(deletions).values(leased(deletions, DELETION.target(DeletionCue.CLAIM)))
    for batch in batches(kept):
        is_kept = is_one_of(connection, deletions.c.id, batch)
        connection.execute(lent.where(is_kept), {"mover": worker, "lease_s": lease_s})
    return [_deletion(row) for row in _by_id(connection, kept)]


def _due(connection: Connection, number: int, within: Sequence[str] | None) -> list[AnyRow]:
    """Return deletions that are to be done now, locked, and their files too."""
    found: list[AnyRow] = []
    for is_due, first in zip(_DUE, _FIRST, strict=True):
        due = _ALL.where(is_due, storages.c.state == StorageState.ENABLED)
        if within is not None:
            due = due.where(storages.c.name.in_(within))
        # the file is locked before the deletion, as everywhere; so that is looked at again
        locking = due.order_by(first, deletions.c.id).limit(number - len(found))
        locking = locking.with_for_update(skip_locked=True, of=files)
        seen = [row.id for row in connection.execute(locking)]
        again = due.order_by(deletions.c.id).with_for_update(of=deletions)
        found += where_in(connection, again, deletions.c.id, sorted(seen))
    return found


def _mark(connection: Connection, due: Sequence[AnyRow]) -> list[int]:
    """Mark the replicas of deletions that are not; return the keys of those that are to go on.

    A replica that is needed stays, and its deletion is cancelled.
    """
    kept = [row.id for row in due if row.state == DeletionState.RUNNING]
    fresh = [row for row in due if row.state != DeletionState.RUNNING]
    rows = lock_files(connection, [row.file for row in fresh])
    needs = Needs(connection, [row.id for row in rows.values()])
    going: dict[str, list[AnyRow]] = defaultdict(list)
    last = []
    for row in fresh:
        replica = needs.replicas.get((row.file_id, row.storage_id))
        if replica is None or replica.state not in REPLICA.sources(ReplicaCue.MARK):
            needed = "the replica is gone, or out of reach"
        else:
            # whether it is adopted never changes, and was looked at when this was asked for
            needed = needs.why(replica, last_copy=row.last_copy, adopted=True)
        if needed or replica is None:
            _end(connection, row, DeletionCue.CANCEL, needed)
            continue
        if needs.mark(replica) and rows[row.file].state == FileState.COMMITTED:
            last.append(rows[row.file])
        going[row.reason].append(replica)
        kept.append(row.id)
    for reason, marked in going.items():
        advance(connection, marked, ReplicaCue.MARK, reason)
    advance_files(connection, last, FileCue.MARK)
    return kept


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


def _by_id(connection: Connection, keys: Sequence[int]) -> list[AnyRow]:
    return where_in(connection, _ALL.order_by(deletions.c.id), deletions.c.id, keys)


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
