"""The database of a registry: opened, and asked in transactions.

Rule 1: a transaction is one call of `read` or `write`, and nothing is done in it but SQL.
Rule 2: what is written by `write` may be done twice: it is, when PostgreSQL asks for it.
Rule 3: in SQLite processes write in turns, a transaction at a time; only one serves it for ever.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Event, Lock
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from euclid_dask.core.errors import InputError, RegistryError, RegistryUnreachableError
from euclid_dask.data.registry.mounts import MOUNTS, file_system, is_shared
from euclid_dask.data.registry.schema import is_sqlite
from euclid_dask.data.registry.upgrade import check, upgrade

T = TypeVar("T")
_AGAIN: Final = frozenset({"40001", "40P01"})
"""PostgreSQL's codes for a serialisation failure and a deadlock: do it again."""
_TRIES: Final = 10
TURN_S: Final = 60
"""How long SQLite lets one process wait for the transactions of others, in seconds."""
_PAUSE_S: Final = 0.05
_SQLITE: Final[Mapping[str, str]] = {
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "cache_size": "-32768",
    "temp_store": "MEMORY",
    "case_sensitive_like": "ON",
    "analysis_limit": "400",
}


class _BrokenError(Exception):
    """The connection broke in a transaction, and nothing was done.

    This is how a server that was restarted is noticed; to ask before each transaction costs more.
    """

    def __init__(self, reason: DBAPIError) -> None:
        super().__init__(reason)
        self.reason = reason


class Database:
    """A registry's database; its methods may be called from any thread."""

    def __init__(self, engine: Engine, *, read_only: bool = False) -> None:
        self._engine = engine
        self._read_only = read_only
        self._turn = Lock()  # SQLite has one writer, and lets the others wait unfairly

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns, from one transaction that changes nothing."""
        return self._done(work, writes=False)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns, from one transaction; after an error it did nothing.

        `work` is called again when the database asks for it, or the connection breaks. When that
        happens at the very end, nobody knows whether it was done.
        """
        return self._done(work, writes=True)

    def _done(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        for last in (*[False] * (_TRIES - 1), True):
            try:
                return self._once(work, writes=writes)
            except _BrokenError as error:
                if last:
                    raise _translated(error.reason) from error
            except DBAPIError as error:
                if last or getattr(error.orig, "sqlstate", "") not in _AGAIN:
                    raise _translated(error) from error
        raise AssertionError("unreachable")

    def _once(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        lite = is_sqlite(self._engine.dialect)
        turn = self._turn if lite and writes else nullcontext()
        with turn, self._engine.connect() as connection, connection.begin():
            try:
                if lite:  # we say it ourselves, the driver would do it too late
                    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
                return work(connection)
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise _BrokenError(error) from error
                raise

    def analyze(self) -> None:
        """Have SQLite count what its indexes hold, by samples; PostgreSQL does so by itself.

        Else it takes an order that it gets for free for more than a condition that few rows meet.
        """
        if not is_sqlite(self._engine.dialect) or self._read_only:
            return
        with suppress(DBAPIError), self._engine.connect() as it:
            it.exec_driver_sql("PRAGMA busy_timeout = 0")  # while others write, it goes without
            it.exec_driver_sql("ANALYZE")

    @contextmanager
    def served(self) -> Iterator[None]:
        """Be the process that serves the queues for ever; in SQLite one does, and is enough.

        Raises:
            RegistryError: Another process serves them.
        """
        if not is_sqlite(self._engine.dialect):
            yield
            return
        lock = _locked(Path(str(self._engine.url.database)))
        try:
            yield
        finally:
            os.close(lock)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def open_database(address: str, *, read_only: bool = False, mounts: Path = MOUNTS) -> Database:
    """Open the registry at a path or a `postgresql://` URL; its schema is made or upgraded.

    Args:
        address: Where it is. A path is SQLite's: processes of one host write in turns.
        read_only: Change nothing; then the registry has to be there and up to date.
        mounts: The table of mounted file systems.

    Raises:
        InputError: The address is none, or on a file system that other hosts may mount.
        RegistryError: The database cannot be used.
        RegistryUnreachableError: No server answers there, or others write for too long.
    """
    url = database_url(address)
    if url.drivername == "sqlite":
        _check_place(Path(str(url.database)), mounts)
    database = Database(_engine(url, read_only=read_only), read_only=read_only)
    try:
        if read_only:
            database.read(check)
        else:
            database.write(upgrade)
    except BaseException:
        database.close()
        raise
    return database


def database_url(address: str) -> URL:
    """Return the URL of the database at `address`, which is a path or a `postgresql://` URL."""
    if "://" not in address:
        return URL.create("sqlite", database=str(Path(address).absolute()))
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise InputError("the registry's address is no URL") from None
    match url.get_backend_name():
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise InputError(
                f"{other}://: there is no registry of this kind",
                hint="give the path of a file (SQLite), or postgresql://host/database",
            )


def _check_place(path: Path, mounts: Path) -> None:
    directory = path.parent.resolve()
    if not directory.is_dir():
        raise InputError(f"{directory}: no such directory", hint="make it, on a local disk")
    kind = file_system(directory, mounts.read_text(errors="surrogateescape"))
    if is_shared(kind):
        raise InputError(
            f"{path}: this is on {kind}, where SQLite may lose what several hosts write",
            hint="put the registry on a local disk of one host, or use postgresql://",
        )


def _locked(path: Path) -> int:
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise RegistryError(
            f"{path}: another `euclid-dask move` serves this registry",
            hint="it does all that is queued; a registry in postgresql:// may have several",
        ) from None
    return descriptor


def _engine(url: URL, *, read_only: bool) -> Engine:
    if url.drivername != "sqlite":
        return create_engine(url, hide_parameters=True, connect_args={"connect_timeout": 10})
    engine = create_engine(url, hide_parameters=True)
    pragmas = {**_SQLITE, **({"query_only": "ON"} if read_only else {})}

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {1000 * TURN_S}")
        _begin_wal(connection)
        for name, value in pragmas.items():
            connection.execute(f"PRAGMA {name} = {value}")

    return engine


def _begin_wal(connection: sqlite3.Connection) -> None:
    """Have SQLite keep a write-ahead log; we wait for a process that does so now, it would not."""
    end_s = time.monotonic() + TURN_S
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > end_s:
                raise
            Event().wait(_PAUSE_S)
        else:
            return


def _is_busy(error: BaseException | None) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def _translated(error: DBAPIError) -> RegistryError:
    text = str(error.orig).strip()
    if _is_busy(error.orig):
        return RegistryUnreachableError(
            "other processes write to the registry, and left no turn",
            hint="try again later; in postgresql:// several write at once",
        )
    if error.connection_invalidated or (
        isinstance(error, OperationalError)
        and not getattr(error.orig, "sqlstate", None)
        and type(error.orig).__module__.startswith("psycopg")
    ):
        return RegistryUnreachableError(
            f"the registry's database does not answer: {text}", hint="it may later"
        )
    return RegistryError(f"the registry's database refuses: {text}")
