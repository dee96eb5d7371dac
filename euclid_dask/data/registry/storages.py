"""Storages and the ways to reach them."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, true, update

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import Access, Storage, StorageState
from euclid_dask.data.names import check_name
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.events import Change, record
from euclid_dask.data.registry.rows import AnyRow, storage_ids
from euclid_dask.data.registry.schema import (
    IS_ACTIVE,
    IS_OPEN,
    access,
    deletions,
    now_s,
    quotas,
    replicas,
    rule_targets,
    storages,
    transfers,
)
from euclid_dask.data.roots import check_root

_SPEAKING: Final = (
    ("transfers to it have not ended", transfers.c.destination_id, IS_ACTIVE),
    ("removals from it have not ended", deletions.c.storage_id, IS_OPEN),
    ("a rule wants files there", rule_targets.c.storage_id, true()),
)
"""What keeps a storage from being forgotten."""
_FORGOTTEN: Final = (
    (access, access.c.storage_id),
    (transfers, transfers.c.destination_id),
    (deletions, deletions.c.storage_id),
    (quotas, quotas.c.storage_id),
)
"""What is forgotten with it; events stay."""


class Storages:
    """The storages of a registry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, storage: Storage) -> None:
        """Add a storage, or change the one of this name; a marker that it has never changes."""
        check_name(storage.name)

        def work(connection: Connection) -> None:
            row = connection.execute(
                select(storages).where(storages.c.name == storage.name).with_for_update()
            ).first()
            if row is None:
                adding = insert(storages).values(_columns(storage)).returning(storages.c.id)
                key = connection.execute(adding).scalar_one()
                record(connection, Change("storage added", storage_id=key))
            elif row.marker and row.marker != storage.marker:
                raise InputError(
                    f"storage {storage.name} has another marker",
                    hint="another disk is another storage: give it a name of its own",
                )
            elif _storage(row) != storage:
                query = update(storages).where(storages.c.id == row.id).values(_columns(storage))
                connection.execute(query)
                record(connection, Change("storage changed", storage_id=row.id))

        self._database.write(work)

    def get(self, name: str) -> Storage:
        """Return the storage of this name.

        Raises:
            InputError: There is none.
        """
        for storage in self.all():
            if storage.name == name:
                return storage
        raise InputError(f"there is no storage {name!r} in the registry", hint="add it first")

    def all(self) -> list[Storage]:
        """Return all storages, by name."""
        query = select(storages).order_by(storages.c.name)
        return self._database.read(lambda it: [_storage(row) for row in it.execute(query)])

    def remove(self, name: str, *, dry_run: bool = False) -> None:
        """Forget a storage that nothing needs, the ways to reach it, and what was moved there.

        Args:
            name: The storage's.
            dry_run: Whether only to see that it could be.

        Raises:
            InputError: It has replicas, transfers to it or removals from it have not ended, or a
                rule wants files there.
        """

        def work(connection: Connection) -> None:
            key = storage_ids(connection, [name])[name]
            held = select(replicas.c.file_id).where(replicas.c.storage_id == key).limit(1)
            if connection.execute(held).first():
                raise InputError(
                    f"storage {name} has replicas", hint="remove them first, or disable it"
                )
            for what, key_of, is_open in _SPEAKING:
                if connection.execute(
                    select(key_of).where(key_of == key, is_open).limit(1)
                ).first():
                    raise InputError(f"storage {name} is needed: {what}", hint="disable it first")
            if dry_run:
                return
            for table, key_of in _FORGOTTEN:
                connection.execute(delete(table).where(key_of == key))
            connection.execute(delete(storages).where(storages.c.id == key))
            record(connection, Change("storage removed", storage_id=key, detail=name))

        (self._database.read if dry_run else self._database.write)(work)

    def pause(self, name: str, lasting_s: float) -> None:
        """Start no transfer to a storage for so many seconds, as when it is full."""

        def work(connection: Connection) -> None:
            key = storage_ids(connection, [name])[name]
            connection.execute(
                update(storages)
                .where(storages.c.id == key)
                .values(paused_until_s=now_s() + lasting_s)
            )
            record(connection, Change("storage paused", storage_id=key, detail=f"{lasting_s:g} s"))

        self._database.write(work)

    def put_access(self, ways: Sequence[Access]) -> None:
        """Add ways to reach storages, or change those of the same storage, zone and root."""
        rows = [(way, check_root(way.root)) for way in ways]

        def work(connection: Connection) -> None:
            keys = storage_ids(connection, [way.storage for way in ways])
            for way, root in rows:
                key = keys[way.storage]
                _forget(connection, key, way.zone, root)
                connection.execute(
                    insert(access).values(
                        storage_id=key,
                        zone=way.zone,
                        root=root,
                        read=way.read,
                        write=way.write,
                        delete=way.delete,
                        credential=way.credential,
                        options=dict(way.options),
                    )
                )
                detail = f"{way.zone}: {root}"
                record(connection, Change("access changed", storage_id=key, detail=detail))

        self._database.write(work)

    def remove_access(self, storage: str, zone: str, root: str) -> None:
        """Forget a way to reach a storage; one that is not there is forgotten already."""

        def work(connection: Connection) -> None:
            key = storage_ids(connection, [storage])[storage]
            if _forget(connection, key, zone, check_root(root)):
                detail = f"{zone}: {check_root(root)}"
                record(connection, Change("access removed", storage_id=key, detail=detail))

        self._database.write(work)

    def accesses(self, zone: str | None = None) -> list[Access]:
        """Return the ways to reach storages, from one zone or from all (None)."""
        query = (
            select(access, storages.c.name.label("storage"))
            .join(storages)
            .order_by(storages.c.name, access.c.zone, access.c.root)
        )
        if zone is not None:
            query = query.where(access.c.zone == zone)
        return self._database.read(lambda it: [_access(row) for row in it.execute(query)])

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many replicas there are by name of the storage and state."""
        counted = (
            select(replicas.c.storage_id, replicas.c.state, func.count().label("number"))
            .group_by(replicas.c.storage_id, replicas.c.state)
            .subquery()
        )
        query = select(storages.c.name, counted.c.state, counted.c.number).join(
            counted, counted.c.storage_id == storages.c.id
        )
        return self._database.read(
            lambda it: {(row.name, row.state): row.number for row in it.execute(query)}
        )


def _forget(connection: Connection, key: int, zone: str, root: str) -> bool:
    query = delete(access).where(
        access.c.storage_id == key, access.c.zone == zone, access.c.root == root
    )
    return connection.execute(query).rowcount > 0


def _columns(storage: Storage) -> dict[str, Any]:
    return {
        "name": storage.name,
        "marker": storage.marker,
        "state": storage.state,
        "durable": storage.durable,
        "one_writer": storage.one_writer,
        "labels": dict(storage.labels),
    }


def _storage(row: AnyRow) -> Storage:
    return Storage(
        name=row.name,
        marker=row.marker,
        state=StorageState(row.state),
        durable=row.durable,
        one_writer=row.one_writer,
        labels=row.labels,
    )


def _access(row: AnyRow) -> Access:
    return Access(
        storage=row.storage,
        zone=row.zone,
        root=row.root,
        read=row.read,
        write=row.write,
        delete=row.delete,
        credential=row.credential,
        options=row.options,
    )
