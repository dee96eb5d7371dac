"""The registry as others see it: one object, whose calls take many names at once.

Each call is one transaction. What is told twice changes nothing.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, select

from euclid_dask.data.model import Event, File, Replica, ReplicaState
from euclid_dask.data.registry.engine import open_database
from euclid_dask.data.registry.events import Change, history, record
from euclid_dask.data.registry.files import put_files, read_files
from euclid_dask.data.registry.replicas import change, put_replicas, read_replicas
from euclid_dask.data.registry.rows import where_in
from euclid_dask.data.registry.schema import files as files_table
from euclid_dask.data.registry.storages import Storages
from euclid_dask.data.registry.transfers import Transfers
from euclid_dask.data.states import ReplicaCue

_AVAILABLE = frozenset({ReplicaState.AVAILABLE})


class Registry:
    """What files and products there are, where they are, and what is to be moved.

    Its methods may be called from any thread. Those that write raise `InputError` when what they
    are asked to do cannot be, `RegistryError` when the database does not do it; then they did
    nothing.
    """

    def __init__(self, address: str | Path, *, read_only: bool = False) -> None:
        """Open the registry at a path (SQLite) or a `postgresql://` URL, and make it if needed."""
        self._database = open_database(str(address), read_only=read_only)
        self.storages = Storages(self._database)
        self.transfers = Transfers(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database, and let another process write."""
        self._database.close()

    def register(self, files: Sequence[File] = (), replicas: Sequence[Replica] = ()) -> None:
        """Add files and replicas, all of them or none.

        Files may be there already, with the same content; replicas were verified where they are,
        and their files are known or given.

        Raises:
            InputError: A name is taken by other content, a file or storage is not known, or a
                path is that of another replica.
        """

        def work(connection: Connection) -> None:
            detail = f"{len(files)} files, {len(replicas)} replicas"
            event = record(connection, Change("registered", detail=detail))
            put_files(connection, files, event)
            put_replicas(connection, replicas, event)

        self._database.write(work)

    def exists(self, names: Collection[str]) -> frozenset[str]:
        """Return which of these names are taken."""

        def work(connection: Connection) -> frozenset[str]:
            rows = where_in(connection, select(files_table.c.name), files_table.c.name, names)
            return frozenset(row.name for row in rows)

        return self._database.read(work)

    def files(self, names: Collection[str]) -> dict[str, File]:
        """Return the files of these names that there are."""
        return self._database.read(lambda it: read_files(it, names))

    def locate(
        self, names: Collection[str], states: Collection[ReplicaState] = _AVAILABLE
    ) -> dict[str, list[Replica]]:
        """Return the replicas of each of these names, by default those that can be read.

        A name without any has an empty list.
        """
        return self._database.read(lambda it: read_replicas(it, names, states))

    def change_replicas(
        self,
        wanted: Sequence[tuple[str, str]],
        cue: ReplicaCue,
        detail: str,
        *,
        confirmed: bool = False,
    ) -> None:
        """Tell what happened to replicas, given by the names of their files and storages.

        Args:
            wanted: Names of files and storages.
            cue: What happened to these replicas; to one that is there already, nothing does.
            detail: Why, for the record.
            confirmed: Whether a person says that files are lost when their last replica is.

        Raises:
            InputError: There is no such replica, it cannot happen to it, or a file would be lost
                and nobody has confirmed it.
        """
        self._database.write(lambda it: change(it, wanted, cue, detail, confirmed=confirmed))

    def history(self, name: str) -> list[Event]:
        """Return what happened to a file, its replicas and its transfers, in order."""
        return self._database.read(lambda it: history(it, name))
