"""What changed in the registry, written in the transaction that changes it."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, or_, select

from euclid_dask.data.model import Event
from euclid_dask.data.registry.rows import AnyRow, add_rows
from euclid_dask.data.registry.schema import events, files, products, replicas, storages


class Change(NamedTuple):
    """What an event says, by the keys of the rows it speaks of."""

    kind: str
    file_id: int | None = None
    storage_id: int | None = None
    detail: str = ""
    product_id: int | None = None


def record(connection: Connection, change: Change) -> AnyRow:
    """Write one event and return its key, and when it is."""
    new = [change._asdict()]
    (row,) = add_rows(connection, events, new, at="at_s", returning=("id", "at_s"))
    return row


def record_all(connection: Connection, changes: Iterable[Change]) -> None:
    """Write many events."""
    add_rows(connection, events, [one._asdict() for one in changes], at="at_s")


def history(connection: Connection, name: str) -> list[Event]:
    """Return what happened to a file, its replicas and its removal, in order."""
    file = select(files.c.id, files.c.event_id).where(files.c.name == name).cte("file")
    arrivals = select(replicas.c.event_id).where(
        replicas.c.file_id.in_(select(file.c.id).scalar_subquery())
    )
    found = connection.execute(
        select(events, storages.c.name.label("storage"), products.c.product_id.label("product"))
        .outerjoin(storages, storages.c.id == events.c.storage_id)
        .outerjoin(products, products.c.id == events.c.product_id)
        .where(
            or_(
                events.c.file_id.in_(select(file.c.id)),
                events.c.id.in_(select(file.c.event_id)),
                events.c.id.in_(arrivals),
            )
        )
        .order_by(events.c.id)
    )
    return [
        Event(
            at_s=row.at_s,
            kind=row.kind,
            file=name,
            storage=row.storage or "",
            product=row.product or "",
            detail=row.detail,
        )
        for row in found
    ]
