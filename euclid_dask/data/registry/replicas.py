"""Replicas: where the bytes of files are, and how far they are to be trusted.

Who changes the replicas of a file holds the lock of the file's row until the transaction ends:
else two that remove one replica each would both leave the other.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import FileState, Replica, ReplicaState
from euclid_dask.data.names import relative, shown
from euclid_dask.data.registry.events import Change, record_all
from euclid_dask.data.registry.files import advance_files
from euclid_dask.data.registry.rows import (
    AnyRow,
    add_rows,
    batches,
    is_one_of,
    lock_files,
    storage_ids,
    where_in,
)
from euclid_dask.data.registry.schema import files, now_s, replicas, storages
from euclid_dask.data.states import FILE, READABLE, REPLICA, FileCue, ReplicaCue

Key = tuple[int, int]
"""The keys of a file and of a storage."""
_STATES: Final = frozenset({ReplicaState.AVAILABLE, ReplicaState.OFFLINE})
"""States that a new replica may have."""
_GONE: Final = frozenset({ReplicaState.BAD, ReplicaState.LOST})
"""States of a replica that is none to rely on."""
_LOCKED: Final = select(replicas).with_for_update()
_NAMED: Final = (
    select(replicas, files.c.name.label("file"), storages.c.name.label("storage"))
    .join(files, files.c.id == replicas.c.file_id)
    .join(storages, storages.c.id == replicas.c.storage_id)
    .order_by(storages.c.name)
)


def put_replicas(
    connection: Connection,
    new: Sequence[Replica],
    event: AnyRow,
    fresh: Mapping[str, AnyRow] = MappingProxyType({}),
) -> None:
    """Add replicas that were verified where they are; their files are committed.

    One that is there already, at the same path, is verified again.

    Args:
        connection: Of a transaction that writes.
        new: The replicas.
        event: By what they come.
        fresh: The rows of files that this transaction has added, by name.

    Raises:
        InputError: The file or storage is not known, the replica is known at another path, or the
            path is that of another replica.
    """
    names = [replica.file for replica in new]
    rows = lock_files(connection, [name for name in names if name not in fresh])
    rows |= {name: fresh[name] for name in names if name in fresh}
    places = storage_ids(connection, [replica.storage for replica in new])
    for batch in batches(new):
        _put(connection, {(rows[it.file].id, places[it.storage]): it for it in batch}, event)
    changing = [row for row in rows.values() if row.state != FileState.COMMITTED]
    _check_welcome(changing)
    advance_files(connection, changing, FileCue.ARRIVE)


def _check_welcome(rows: Collection[AnyRow]) -> None:
    for row in rows:
        if FileState(row.state) not in FILE.sources(FileCue.ARRIVE):
            raise InputError(
                f"{row.name}: all replicas of this file are being removed", hint="try again later"
            )


def _put(connection: Connection, new: Mapping[Key, Replica], event: AnyRow) -> None:
    """Add replicas; look at what is there only where that is in the way."""
    _check_twins(new)
    keys = [key for key, one in new.items() if one.state in _STATES]
    rows = {key: _row(key, new[key], event) for key in keys}
    names = ("file_id", "storage_id")
    added = add_rows(connection, replicas, list(rows.values()), only_new=True, returning=names)
    left = new.keys() - map(tuple, added)
    if not left:
        return
    for row in _by_key(connection, left):
        key = (row.file_id, row.storage_id)
        _verify_again(connection, new[key], row)
        left.discard(key)
    _check_paths(connection, {key: new[key] for key in left})
    add_rows(connection, replicas, [rows[key] for key in left])  # what was in the way has gone


def _row(key: Key, one: Replica, event: AnyRow) -> dict[str, Any]:
    return {
        "file_id": key[0],
        "storage_id": key[1],
        "path": relative(one.path),
        "state": one.state,
        "adopted": one.adopted,
        "mtime_ns": one.mtime_ns,
        "checked_at_s": one.checked_at_s or event.at_s,
        "event_id": event.id,
    }


def _check_twins(new: Mapping[Key, Replica]) -> None:
    by_path: dict[tuple[int, str], Replica] = {}
    for (_, storage_id), one in new.items():
        if by_path.setdefault((storage_id, one.path), one) is not one:
            raise InputError(f"{one.storage}: {shown(one.path)} is given as two files")


def _by_key(connection: Connection, keys: Collection[Key]) -> list[AnyRow]:
    wanted = set(keys)
    found = where_in(connection, _LOCKED, replicas.c.file_id, {file_id for file_id, _ in wanted})
    return [row for row in found if (row.file_id, row.storage_id) in wanted]


def _verify_again(connection: Connection, replica: Replica, row: AnyRow) -> None:
    if row.path != replica.path:
        raise InputError(
            f"{shown(replica.file)} is known in {replica.storage} as {shown(row.path)}, and not "
            f"as {shown(replica.path)}",
            hint="remove the one that is not to stay",
        )
    if ReplicaState(row.state) not in REPLICA.sources(ReplicaCue.VERIFY):
        raise InputError(
            f"the replica of {shown(replica.file)} in {replica.storage} is {row.state}",
            hint="try again later",
        )
    advance(connection, [row], ReplicaCue.VERIFY)
    connection.execute(
        update(replicas)
        .where(replicas.c.file_id == row.file_id, replicas.c.storage_id == row.storage_id)
        .values(mtime_ns=replica.mtime_ns, checked_at_s=replica.checked_at_s or now_s())
    )


def _check_paths(connection: Connection, fresh: Mapping[Key, Replica]) -> None:
    by_storage: dict[int, dict[str, Replica]] = defaultdict(dict)
    for (_, storage_id), one in fresh.items():
        if one.state not in _STATES:
            raise InputError(f"{shown(one.file)}: a new replica cannot be {one.state}")
        by_storage[storage_id][one.path] = one
    for storage_id, by_path in by_storage.items():
        query = (
            select(replicas.c.path, files.c.name)
            .join(files, files.c.id == replicas.c.file_id)
            .where(replicas.c.storage_id == storage_id)
        )
        for row in where_in(connection, query, replicas.c.path, list(by_path)):
            raise InputError(
                f"{by_path[row.path].storage}: {shown(row.path)} is known as {shown(row.name)}, "
                f"and not as {shown(by_path[row.path].file)}"
            )


def read_replicas(
    connection: Connection, names: Collection[str], states: Collection[ReplicaState]
) -> dict[str, list[Replica]]:
    """Return the replicas of files that are in one of the states, by name of the storage."""
    found: dict[str, list[Replica]] = {name: [] for name in names}
    for row in where_in(connection, _NAMED, files.c.name, names):
        if row.state in states:
            found[row.file].append(replica(row))
    return found


def replica(row: AnyRow) -> Replica:
    """Return the replica of a row that has the names of its file and storage too."""
    return Replica(
        file=row.file,
        storage=row.storage,
        path=row.path,
        state=ReplicaState(row.state),
        adopted=row.adopted,
        mtime_ns=row.mtime_ns,
        checked_at_s=row.checked_at_s,
    )


def advance(
    connection: Connection, rows: Sequence[AnyRow], cue: ReplicaCue, detail: str = ""
) -> None:
    """Change the state of replicas whose files are locked; what is there already stays.

    Raises:
        IllegalTransitionError: It cannot happen to one of them.
    """
    target = REPLICA.target(cue)
    changed = [row for row in rows if REPLICA.advance(ReplicaState(row.state), cue) != row.state]
    by_storage: dict[int, list[int]] = defaultdict(list)  # pairs would have SQLite read all rows
    for row in changed:
        by_storage[row.storage_id].append(row.file_id)
    for storage_id, keys in by_storage.items():
        for batch in batches(keys):
            is_changed = is_one_of(connection, replicas.c.file_id, batch)
            connection.execute(
                update(replicas)
                .where(is_changed, replicas.c.storage_id == storage_id)
                .values(state=target)
            )
    record_all(
        connection,
        (Change(f"replica {target}", row.file_id, row.storage_id, detail) for row in changed),
    )


def remove(connection: Connection, row: AnyRow, detail: str) -> None:
    """Forget a replica whose file is locked."""
    connection.execute(
        delete(replicas).where(
            replicas.c.file_id == row.file_id, replicas.c.storage_id == row.storage_id
        )
    )
    record_all(connection, [Change("replica removed", row.file_id, row.storage_id, detail)])


def change(
    connection: Connection,
    wanted: Sequence[tuple[str, str]],
    cue: ReplicaCue,
    detail: str,
    *,
    confirmed: bool = False,
) -> None:
    """Change the state of replicas, given by the names of their files and storages.

    Args:
        connection: Of a transaction that writes.
        wanted: Names of files and storages.
        cue: What happened to these replicas; to one that is there already, nothing does.
        detail: Why, for the record.
        confirmed: Whether a person says that files are lost when their last replica is.

    Raises:
        InputError: There is no such replica, it cannot happen to it, or a file would be lost and
            nobody has confirmed it.
    """
    rows = lock_files(connection, [name for name, _ in wanted])
    places = storage_ids(connection, [storage for _, storage in wanted])
    keys = {(rows[name].id, places[storage]): (name, storage) for name, storage in wanted}
    found = {(row.file_id, row.storage_id): row for row in _by_key(connection, keys)}
    target = REPLICA.target(cue)
    for key, (name, storage) in keys.items():
        if key not in found:
            raise InputError(f"there is no replica of {shown(name)} in {storage}")
        if ReplicaState(found[key].state) not in REPLICA.sources(cue) | {target}:
            raise InputError(
                f"the replica of {shown(name)} in {storage} is {found[key].state}, and cannot "
                f"become {target}"
            )
    advance(connection, [row for row in found.values() if row.state != target], cue, detail)
    touched = [rows[name] for name in {name for name, _ in wanted}]
    if target in READABLE:
        back = [row for row in touched if row.state == FileState.LOST]
        advance_files(connection, back, FileCue.ARRIVE)
    if target in _GONE:
        _lose(connection, touched, confirmed=confirmed)


def _lose(connection: Connection, touched: Sequence[AnyRow], *, confirmed: bool) -> None:
    query = select(replicas.c.file_id).where(replicas.c.state.not_in(_GONE))
    keys = [row.id for row in touched]
    left = {row.file_id for row in where_in(connection, query, replicas.c.file_id, keys)}
    lost = [row for row in touched if row.id not in left and row.state == FileState.COMMITTED]
    if lost and not confirmed:
        raise InputError(
            f"{shown(lost[0].name)} would be lost with this replica ({len(lost)} files in all)",
            hint="confirm it, if it is so",
        )
    advance_files(connection, lost, FileCue.LOSE)
