"""Files that rules have still to look at: pinned in the transaction that registers them.

So whoever dies between registering files and applying rules leaves them to the next one, and
nobody removes them before.
"""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection, delete, select

from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.rows import add_rows, batches, file_ids, is_one_of
from euclid_dask.data.registry.schema import files, pins

UNRULED: Final = "rules"
"""The owner of these pins."""


def pin(connection: Connection, names: Collection[str], owner: str) -> None:
    """Pin files without an event: that they were registered is one."""
    rows = [
        {"file_id": key, "owner": owner, "until_s": None}
        for key in sorted(file_ids(connection, names).values())
    ]
    add_rows(connection, pins, rows, only_new=True)


class Unruled:
    """The files of a registry that rules have still to look at."""

    def __init__(self, database: Database) -> None:
        """Take a registry's database."""
        self._database = database

    def page(self, limit: int) -> list[str]:
        """Return the names of so many of them."""
        query = (
            select(files.c.name)
            .join(pins, pins.c.file_id == files.c.id)
            .where(pins.c.owner == UNRULED)
            .order_by(files.c.id)
            .limit(limit)
        )
        return self._database.read(lambda it: list(it.execute(query).scalars()))

    def forget(self, names: Sequence[str]) -> None:
        """Tell that rules have looked at files."""

        def work(connection: Connection) -> None:
            keys = sorted(file_ids(connection, names).values())
            for batch in batches(keys):
                is_one = is_one_of(connection, pins.c.file_id, batch)
                connection.execute(delete(pins).where(pins.c.owner == UNRULED, is_one))

        self._database.write(work)
