"""How databases mean to answer what they are asked, as they say themselves."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

SMALL = ("storages", "access", "rules", "quotas", "alembic_version")
"""Tables of few rows, which may be read from end to end."""
QUEUES = ("transfers_waiting", "transfers_held", "transfers_active", "deletions_waiting")
QUEUES += ("transfers_awaited", "deletions_held", "deletions_open")
"""Indexes of what is still to be done, which may be read, too."""
_ASKS = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


@contextmanager
def scans() -> Iterator[list[str]]:
    """Note what reads a large table from end to end meanwhile, with the statement."""
    found: list[str] = []

    def look(
        connection: Any, _: Any, statement: str, parameters: Any, __: Any, is_many: bool
    ) -> None:
        if not _ASKS.match(statement):
            return
        given = parameters[0] if is_many else parameters
        explain = _sqlite if connection.dialect.name == "sqlite" else _postgresql
        cursor = connection.connection.driver_connection.cursor()
        found.extend(f"{line}\n{statement}\n{given}" for line in explain(cursor, statement, given))

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", look)


def _sqlite(cursor: Any, statement: str, given: Any) -> Iterator[str]:
    plan = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", given).fetchall()
    tables = dict(re.findall(r"(?:FROM|JOIN|INTO|UPDATE) (\w+)(?: AS (\w+))?", statement))
    named = {alias or table: table for table, alias in tables.items()}
    for *_, line in plan:
        scan = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX \w\w_(\w+))?", line)
        if scan and named.get(scan[1], scan[1]) in named.values() and not _is_small(named, scan):
            yield line


def _is_small(named: dict[str, str], scan: re.Match[str]) -> bool:
    return named.get(scan[1], scan[1]) in SMALL or scan[2] in QUEUES


def _postgresql(cursor: Any, statement: str, given: Any) -> Iterator[str]:
    cursor.execute("SET LOCAL enable_seqscan = off")
    for (line,) in cursor.execute(f"EXPLAIN {statement}", given).fetchall():
        scan = re.search(r"Seq Scan on (\w+)", line)
        if scan and scan[1] not in SMALL:
            yield line


@contextmanager
def plans() -> Iterator[list[str]]:
    """Note how what is asked for meanwhile is meant to be answered, a plan as one text."""
    found: list[str] = []

    def look(connection: Any, _: Any, statement: str, given: Any, __: Any, is_many: bool) -> None:
        if is_many or not _ASKS.match(statement):
            return
        explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        cursor = connection.connection.driver_connection.cursor()
        lines = cursor.execute(f"{explain} {statement}", given).fetchall()
        found.append("\n".join(line[-1] for line in lines))

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", look)


@contextmanager
def steps() -> Iterator[list[int]]:
    """Note how many hundred steps SQLite takes for each statement meanwhile."""
    found: list[int] = []

    def begin(connection: Any, *_: Any) -> None:
        def count() -> None:
            found[-1] += 1

        found.append(0)
        connection.connection.driver_connection.set_progress_handler(count, 100)

    def end(connection: Any, *_: Any) -> None:
        connection.connection.driver_connection.set_progress_handler(None, 0)

    event.listen(Engine, "before_cursor_execute", begin)
    event.listen(Engine, "after_cursor_execute", end)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", begin)
        event.remove(Engine, "after_cursor_execute", end)


@contextmanager
def written() -> Iterator[list[str]]:
    """Note what changes rows meanwhile."""
    found: list[str] = []

    def look(_: Any, __: Any, statement: str, *___: Any) -> None:
        if re.match(r"\s*(INSERT|UPDATE|DELETE)\b", statement):
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", look)
