"""Looking up rows by many names at once, in batches that both databases take."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    any_,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from euclid_dask.core.errors import InputError
from euclid_dask.data.names import shown
from euclid_dask.data.registry.schema import files, is_sqlite, storages

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]
BATCH: Final = 1000
"""Rows of one statement."""


def batches(things: Iterable[T]) -> Iterator[list[T]]:
    """Return the things in lists of `BATCH`."""
    rest = iter(things)
    while batch := list(islice(rest, BATCH)):
        yield batch


def where_in(
    connection: Connection, query: AnySelect, column: Column[Any], values: Collection[Any]
) -> list[AnyRow]:
    """Return the rows of `query` whose `column` is one of `values`."""
    return [
        row
        for batch in batches(values)
        for row in connection.execute(query.where(is_one_of(connection, column, batch))).all()
    ]


def is_one_of(
    connection: Connection, column: Column[Any], values: Sequence[Any]
) -> ColumnElement[bool]:
    """Return that a column is one of some values, which are one parameter: many are slow."""
    if len(values) == 1:
        is_it: ColumnElement[bool] = column == values[0]
        return is_it
    if is_sqlite(connection.dialect):
        given = func.json_each(json.dumps(values)).table_valued("value")
        return column.in_(select(given.c.value))
    return column == any_(literal(values, ARRAY(column.type)))


def first_ids(column: Column[int], is_meant: ColumnElement[bool], limit: int) -> AnySelect:
    """Return a query for the first keys of few rows among many.

    The sum keeps a database from reading the many in the order of their keys.
    """
    return select(column).where(is_meant).order_by(column + 0).limit(limit)


def file_ids(connection: Connection, names: Collection[str]) -> dict[str, int]:
    """Return the keys of files.

    Raises:
        InputError: There is no file of one of these names.
    """
    rows = where_in(connection, select(files.c.name, files.c.id), files.c.name, set(names))
    found = {row.name: row.id for row in rows}
    _check_known(names, found)
    return found


def lock_files(connection: Connection, names: Collection[str]) -> dict[str, AnyRow]:
    """Return the rows of files, which nobody else changes, nor their replicas, until we are done.

    They are locked in the order of their names, so that two that lock the same do not wait for
    each other. SQLite has one writer, who has them all.

    Raises:
        InputError: There is no file of one of these names.
    """
    query = select(files).order_by(files.c.name).with_for_update()
    rows = where_in(connection, query, files.c.name, sorted(set(names)))
    found = {row.name: row for row in rows}
    _check_known(names, found)
    return found


def _check_known(names: Collection[str], found: Collection[str]) -> None:
    for name in names:
        if name not in found:
            raise InputError(f"there is no file {shown(name)} in the registry")


def storage_ids(connection: Connection, names: Collection[str]) -> dict[str, int]:
    """Return the keys of storages.

    Raises:
        InputError: There is no storage of one of these names.
    """
    wanted = sorted(set(names))
    rows = where_in(connection, select(storages.c.name, storages.c.id), storages.c.name, wanted)
    found = {row.name: row.id for row in rows}
    for name in wanted:
        if name not in found:
            raise InputError(
                f"there is no storage {shown(name)} in the registry", hint="add it first"
            )
    return found


def add_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    only_new: bool = False,
    **same: ColumnElement[Any],
) -> None:
    """Insert rows, which all give the same columns.

    Args:
        connection: Of a transaction that writes.
        table: Where to.
        rows: Values by columns.
        only_new: Leave out rows that are there.
        same: Further columns, whose values all rows have in common.
    """
    for batch in batches(rows):
        if is_sqlite(connection.dialect):
            one = sqlite.insert(table)
            one = one.values(same) if same else one
            connection.execute(one.on_conflict_do_nothing() if only_new else one, batch)
        else:
            names = list(batch[0])
            columns = (
                func.unnest(literal([row[name] for row in batch], ARRAY(table.c[name].type)))
                for name in names
            )
            values = select(*columns, *same.values())
            all_ = postgresql.insert(table).from_select([*names, *same], values)
            connection.execute(all_.on_conflict_do_nothing() if only_new else all_)
