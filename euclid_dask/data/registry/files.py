"""Files: a name, and a content that never changes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import Checksum, File, FileState
from euclid_dask.data.names import check_name, shown
from euclid_dask.data.registry.events import Change, record_all
from euclid_dask.data.registry.rows import (
    AnyRow,
    add_rows,
    batches,
    is_one_of,
    lock_files,
    where_in,
)
from euclid_dask.data.registry.schema import file_checksums, files
from euclid_dask.data.states import FILE, FileCue

ONE_CONTENT: Final = (
    "a name and an id stand for one content, for ever: have the program that writes it give each "
    "new product an id and each new file a name of its own, as with euclid_files.new_name"
)
_MOST_BYTES = 2**63 - 1
_COLUMNS: Final = ("id", "name", "size", "state")
_FILES: Final = select(*(files.c[name] for name in _COLUMNS))
_CHECKSUMS: Final = select(file_checksums)


def put_files(
    connection: Connection, new: Sequence[File], event_id: int, arriving: Collection[str] = ()
) -> dict[str, AnyRow]:
    """Add files; one that is there already with the same content is left alone.

    Args:
        connection: Of a transaction that writes.
        new: The files. They are proposed.
        event_id: By what they come.
        arriving: Names of files that are committed at once, since the same transaction adds their
            replicas: rows that are not changed again are soon added.

    Returns:
        The rows of those that were not there, by name: nobody else sees them yet.

    Raises:
        InputError: A name is none, or is taken by other content.
    """
    fresh: dict[str, AnyRow] = {}
    for file in new:
        check_name(file.name)
        if not 0 <= file.size <= _MOST_BYTES:
            raise InputError(f"{file.name}: its size is {file.size} bytes")
    for batch in batches(sorted(new, key=lambda file: file.name)):
        rows = [
            {
                "name": file.name,
                "size": file.size,
                "state": FileState.COMMITTED if file.name in arriving else FileState.PROPOSED,
                "event_id": event_id,
            }
            for file in batch
        ]
        added = add_rows(connection, files, rows, only_new=True, returning=_COLUMNS)
        mine = {row.name: row for row in added}  # what another batch added is compared
        put_checksums(connection, batch, mine)
        fresh |= mine
    return fresh


def put_checksums(
    connection: Connection,
    known: Sequence[File],
    fresh: Mapping[str, AnyRow] = MappingProxyType({}),
) -> None:
    """Add what is known of the contents of files to what the registry knows of them.

    Args:
        connection: Of a transaction that writes.
        known: The files.
        fresh: The rows of those of which it knows nothing, by name.

    Raises:
        InputError: It is other content, or nothing tells that it is the same.
    """
    # locked: what another adds meanwhile is compared, too
    there = lock_files(connection, [file.name for file in known if file.name not in fresh])
    sums = _checksums(connection, (row.id for row in there.values()))
    before = frozenset(sums)
    changed: dict[int, dict[str, Checksum]] = {}
    for file in known:
        row = fresh.get(file.name) or there[file.name]
        noted = sums.get(row.id, {})
        if more := _additions(file, row, noted):
            changed[row.id] = sums[row.id] = {**noted, **more}
    for batch in batches(key for key in changed if key in before):
        is_changed = is_one_of(connection, file_checksums.c.file_id, batch)
        connection.execute(delete(file_checksums).where(is_changed))
    add_rows(connection, file_checksums, [_row(key, some) for key, some in changed.items()])


def _row(key: int, some: Mapping[str, Checksum]) -> dict[str, Any]:
    return {
        "file_id": key,
        "checksums": {algorithm: one.value for algorithm, one in some.items()},
        "declared": [algorithm for algorithm, one in some.items() if one.declared],
    }


def _additions(file: File, row: AnyRow, known: Mapping[str, Checksum]) -> Mapping[str, Checksum]:
    if file.size != row.size:
        raise InputError(
            f"the file name {shown(file.name)} is taken by a file of {row.size} bytes; "
            f"this one has {file.size}",
            hint=ONE_CONTENT,
        )
    given = {checksum.algorithm: checksum for checksum in file.checksums}
    if not known:
        return given
    common = given.keys() & known.keys()
    for algorithm in sorted(common):
        if given[algorithm].value != known[algorithm].value:
            raise InputError(
                f"the file name {shown(file.name)} is taken by other content: its {algorithm} is "
                f"{known[algorithm].value}, that of this one is {given[algorithm].value}",
                hint=ONE_CONTENT,
            )
    if given and not common:
        raise InputError(
            f"the file name {shown(file.name)} is taken, perhaps by other content: only its "
            f"{', '.join(sorted(known))} is known",
            hint="give that checksum too",
        )
    return {algorithm: given[algorithm] for algorithm in given.keys() - common}


def read_files(connection: Connection, names: Collection[str]) -> dict[str, File]:
    """Return the files of these names that there are."""
    rows = where_in(connection, _FILES, files.c.name, names)
    sums = _checksums(connection, (row.id for row in rows))
    return {
        row.name: File(
            name=row.name,
            size=row.size,
            checksums=tuple(sums.get(row.id, {}).values()),
            state=FileState(row.state),
        )
        for row in rows
    }


def _checksums(connection: Connection, keys: Iterable[int]) -> dict[int, dict[str, Checksum]]:
    """Return what is known of each file, in the order of the algorithms."""
    rows = where_in(connection, _CHECKSUMS, file_checksums.c.file_id, list(keys))
    return {
        row.file_id: {
            algorithm: Checksum(
                algorithm=algorithm, value=value, declared=algorithm in row.declared
            )
            for algorithm, value in sorted(row.checksums.items())
        }
        for row in rows
    }


def advance_files(connection: Connection, rows: Iterable[AnyRow], cue: FileCue) -> None:
    """Change the state of files whose rows are locked; what is there already stays.

    Args:
        connection: Of the transaction that locked them.
        rows: As they were when they were locked.
        cue: What happened to them.

    Raises:
        IllegalTransitionError: It cannot happen to one of them.
    """
    target = FILE.target(cue)
    changed = [row for row in rows if FILE.advance(FileState(row.state), cue) != row.state]
    for batch in batches(changed):
        is_changed = is_one_of(connection, files.c.id, [row.id for row in batch])
        connection.execute(update(files).where(is_changed).values(state=target))
    # that a proposed file is committed is told by the event of its first replica
    told = (row for row in changed if row.state != FileState.PROPOSED)
    record_all(connection, (Change(f"file {target}", row.id) for row in told))
