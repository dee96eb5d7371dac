"""Looking up rows by many names at once, in batches that both databases take."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    Table,
    any_,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from euclid_dask.core.errors import InputError
from euclid_dask.data.names import shown
from euclid_dask.data.registry.schema import files, is_sqlite, now_s, storages

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]
BATCH: Final = 1000
"""Rows of one statement."""
_FEW: Final = 100
"""Rows that SQLite is given by one: each has its own parameters."""
_GIVEN: Final = "given"
_SQLITE: Final = sqlite.dialect()
_FILE_IDS: Final = select(files.c.name, files.c.id)
_FILES: Final = select(files).order_by(files.c.name).with_for_update()
_STORAGE_IDS: Final = select(storages.c.name, storages.c.id)


def batches(things: Iterable[T], most: int = BATCH) -> Iterator[list[T]]:
    """Return the things in lists of so many."""
    rest = iter(things)
    while batch := list(islice(rest, most)):
        yield batch


def where_in(
    connection: Connection, query: AnySelect, column: Column[Any], values: Collection[Any]
) -> list[AnyRow]:
    """Return the rows of `query` whose `column` is one of `values`.

    A query that is always the same object is put together once.
    """
    found: list[AnyRow] = []
    for batch in batches(values):
        is_one = len(batch) == 1
        narrowed = (_to_one if is_one else _to_many)(query, column, connection.dialect.name)
        given = batch[0] if is_one else json.dumps(batch)
        found += connection.execute(narrowed, {_GIVEN: given}).all()
    return found


@lru_cache(maxsize=256)
def _to_one(query: AnySelect, column: Column[Any], _: str) -> AnySelect:
    return query.where(column == bindparam(_GIVEN, type_=column.type))


@lru_cache(maxsize=256)
def _to_many(query: AnySelect, column: Column[Any], dialect: str) -> AnySelect:
    return query.where(is_among(column, bindparam(_GIVEN, type_=String()), dialect))


def is_one_of(
    connection: Connection, column: Column[Any], values: Sequence[Any]
) -> ColumnElement[bool]:
    """Return that a column is one of some values, which are one parameter: many are slow."""
    if len(values) == 1:
        is_it: ColumnElement[bool] = column == values[0]
        return is_it
    given = bindparam(None, json.dumps(values), type_=String())
    return is_among(column, given, connection.dialect.name)


def is_among(column: Column[Any], given: Any, dialect: str) -> ColumnElement[bool]:
    """Return that a column is one of the values that a JSON text lists."""
    if dialect == "sqlite":
        return column.in_(select(func.json_each(given).table_valued("value").c.value))
    texts = func.json_array_elements_text(cast(given, JSON)).table_valued("value")
    values = select(cast(texts.c.value, column.type)).scalar_subquery()
    is_it: ColumnElement[bool] = column == any_(func.array(values))
    return is_it


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
    rows = where_in(connection, _FILE_IDS, files.c.name, set(names))
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
    rows = where_in(connection, _FILES, files.c.name, sorted(set(names)))
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
    rows = where_in(connection, _STORAGE_IDS, storages.c.name, wanted)
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
    at: str = "",
    returning: Sequence[str] = (),
) -> list[AnyRow]:
    """Insert rows, which all give the same columns; return some columns of those inserted.

    Args:
        connection: Of a transaction that writes.
        table: Where to.
        rows: Values by columns.
        only_new: Leave out rows that are there.
        at: A further column, which gets the time.
        returning: Which columns are returned.
    """
    found: list[AnyRow] = []
    lite = is_sqlite(connection.dialect)
    for batch in batches(rows, _FEW if lite else BATCH):
        adding = _Adding(table, tuple(batch[0]), only_new, at, tuple(returning))
        if lite:
            values = _parameters(adding, batch)
            added = connection.exec_driver_sql(_by_values(adding, len(batch)), values)
        else:
            added = connection.execute(_by_text(adding), {_GIVEN: _json(batch)})
        if returning:
            found += added.all()
    return found


def _json(value: object) -> str:
    try:
        return msgspec.json.encode(value, enc_hook=_plain).decode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text {error.object[:200]!r} is not registered: its character {error.start + 1} "
            "is half of one"
        ) from None


def _plain(value: object) -> str:
    """Return a text of a kind of its own, such as NumPy's, as a text."""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{value!r} is nothing that a registry keeps")


class _Adding(NamedTuple):
    table: Table
    names: Sequence[str]
    only_new: bool
    at: str
    returning: Sequence[str]


@lru_cache(maxsize=256)
def _by_values(adding: _Adding, number: int) -> str:
    """Return a statement for SQLite that takes so many rows, value by value.

    JSON would not do: what SQLite makes of a number there may differ in its last bit.
    """
    quote = _SQLITE.identifier_preparer.quote
    columns = [*adding.names, adding.at] if adding.at else adding.names
    clock = [str(now_s().compile(dialect=_SQLITE))] if adding.at else []
    row = f"({', '.join(['?'] * len(adding.names) + clock)})"
    words = [
        f"INSERT INTO {adding.table.name} ({', '.join(map(quote, columns))})",
        f"VALUES {', '.join([row] * number)}",
        *(["ON CONFLICT DO NOTHING"] if adding.only_new else []),
        *([f"RETURNING {', '.join(map(quote, adding.returning))}"] if adding.returning else []),
    ]
    return " ".join(words)


def _parameters(adding: _Adding, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    texts = [name for name in adding.names if isinstance(adding.table.c[name].type, JSON)]
    if texts:
        rows = [{**row, **{name: _json(row[name]) for name in texts}} for row in rows]
    return tuple(row[name] for row in rows for name in adding.names)


@lru_cache(maxsize=256)
def _by_text(adding: _Adding) -> Any:
    """Return a statement for PostgreSQL that takes rows as one JSON text: arrays are slow."""
    table, names, only_new, at, returning = adding
    columns = [column(name, table.c[name].type) for name in names]
    function = func.json_to_recordset(cast(bindparam(_GIVEN, type_=String()), JSON))
    given = function.table_valued(*columns, name="given").render_derived(with_types=True)
    values = select(*given.c, *([now_s()] if at else []))
    inserting = postgresql.insert(table).from_select([*names, *([at] if at else [])], values)
    inserting = inserting.on_conflict_do_nothing() if only_new else inserting
    return inserting.returning(*(table.c[name] for name in returning)) if returning else inserting
