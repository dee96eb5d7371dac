"""What a storage should hold: its replicas by their paths."""

from collections.abc import Collection

from sqlalchemy import select

from euclid_dask.core.values import Value
from euclid_dask.data.model import Replica
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.replicas import replica
from euclid_dask.data.registry.rows import AnyRow, where_in
from euclid_dask.data.registry.schema import files, replicas, storages


class Holding(Value, frozen=True, kw_only=True):
    """A replica, and the size that it should have."""

    replica: Replica
    size: int
    """Bytes."""


class Holdings:
    """The replicas of one storage."""

    def __init__(self, database: Database, storage: str) -> None:
        """Take a registry's database, and the name of the storage."""
        self._database = database
        self._query = (
            select(
                replicas,
                files.c.name.label("file"),
                files.c.size,
                storages.c.name.label("storage"),
            )
            .join(files, files.c.id == replicas.c.file_id)
            .join(storages, storages.c.id == replicas.c.storage_id)
            .where(storages.c.name == storage)
        )

    def at(self, paths: Collection[str]) -> dict[str, Holding]:
        """Return what should be at these paths."""
        rows = self._database.read(lambda it: where_in(it, self._query, replicas.c.path, paths))
        return {row.path: _holding(row) for row in rows}

    def page(self, *, after: str = "", limit: int = 1000) -> list[Holding]:
        """Return what should be at the paths that follow one, in their order."""
        query = self._query.where(replicas.c.path > after).order_by(replicas.c.path).limit(limit)
        return self._database.read(lambda it: [_holding(row) for row in it.execute(query)])


def _holding(row: AnyRow) -> Holding:
    return Holding(replica=replica(row), size=row.size)
