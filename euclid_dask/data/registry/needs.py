"""Why replicas have to stay: pins, transfers, rules, and that they are the last.

All that speaks of some files is read at once, while they are locked: nothing that needs them can
come in between.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from sqlalchemy import Connection, or_, select

from euclid_dask.data.model import ReplicaState, StorageState
from euclid_dask.data.registry.rows import AnyRow, where_in
from euclid_dask.data.registry.schema import (
    IS_ACTIVE,
    now_s,
    pins,
    replicas,
    rule_targets,
    rules,
    storages,
    transfers,
)
from euclid_dask.data.states import READABLE

Key = tuple[int, int]
"""The keys of a file and of a storage."""

_REPLICAS: Final = select(
    replicas, storages.c.durable, storages.c.state.label("storage_state")
).join(storages, storages.c.id == replicas.c.storage_id)
_PINS: Final = (
    select(pins.c.file_id, pins.c.owner)
    .where(or_(pins.c.until_s.is_(None), pins.c.until_s > now_s()))
    .order_by(pins.c.owner)
)
_TRANSFERS: Final = select(transfers.c.file_id, transfers.c.id).where(IS_ACTIVE)
_RULES: Final = (
    select(rule_targets.c.file_id, rule_targets.c.storage_id, rules.c.name)
    .join(rules, rules.c.id == rule_targets.c.rule_id)
    .where(rules.c.state != "ended")
)
_RELIED_ON: Final = READABLE | {ReplicaState.SUSPECT}
"""States of a replica while there is hope for its file."""


class Needs:
    """Who needs the replicas of some files, whose rows are locked."""

    def __init__(self, connection: Connection, files: Collection[int]) -> None:
        """Read what there is about files, given by their keys."""
        rows = where_in(connection, _REPLICAS, replicas.c.file_id, files)
        self.replicas: Final[Mapping[Key, AnyRow]] = {
            (row.file_id, row.storage_id): row for row in rows
        }
        self._staying: dict[int, list[AnyRow]] = defaultdict(list)
        for row in rows:
            self._staying[row.file_id].append(row)
        self._owners: dict[int, list[str]] = defaultdict(list)
        for row in where_in(connection, _PINS, pins.c.file_id, files):
            self._owners[row.file_id].append(row.owner)
        self._transfers: dict[int, int] = {
            row.file_id: row.id
            for row in where_in(connection, _TRANSFERS, transfers.c.file_id, files)
        }
        self._rules: dict[Key, str] = {
            (row.file_id, row.storage_id): row.name
            for row in where_in(connection, _RULES, rule_targets.c.file_id, files)
        }

    def why(self, replica: AnyRow, *, last_copy: bool, adopted: bool) -> str:
        """Return why a replica has to stay, the empty text when it may go.

        Args:
            replica: One of `replicas`.
            last_copy: Whether the last good one may go.
            adopted: Whether one may go that was registered where somebody else had put it.
        """
        if used := self._used(replica):
            return used
        if not last_copy and not any(map(_is_safe, self._others(replica))):
            return "no other good replica is in a durable storage"
        if replica.adopted and not adopted:
            return "it was registered where it lay: whoever put it there may still use it"
        return ""

    def _used(self, replica: AnyRow) -> str:
        file = replica.file_id
        if file in self._owners:
            return f"it is pinned by {', '.join(self._owners[file])}"
        if file in self._transfers:
            return f"transfer {self._transfers[file]} of the file is not done"
        if name := self._rules.get((file, replica.storage_id)):
            return f"rule {name} wants it there"
        return ""

    def mark(self, replica: AnyRow) -> bool:
        """Count a replica no more, since it is to go; return whether it was the file's last."""
        others = list(self._others(replica))
        self._staying[replica.file_id] = others
        return not any(one.state in _RELIED_ON for one in others)

    def _others(self, replica: AnyRow) -> Iterator[AnyRow]:
        return (
            one for one in self._staying[replica.file_id] if one.storage_id != replica.storage_id
        )


def _is_safe(replica: AnyRow) -> bool:
    is_there = replica.state == ReplicaState.AVAILABLE
    return bool(is_there and replica.durable and replica.storage_state != StorageState.DISABLED)
