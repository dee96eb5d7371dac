"""The targets of rules: which copies of files they want, and which files they cannot place."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from sqlalchemy import Connection, Delete, Table, Update, delete, select, update

from euclid_dask.data.registry.events import Change, record_all
from euclid_dask.data.registry.rows import (
    AnyRow,
    add_rows,
    batches,
    file_ids,
    is_one_of,
    lock_files,
    storage_ids,
    where_in,
)
from euclid_dask.data.registry.schema import replicas, rule_stuck, rule_targets
from euclid_dask.data.rules import Placement
from euclid_dask.data.states import READABLE

Key = tuple[int, int]
"""The keys of a file and of a storage."""


class TargetState(StrEnum):
    """How far a target of a rule is."""

    OK = "ok"
    """The replica is there."""
    PENDING = "pending"
    """It is on its way."""
    STUCK = "stuck"
    """It cannot be brought there, and says why."""


def put_targets(
    connection: Connection, rule: AnyRow, found: Placement, names: Collection[str]
) -> dict[str, AnyRow]:
    """Have a rule, whose row is locked, want of some files what was found, and nothing else.

    What is so already is left alone, and files of which nothing changes or is missing are not
    locked; the rows of the others are returned.
    """
    reasons = {name: one.reason for one in found.stuck for name in one.files}
    meant = file_ids(connection, {*names, *reasons, *(one.file for one in found.targets)})
    places = storage_ids(connection, [one.storage for one in found.targets])
    wanted = {(meant[one.file], places[one.storage]) for one in found.targets}
    before = {
        (row.file_id, row.storage_id): row.state
        for row in _of_files(connection, rule_targets, rule, meant.values())
    }
    fresh, gone = wanted - before.keys(), before.keys() - wanted
    touched = {file for file, _ in fresh | gone}
    # the files are locked: their replicas are not marked to be removed meanwhile
    missing = {one.file for one in found.missing}
    locked = [name for name, key in meant.items() if key in touched or name in missing]
    rows = lock_files(connection, locked)
    there = select(replicas.c.file_id, replicas.c.storage_id)
    there = there.where(replicas.c.state.in_(READABLE))
    keys = {file for file, _ in wanted}
    held = {tuple(row) for row in where_in(connection, there, replicas.c.file_id, keys)}
    ok, pending = TargetState.OK, TargetState.PENDING
    states = {key: ok if key in held else pending for key in wanted}
    _change(connection, delete(rule_targets), rule, gone)
    _add_targets(connection, rule, {key: states[key] for key in fresh})
    for state in (ok, pending):
        others = [key for key in wanted & before.keys() if states[key] == state != before[key]]
        change = update(rule_targets).values(state=state, error="")
        _change(connection, change, rule, others)
    _place_stuck(connection, rule, {meant[name]: reasons[name] for name in reasons}, meant.values())
    changes = [("wanted", fresh), ("released", gone)]
    record_all(
        connection,
        (
            Change(f"rule {what}", *key, rule.name)
            for what, keys_of in changes
            for key in sorted(keys_of)
        ),
    )
    return rows


def _place_stuck(
    connection: Connection, rule: AnyRow, reasons: Mapping[int, str], keys: Collection[int]
) -> None:
    known = {row.file_id: row.reason for row in _of_files(connection, rule_stuck, rule, keys)}
    gone = [key for key in known if known[key] != reasons.get(key)]
    for batch in batches(gone):
        is_gone = is_one_of(connection, rule_stuck.c.file_id, batch)
        connection.execute(delete(rule_stuck).where(rule_stuck.c.rule_id == rule.id, is_gone))
    rows = [
        {"rule_id": rule.id, "file_id": key, "reason": reason}
        for key, reason in reasons.items()
        if known.get(key) != reason
    ]
    add_rows(connection, rule_stuck, rows)


def _of_files(
    connection: Connection, table: Table, rule: AnyRow, keys: Collection[int]
) -> list[AnyRow]:
    query = select(table).where(table.c.rule_id == rule.id)
    return where_in(connection, query, table.c.file_id, keys)


def _add_targets(connection: Connection, rule: AnyRow, states: Mapping[Key, TargetState]) -> None:
    rows = [
        {"rule_id": rule.id, "file_id": file, "storage_id": storage, "state": state}
        for (file, storage), state in sorted(states.items())
    ]
    add_rows(connection, rule_targets, rows)


def _change(
    connection: Connection, change: Delete | Update, rule: AnyRow, keys: Iterable[Key]
) -> None:
    """Carry out a change of some targets of a rule."""
    by_storage: dict[int, list[int]] = defaultdict(list)
    for file, storage in keys:
        by_storage[storage].append(file)
    for storage, of_files in by_storage.items():
        for batch in batches(of_files):
            connection.execute(
                change.where(
                    rule_targets.c.rule_id == rule.id,
                    rule_targets.c.storage_id == storage,
                    is_one_of(connection, rule_targets.c.file_id, batch),
                )
            )
