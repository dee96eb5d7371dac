"""Pins: who needs files to stay where they are, and for how long."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, or_, select

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import FileState
from euclid_dask.data.names import shown
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.events import Change, record_all
from euclid_dask.data.registry.rows import add_rows, batches, file_ids, lock_files
from euclid_dask.data.registry.schema import now_s, pins


class Pins:
    """The pins of a registry. An owner has one pin on a file, and can renew it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, names: Sequence[str], owner: str, lasting_s: float | None = None) -> None:
        """Have files stay: none of their replicas is removed.

        Args:
            names: Names of the files.
            owner: Who needs them, as a run.
            lasting_s: For how long from now, in seconds; until they are given back if None.

        Raises:
            InputError: A file is not known, or is being removed already.
        """

        def work(connection: Connection) -> None:
            rows = lock_files(connection, names)
            for row in rows.values():
                if row.state in {FileState.DELETING, FileState.DELETED}:
                    raise InputError(f"{shown(row.name)} is {row.state}", hint="make it anew")
            now = connection.scalar(select(now_s())) or 0.0
            until_s = None if lasting_s is None else now + lasting_s
            keys = [row.id for row in rows.values()]
            _remove(connection, owner, keys)
            add_rows(
                connection,
                pins,
                [{"file_id": key, "owner": owner, "until_s": until_s} for key in keys],
            )
            record_all(connection, (Change("pinned", key, detail=owner) for key in keys))

        self._database.write(work)

    def remove(self, owner: str, names: Collection[str] | None = None) -> int:
        """Give back what an owner needs no more, all if None; return how many pins went."""

        def work(connection: Connection) -> int:
            keys = None
            if names is not None:
                keys = [row.id for row in lock_files(connection, names).values()]
            gone = _remove(connection, owner, keys)
            record_all(connection, (Change("unpinned", key, detail=owner) for key in gone))
            return len(gone)

        return self._database.write(work)

    def owners(self, name: str) -> list[str]:
        """Return who needs a file now."""

        def work(connection: Connection) -> list[str]:
            return pinned_by(connection, file_ids(connection, [name])[name])

        return self._database.read(work)


def pinned_by(connection: Connection, file_id: int) -> list[str]:
    """Return who needs a file now."""
    query = (
        select(pins.c.owner)
        .where(pins.c.file_id == file_id, or_(pins.c.until_s.is_(None), pins.c.until_s > now_s()))
        .order_by(pins.c.owner)
    )
    return [row.owner for row in connection.execute(query)]


def _remove(connection: Connection, owner: str, keys: Sequence[int] | None) -> list[int]:
    query = delete(pins).where(pins.c.owner == owner).returning(pins.c.file_id)
    if keys is None:
        return [row.file_id for row in connection.execute(query)]
    return [
        row.file_id
        for batch in batches(keys)
        for row in connection.execute(query.where(pins.c.file_id.in_(batch)))
    ]
