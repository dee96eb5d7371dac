"""How many bytes storages may hold.

Rule: what is there and what is on its way counts. Copies for which there is no room are not queued,
whoever asks for them; what is registered where it lies is there, and is not refused.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, delete, func, select, update

from euclid_dask.core.amounts import size_text
from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.events import Change, record
from euclid_dask.data.registry.rows import AnyRow, add_rows, storage_ids
from euclid_dask.data.registry.schema import (
    IS_ACTIVE,
    files,
    quotas,
    replicas,
    storages,
    transfers,
)

_WHOLE = ""
"""The owner of a quota that is for all files of a storage."""
_LIMITS = (
    select(quotas.c.storage_id, quotas.c.limit_bytes, storages.c.name)
    .join(storages, storages.c.id == quotas.c.storage_id)
    .where(quotas.c.owner == _WHOLE)
    .order_by(quotas.c.storage_id)
)
_THERE = select(func.coalesce(func.sum(files.c.size), 0)).join(
    replicas, replicas.c.file_id == files.c.id
)
_COMING = (
    select(func.coalesce(func.sum(files.c.size), 0))
    .join(transfers, transfers.c.file_id == files.c.id)
    .where(IS_ACTIVE)
)


class Quota(Value, frozen=True, kw_only=True):
    """How many bytes a storage may hold, and has."""

    limit_bytes: int
    there_bytes: int
    """Bytes of its replicas, whatever their state."""
    coming_bytes: int
    """Bytes of files that are on their way to it, or queued."""

    @property
    def free_bytes(self) -> int:
        """Bytes for which there is room."""
        return max(0, self.limit_bytes - self.there_bytes - self.coming_bytes)


class Quotas:
    """The quotas of a registry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, storage: str, limit_bytes: int | None) -> None:
        """Have a storage hold no more than so many bytes; any number for None.

        Raises:
            InputError: There is no such storage.
        """

        def work(connection: Connection) -> None:
            key = storage_ids(connection, [storage])[storage]
            if limit_bytes is None:
                connection.execute(delete(quotas).where(quotas.c.storage_id == key))
            else:  # its row stays, since who waits for it would not see another
                row = {"storage_id": key, "owner": _WHOLE, "limit_bytes": limit_bytes}
                add_rows(connection, quotas, [row], only_new=True)
                changing = update(quotas).where(quotas.c.storage_id == key)
                connection.execute(changing.values(limit_bytes=limit_bytes))
            detail = "none" if limit_bytes is None else size_text(limit_bytes)
            record(connection, Change("storage quota", storage_id=key, detail=detail))

        self._database.write(work)

    def all(self) -> dict[str, Quota]:
        """Return the quotas by the names of their storages; those without one are left out."""

        def work(connection: Connection) -> dict[str, Quota]:
            return {row.name: _quota(connection, row) for row in connection.execute(_LIMITS).all()}

        return self._database.read(work)

    def refuse_overfull(self, storage: str, more_bytes: int) -> None:
        """Raise InputError when a storage has no room for so many bytes more."""
        if (quota := self.all().get(storage)) is not None:
            _refuse(storage, quota, more_bytes)


def refuse_overfull(
    connection: Connection, wanted: Collection[tuple[int, int]], sizes: Mapping[int, int]
) -> None:
    """Refuse to queue copies that a storage has no room for; its quota is locked.

    Args:
        connection: Of a transaction that writes, and has locked the files.
        wanted: Keys of files, and of storages that do not have them and do not get them yet.
        sizes: Bytes of files by key.

    Raises:
        InputError: They do not fit.
    """
    goals = {storage for _, storage in wanted}
    limits = _LIMITS.where(quotas.c.storage_id.in_(goals)).with_for_update(of=quotas)
    for row in connection.execute(limits).all() if goals else ():
        more = sum(sizes[file] for file, storage in wanted if storage == row.storage_id)
        _refuse(row.name, _quota(connection, row), more)


def _quota(connection: Connection, row: AnyRow) -> Quota:
    there = _THERE.where(replicas.c.storage_id == row.storage_id)
    coming = _COMING.where(transfers.c.destination_id == row.storage_id)
    return Quota(
        limit_bytes=row.limit_bytes,
        there_bytes=int(connection.execute(there).scalar_one()),
        coming_bytes=int(connection.execute(coming).scalar_one()),
    )


def _refuse(name: str, quota: Quota, more_bytes: int) -> None:
    if more_bytes > quota.free_bytes:
        raise InputError(
            f"{name} may hold {size_text(quota.limit_bytes)}, of which {quota.free_bytes:,} bytes "
            f"are free: {more_bytes:,} bytes more do not fit",
            hint="remove from it what nobody needs, or give it more: "
            f"euclid-dask storage edit {name} --quota SIZE",
        )
