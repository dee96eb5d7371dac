"""The tables of the registry.

Times are seconds since the epoch, on the database's clock (`now_s`): hosts whose clocks differ
agree on leases. What a row became by is in `events`, written in the same transaction: rows that
come in bulk name their event, later changes have one each.

A change here needs a revision in `migrations/versions`; a test compares both.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    literal_column,
    text,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

REVISION: Final = "0007"
"""The revision of the schema that this code speaks."""

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_Text = String().with_variant(String(collation="C"), "postgresql")  # as SQLite, byte by byte
_Id = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself there


class now_s(FunctionElement[float]):  # noqa: N801 -- written as the SQL function it stands for
    """The database's clock, in seconds since the epoch."""

    type = Float()
    inherit_cache = True


@compiles(now_s, "sqlite")
def _now_in_sqlite(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now_s, "postgresql")
def _now_in_postgresql(*_: Any, **__: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


def _id() -> Column[int]:
    return Column("id", _Id, primary_key=True)


def _ref(
    table: str, name: str = "", *, nullable: bool = False, primary_key: bool = False
) -> Column[Any]:
    return Column(
        name or f"{table.removesuffix('s')}_id",
        _Id,
        ForeignKey(f"{table}.id"),
        nullable=nullable and not primary_key,
        primary_key=primary_key,
    )


def _event() -> Column[Any]:
    """Return what names the event that a row came by: it is written before, and never removed.

    Only SQLite looks whether it is there. PostgreSQL does so row by row, which is dear.
    """
    return _ref("events")


def _text(name: str, *, primary_key: bool = False, default: str | None = None) -> Column[str]:
    return Column(name, _Text, nullable=False, primary_key=primary_key, server_default=default)


def _number(name: str, *, default: int | None = None) -> Column[int]:
    given = None if default is None else str(default)
    return Column(name, Integer, nullable=False, server_default=given)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _time(name: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Float(53), nullable=nullable)


events = Table(
    "events",
    metadata,
    _id(),
    _time("at_s"),
    _text("kind"),
    Column("file_id", _Id),  # no foreign keys: events outlive what they speak of
    Column("storage_id", _Id),
    Column("product_id", _Id),
    _text("detail"),
    Index(
        None,
        "file_id",
        sqlite_where=text("file_id IS NOT NULL"),
        postgresql_where=text("file_id IS NOT NULL"),
    ),
)

storages = Table(
    "storages",
    metadata,
    _id(),
    Column("name", _Text, nullable=False, unique=True),
    _text("marker"),
    _text("state"),
    _flag("durable"),
    _flag("one_writer"),
    Column("labels", JSON, nullable=False),
    Column("paused_until_s", Float(53), nullable=False, server_default="0"),
)

access = Table(
    "access",
    metadata,
    _ref("storages", primary_key=True),
    _text("zone", primary_key=True),
    _text("root", primary_key=True),
    _number("read"),
    _number("write"),
    _number("delete"),
    _text("credential"),
    Column("options", JSON, nullable=False),
)

files = Table(
    "files",
    metadata,
    _id(),
    Column("name", _Text, nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    _text("state"),
    _event(),
)

file_checksums = Table(
    "file_checksums",
    metadata,
    _ref("files", primary_key=True),
    Column("checksums", JSON, nullable=False),  # algorithms to values; one row is looked up once
    Column("declared", JSON, nullable=False),  # the algorithms of those that were told, not read
    sqlite_with_rowid=False,
)

replicas = Table(
    "replicas",
    metadata,
    _ref("files", primary_key=True),
    _ref("storages", primary_key=True),
    _text("path"),
    _text("state"),
    _flag("adopted"),
    Column("mtime_ns", BigInteger),
    _time("checked_at_s"),
    _event(),
    UniqueConstraint("storage_id", "path"),
    Index(None, "storage_id", "state"),
    sqlite_with_rowid=False,
)

pins = Table(
    "pins",
    metadata,
    _ref("files", primary_key=True),
    _text("owner", primary_key=True),
    _time("until_s", nullable=True),
    Index(None, "owner"),
    sqlite_with_rowid=False,
)

products = Table(
    "products",
    metadata,
    _id(),
    Column("product_id", _Text, nullable=False, unique=True),
    _text("type"),
    _text("namespace"),
    _text("release"),
    Column("header", JSON, nullable=False),
    _ref("files", "xml_file_id"),
    _event(),
    Index(None, "type", "product_id"),
    Index(None, "type", "release", "product_id"),
    Index(None, "xml_file_id"),
)

product_values = Table(
    "product_values",
    metadata,
    _ref("products", primary_key=True),
    _text("path", primary_key=True),
    Column("ordinal", Integer, primary_key=True, nullable=False, autoincrement=False),
    _text("text"),
    Column("number", Float(53)),
    Index(None, "path", "text"),
    Index(
        None,
        "path",
        "number",
        sqlite_where=text("number IS NOT NULL"),
        postgresql_where=text("number IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

product_files = Table(
    "product_files",
    metadata,
    _ref("products", primary_key=True),
    Column("ordinal", Integer, primary_key=True, nullable=False, autoincrement=False),
    _ref("files"),
    _text("xpath"),
    _text("format"),
    _text("status"),
    Index(None, "file_id", "product_id"),
    sqlite_with_rowid=False,
)

product_links = Table(
    "product_links",
    metadata,
    _ref("products", primary_key=True),
    _text("role", primary_key=True),
    _text("target", primary_key=True),
    Index(None, "target"),
    sqlite_with_rowid=False,
)

rules = Table(
    "rules",
    metadata,
    _id(),
    Column("name", _Text, nullable=False, unique=True),
    _text("state"),
    Column("content", JSON, nullable=False),
    _time("until_s", nullable=True),
    Column("stale", Boolean, nullable=False, server_default=true()),
)

rule_targets = Table(
    "rule_targets",
    metadata,
    _ref("rules", primary_key=True),
    _ref("files", primary_key=True),
    _ref("storages", primary_key=True),
    _text("state"),
    _text("error", default=""),
    Index(None, "file_id", "storage_id"),
    sqlite_with_rowid=False,
)

rule_stuck = Table(
    "rule_stuck",
    metadata,
    _ref("rules", primary_key=True),
    _ref("files", primary_key=True),
    _text("reason"),
    Index(None, "file_id"),
    sqlite_with_rowid=False,
)

_ACTIVE: Final = ("queued", "running", "publishing", "retry")
_WAITING: Final = ("queued", "retry")
_HELD: Final = ("running", "publishing")


def _index(name: str, states: Sequence[str], *columns: str, unique: bool = False) -> Index:
    is_in = text(f"state IN ({', '.join(repr(state) for state in states)})")
    return Index(name, *columns, unique=unique, sqlite_where=is_in, postgresql_where=is_in)


def _is_in(table: Table, states: Sequence[str]) -> ColumnElement[bool]:
    # word by word as the index of such rows says it: else it is not used, and all history is read
    return table.c.state.in_([literal_column(repr(state)) for state in states])


transfers = Table(
    "transfers",
    metadata,
    _id(),
    _ref("files"),
    _ref("storages", "destination_id"),
    _text("state"),
    _number("rank", default=0),  # the priority negated, so that an index has both in order
    _text("worker", default=""),
    Column("lease_until_s", Float(53), nullable=False, server_default="0"),
    Column("not_before_s", Float(53), nullable=False, server_default="0"),
    _number("fence", default=0),
    _number("attempts", default=0),
    Column("bytes_copied", BigInteger, nullable=False, server_default="0"),
    _text("method", default=""),
    _text("error_class", default=""),
    _text("error", default=""),
    _time("changed_at_s"),
    Index(None, "file_id"),
    _index("uq_transfers_active", _ACTIVE, "file_id", "destination_id", unique=True),
    _index("ix_transfers_waiting", _WAITING, "rank", "id"),
    _index("ix_transfers_awaited", _WAITING, "destination_id", "rank", "id"),
    _index("ix_transfers_held", _HELD, "lease_until_s"),
)

IS_ACTIVE: Final = _is_in(transfers, _ACTIVE)
"""That a transfer is still to have an end."""
IS_WAITING: Final = _is_in(transfers, _WAITING)
"""That a mover may claim a transfer, when it is time."""
IS_HELD: Final = _is_in(transfers, _HELD)
"""That a mover has a transfer, or lost it."""

_OPEN: Final = ("queued", "running")
_QUEUED: Final = ("queued",)
_RUNNING: Final = ("running",)

deletions = Table(
    "deletions",
    metadata,
    _id(),
    _ref("files"),
    _ref("storages"),
    _text("path"),
    _text("state"),
    _text("reason"),
    _flag("last_copy"),
    _text("worker", default=""),
    Column("lease_until_s", Float(53), nullable=False, server_default="0"),
    Column("not_before_s", Float(53), nullable=False, server_default="0"),
    _number("fence", default=0),
    _text("error", default=""),
    _time("changed_at_s"),
    Index(None, "file_id"),
    _index("uq_deletions_open", _OPEN, "file_id", "storage_id", unique=True),
    _index("ix_deletions_waiting", _QUEUED, "not_before_s", "id"),
    _index("ix_deletions_held", _RUNNING, "lease_until_s"),
)

IS_OPEN: Final = _is_in(deletions, _OPEN)
"""That a deletion is still to have an end."""
IS_QUEUED: Final = _is_in(deletions, _QUEUED)
"""That the replica of a deletion is not marked yet."""
IS_RUNNING: Final = _is_in(deletions, _RUNNING)
"""That it is marked, and may be gone."""

quotas = Table(
    "quotas",
    metadata,
    _ref("storages", primary_key=True),
    _text("owner", primary_key=True),
    Column("limit_bytes", BigInteger, nullable=False),
)


def is_sqlite(dialect: Dialect) -> bool:
    """Tell whether SQL is spoken to SQLite; else it is to PostgreSQL."""
    return dialect.name == "sqlite"
