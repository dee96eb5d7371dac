"""The registry as others see it: one object, whose calls take many names at once.

Each call is one transaction. What is told twice changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from sqlalchemy import Connection, select

from euclid_dask.data.model import Event, File, FoundProduct, Product, Replica, ReplicaState
from euclid_dask.data.query import Query
from euclid_dask.data.registry.deletions import Deletions
from euclid_dask.data.registry.duplicate import duplicate
from euclid_dask.data.registry.engine import open_database
from euclid_dask.data.registry.events import Change, history, record
from euclid_dask.data.registry.files import put_files, read_files
from euclid_dask.data.registry.finding import find, types, value_paths
from euclid_dask.data.registry.pins import Pins
from euclid_dask.data.registry.products import named_by, put_products, read_products
from euclid_dask.data.registry.quotas import Quotas
from euclid_dask.data.registry.replicas import change, put_replicas, read_replicas
from euclid_dask.data.registry.rows import where_in
from euclid_dask.data.registry.rules import Rules
from euclid_dask.data.registry.schema import files as files_table
from euclid_dask.data.registry.storages import Storages
from euclid_dask.data.registry.transfers import Transfers
from euclid_dask.data.registry.unruled import Unruled, pin
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
        self.database = open_database(str(address), read_only=read_only)
        self.storages = Storages(self.database)
        self.transfers = Transfers(self.database)
        self.deletions = Deletions(self.database)
        self.pins = Pins(self.database)
        self.quotas = Quotas(self.database)
        self.rules = Rules(self.database)
        self.unruled = Unruled(self.database)

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
        """Close the database."""
        self.database.analyze()
        self.database.close()

    def register(
        self,
        files: Sequence[File] = (),
        replicas: Sequence[Replica] = (),
        products: Mapping[str, Product] = MappingProxyType({}),
        *,
        owner: str = "",
    ) -> None:
        """Add files, replicas and products, all of them or none.

        What is there already, with the same content, is left alone. A million at once is one
        transaction of a minute: give some thousands.

        Args:
            files: By their names, with what is known of their contents.
            replicas: Where their bytes are, verified there; their files are known or given.
            products: By the names of their XML files; all their files have replicas.
            owner: Who needs the files of all that is new from the first moment, as `UNRULED`;
                nobody if empty.

        Raises:
            InputError: A name is taken by other content, a file or storage is not known, a path
                is that of another replica, or a product names a file without replicas.
        """

        def work(connection: Connection) -> None:
            detail = f"{len(files)} files, {len(replicas)} replicas, {len(products)} products"
            event = record(connection, Change("registered", detail=detail))
            arriving = {replica.file for replica in replicas}
            fresh = put_files(connection, files, event.id, arriving)
            put_replicas(connection, replicas, event, fresh)
            new = put_products(connection, products, event.id, fresh)
            if owner:
                pin(connection, {*(file.name for file in files), *new}, owner)

        self.database.write(work)

    def exists(self, names: Collection[str]) -> frozenset[str]:
        """Return which of these names are taken."""

        def work(connection: Connection) -> frozenset[str]:
            rows = where_in(connection, select(files_table.c.name), files_table.c.name, names)
            return frozenset(row.name for row in rows)

        return self.database.read(work)

    def files(self, names: Collection[str]) -> dict[str, File]:
        """Return the files of these names that there are."""
        return self.database.read(lambda it: read_files(it, names))

    def locate(
        self, names: Collection[str], states: Collection[ReplicaState] = _AVAILABLE
    ) -> dict[str, list[Replica]]:
        """Return the replicas of each of these names, by default those that can be read.

        A name without any has an empty list.
        """
        return self.database.read(lambda it: read_replicas(it, names, states))

    def products(self, ids: Collection[str]) -> dict[str, Product]:
        """Return the products of these ids that there are; checksums are those of the files."""
        return self.database.read(lambda it: read_products(it, ids))

    def named_by(self, names: Collection[str]) -> list[str]:
        """Return the names of the files that products name, by the names of their XML files."""
        return self.database.read(lambda it: named_by(it, names))

    def find(self, query: Query, *, limit: int = 100, after: str = "") -> list[FoundProduct]:
        """Return products that a query asks for, in the order of their ids.

        Args:
            query: What to look for.
            limit: How many at most.
            after: The id of the last product of the page before; the empty text for the first.

        Raises:
            InputError: No product has a value at a path of the query.
        """
        return self.database.read(lambda it: find(it, query, limit=limit, after=after))

    def types(self) -> list[str]:
        """Return the types of products that there are."""
        return self.database.read(types)

    def value_paths(self) -> list[str]:
        """Return the paths of values, besides those of headers, that products have."""
        return self.database.read(value_paths)

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
        self.database.write(lambda it: change(it, wanted, cue, detail, confirmed=confirmed))

    def copy_to(self, other: "Registry") -> int:
        """Copy everything into another registry, which is empty; return the number of rows.

        Raises:
            InputError: There is something in it.
        """
        return duplicate(self.database, other.database)

    def history(self, name: str) -> list[Event]:
        """Return what happened to a file, its replicas and its transfers, in order."""
        return self.database.read(lambda it: history(it, name))
