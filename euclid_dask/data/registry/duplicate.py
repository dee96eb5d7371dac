"""Copying a whole registry into an empty one, as from SQLite to PostgreSQL and back."""

from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from euclid_dask.core.errors import InputError
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.rows import BATCH
from euclid_dask.data.registry.schema import is_sqlite, metadata


def duplicate(source: Database, target: Database) -> int:
    """Copy all rows of all tables, with their keys, in one transaction; return how many.

    Raises:
        InputError: There is something in the target.
    """
    return source.read(lambda reading: target.write(lambda writing: _copy(reading, writing)))


def _copy(reading: Connection, writing: Connection) -> int:
    tables = metadata.sorted_tables
    for table in tables:
        if writing.execute(select(table).limit(1)).first():
            raise InputError(
                f"the other registry is not empty: its table {table.name} is not",
                hint="copy into a new one",
            )
    copied = sum(_copy_table(reading, writing, table) for table in tables)
    if not is_sqlite(writing.dialect):
        for table in tables:
            _count_on(writing, table)
    return copied


def _copy_table(reading: Connection, writing: Connection, table: Table) -> int:
    rows = reading.execution_options(yield_per=BATCH).execute(select(table))
    copied = 0
    for batch in rows.mappings().partitions(BATCH):
        values: list[dict[str, Any]] = [dict(row) for row in batch]
        writing.execute(insert(table), values)
        copied += len(values)
    return copied


def _count_on(writing: Connection, table: Table) -> None:
    """Have a table's sequence go on after the keys that were copied."""
    if "id" in table.c:
        last = select(func.coalesce(func.max(table.c.id), 0) + 1).scalar_subquery()
        sequence = func.pg_get_serial_sequence(table.name, "id")
        writing.execute(select(func.setval(sequence, last, text("false"))))
