"""Rules that are kept: their targets, and the files that they cannot place."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.model import FileState
from euclid_dask.data.names import check_name, shown
from euclid_dask.data.places import place
from euclid_dask.data.query import parse_query
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.events import Change, record, record_all
from euclid_dask.data.registry.rows import (
    AnyRow,
    AnySelect,
    add_rows,
    lock_files,
    storage_ids,
    where_in,
)
from euclid_dask.data.registry.schema import (
    files,
    now_s,
    product_files,
    products,
    replicas,
    rule_stuck,
    rule_targets,
    rules,
    storages,
)
from euclid_dask.data.rules import Grouping, Placement, Rule, Target
from euclid_dask.data.states import READABLE

Key = tuple[int, int]
"""The keys of a file and of a storage."""


class RuleState(StrEnum):
    """Whether a rule holds."""

    ACTIVE = "active"
    ENDED = "ended"
    """It wants nothing any more; its name is not used again."""


class TargetState(StrEnum):
    """How far a target of a rule is."""

    OK = "ok"
    """The replica is there."""
    PENDING = "pending"
    """It is on its way."""
    STUCK = "stuck"
    """It cannot be brought there, and says why."""


class KeptRule(Value, frozen=True, kw_only=True):
    """A rule as the registry has it."""

    rule: Rule
    state: RuleState
    until_s: float | None = None
    """When it ends, in seconds since the epoch; None is never."""


class Claim(Value, frozen=True, kw_only=True):
    """What a rule wants of a file."""

    rule: str
    storage: str = ""
    """Where it is to be; empty when no storage could be found."""
    state: TargetState
    error: str = ""


class Rules:
    """The rules of a registry; its methods may be called from any thread or host."""

    def __init__(self, database: Database) -> None:
        """Take a registry's database."""
        self._database = database

    def put(self, rule: Rule) -> None:
        """Add a rule, or change the one of this name; its lifetime begins now.

        Raises:
            InputError: It makes no sense, or the rule of this name has ended.
        """
        _check(rule)

        def work(connection: Connection) -> None:
            row = _row(connection, rule.name)
            if row is not None and row.state == RuleState.ENDED:
                raise InputError(f"rule {rule.name} has ended", hint="give another name")
            if row is not None and _rule(row) == rule:
                return
            until_s = None if rule.lifetime_s is None else now_s() + rule.lifetime_s
            content = msgspec.to_builtins(rule)
            values = {"state": RuleState.ACTIVE, "content": content, "until_s": until_s}
            if row is None:
                connection.execute(insert(rules).values(name=rule.name, **values))
            else:
                connection.execute(update(rules).where(rules.c.id == row.id).values(**values))
            what = "added" if row is None else "changed"
            record(connection, Change(f"rule {what}", detail=rule.name))

        self._database.write(work)

    def all(self) -> list[KeptRule]:
        """Return all rules, by name."""
        query = select(rules).order_by(rules.c.name)
        return self._database.read(lambda it: [_kept(row) for row in it.execute(query)])

    def get(self, name: str) -> KeptRule:
        """Return the rule of this name.

        Raises:
            InputError: There is none.
        """
        return _kept(self._database.read(lambda it: _known(it, name)))

    def end(self, name: str) -> None:
        """Have a rule want nothing any more; its copies stay until somebody removes them."""
        self._database.write(lambda it: _end(it, _known(it, name)))

    def expire(self) -> list[str]:
        """End the rules whose time is over; return their names."""

        def work(connection: Connection) -> list[str]:
            query = select(rules).where(
                rules.c.state == RuleState.ACTIVE, rules.c.until_s <= now_s()
            )
            over = connection.execute(query.order_by(rules.c.name).with_for_update()).all()
            for row in over:
                _end(connection, row)
            return [row.name for row in over]

        return self._database.write(work)

    def targets(self, name: str, names: Collection[str] | None = None) -> frozenset[Target]:
        """Return the targets that a rule has, of some files or of all (None)."""

        def work(connection: Connection) -> frozenset[Target]:
            query = _named().where(rules.c.name == name)
            rows = (
                connection.execute(query).all()
                if names is None
                else where_in(connection, query, files.c.name, names)
            )
            return frozenset(Target(file=row.file, storage=row.storage) for row in rows)

        return self._database.read(work)

    def place(self, name: str, found: Placement, names: Collection[str] | None = None) -> None:
        """Have a rule want what was found, of some files or of all (None), and nothing else.

        Raises:
            InputError: The rule has ended, or a file or storage is not known.
        """

        def work(connection: Connection) -> None:
            row = _known(connection, name)
            if row.state != RuleState.ACTIVE:
                raise InputError(f"rule {name} has ended")
            _place(connection, row.id, found, names)

        self._database.write(work)

    def block(self, name: str, target: Target, error: str) -> None:
        """Tell that a target cannot be met for now, and why."""

        def work(connection: Connection) -> None:
            file = lock_files(connection, [target.file])[target.file]
            storage = storage_ids(connection, [target.storage])[target.storage]
            is_meant = (
                rule_targets.c.rule_id == _known(connection, name).id,
                rule_targets.c.file_id == file.id,
                rule_targets.c.storage_id == storage,
            )
            stuck = {"state": TargetState.STUCK, "error": error}
            connection.execute(update(rule_targets).where(*is_meant).values(**stuck))

        self._database.write(work)

    def why(self, file: str) -> list[Claim]:
        """Return what rules want of a file."""

        def work(connection: Connection) -> list[Claim]:
            wanted = connection.execute(_named().where(files.c.name == file))
            query = (
                select(rules.c.name, rule_stuck.c.reason)
                .join(rules, rules.c.id == rule_stuck.c.rule_id)
                .join(files, files.c.id == rule_stuck.c.file_id)
                .where(files.c.name == file)
                .order_by(rules.c.name)
            )
            return [
                *(
                    Claim(
                        rule=row.rule,
                        storage=row.storage,
                        state=TargetState(row.state),
                        error=row.error,
                    )
                    for row in wanted
                ),
                *(
                    Claim(rule=row.name, state=TargetState.STUCK, error=row.reason)
                    for row in connection.execute(query)
                ),
            ]

        return self._database.read(work)

    def files_like(self, start: str) -> list[str]:
        """Return the names of committed files that begin so."""
        query = select(files.c.name).where(
            files.c.state == FileState.COMMITTED, files.c.name.startswith(start, autoescape=True)
        )
        return self._database.read(lambda it: list(it.execute(query).scalars()))

    def products_of(self, names: Collection[str]) -> frozenset[str]:
        """Return the ids of products that are, or name, one of these files."""

        def work(connection: Connection) -> frozenset[str]:
            naming = (
                select(products.c.product_id)
                .join(product_files, product_files.c.product_id == products.c.id)
                .join(files, files.c.id == product_files.c.file_id)
            )
            being = select(products.c.product_id).join(files, files.c.id == products.c.xml_file_id)
            return frozenset(
                row.product_id
                for query in (naming, being)
                for row in where_in(connection, query, files.c.name, names)
            )

        return self._database.read(work)

    def xml_of(self, ids: Collection[str]) -> Mapping[str, str]:
        """Return the names of the XML files of products, by their ids."""

        def work(connection: Connection) -> Mapping[str, str]:
            query = select(products.c.product_id, files.c.name).join(
                files, files.c.id == products.c.xml_file_id
            )
            rows = where_in(connection, query, products.c.product_id, ids)
            return {row.product_id: row.name for row in rows}

        return self._database.read(work)


_NOTHING: Final = "name products by a query or files by patterns; `*` is all files"


def _check(rule: Rule) -> None:
    check_name(rule.name)
    place(rule.places)
    if rule.select.query:
        parse_query(rule.select.query)
    elif not rule.select.names:
        raise InputError(f"rule {rule.name} selects nothing", hint=_NOTHING)
    if rule.copies < 1:
        raise InputError(f"rule {rule.name} wants {rule.copies} copies", hint="give 1 or more")
    if rule.grouping is Grouping.RUN:
        raise InputError(
            f"rule {rule.name}: files are not known by their runs yet", hint="group by product"
        )


def _row(connection: Connection, name: str) -> AnyRow | None:
    query = select(rules).where(rules.c.name == name).with_for_update()
    return connection.execute(query).first()


def _known(connection: Connection, name: str) -> AnyRow:
    row = connection.execute(select(rules).where(rules.c.name == name)).first()
    if row is None:
        raise InputError(f"there is no rule {shown(name)} in the registry")
    return row


def _rule(row: AnyRow) -> Rule:
    return msgspec.convert(row.content, Rule)


def _kept(row: AnyRow) -> KeptRule:
    return KeptRule(rule=_rule(row), state=RuleState(row.state), until_s=row.until_s)


def _end(connection: Connection, row: AnyRow) -> None:
    if row.state == RuleState.ENDED:
        return
    for table in (rule_targets, rule_stuck):
        connection.execute(delete(table).where(table.c.rule_id == row.id))
    connection.execute(update(rules).where(rules.c.id == row.id).values(state=RuleState.ENDED))
    record(connection, Change("rule ended", detail=row.name))


def _named() -> AnySelect:
    return (
        select(
            rule_targets,
            rules.c.name.label("rule"),
            files.c.name.label("file"),
            storages.c.name.label("storage"),
        )
        .join(rules, rules.c.id == rule_targets.c.rule_id)
        .join(files, files.c.id == rule_targets.c.file_id)
        .join(storages, storages.c.id == rule_targets.c.storage_id)
        .order_by(rules.c.name, files.c.name, storages.c.name)
    )


def _place(
    connection: Connection, rule: int, found: Placement, names: Collection[str] | None
) -> None:
    stuck = {name: one.reason for one in found.stuck for name in one.files}
    meant = {*(one.file for one in found.targets), *stuck, *(names or ())}
    # the files are locked: their replicas are not marked to be removed meanwhile
    rows = lock_files(connection, meant | {one.file for one in found.released})
    ids = [row.id for row in rows.values()] if names is not None else None
    places = storage_ids(connection, [one.storage for one in found.targets])
    wanted = {(rows[one.file].id, places[one.storage]) for one in found.targets}
    _place_targets(connection, rule, wanted, ids)
    _forget(connection, rule_stuck, rule, ids)
    reasons = [{"rule_id": rule, "file_id": rows[name].id, "reason": stuck[name]} for name in stuck]
    add_rows(connection, rule_stuck, reasons)


def _place_targets(
    connection: Connection, rule: int, wanted: Collection[Key], ids: Sequence[int] | None
) -> None:
    query = select(rule_targets.c.file_id, rule_targets.c.storage_id)
    query = query.where(rule_targets.c.rule_id == rule)
    column = rule_targets.c.file_id
    had = (
        connection.execute(query).all() if ids is None else where_in(connection, query, column, ids)
    )
    before = {(row.file_id, row.storage_id) for row in had}
    there = select(replicas.c.file_id, replicas.c.storage_id)
    there = there.where(replicas.c.state.in_(READABLE))
    keys = {file_id for file_id, _ in wanted}
    held = {tuple(row) for row in where_in(connection, there, replicas.c.file_id, keys)}
    _forget(connection, rule_targets, rule, ids)
    rows = [
        {
            "rule_id": rule,
            "file_id": key[0],
            "storage_id": key[1],
            "state": TargetState.OK if key in held else TargetState.PENDING,
        }
        for key in sorted(wanted)
    ]
    add_rows(connection, rule_targets, rows)
    detail = str(connection.scalar(select(rules.c.name).where(rules.c.id == rule)))
    changes = [("wanted", set(wanted) - before), ("released", before - set(wanted))]
    record_all(
        connection,
        (Change(f"rule {what}", *key, detail) for what, news in changes for key in sorted(news)),
    )


def _forget(connection: Connection, table: Any, rule: int, ids: Sequence[int] | None) -> None:
    query = delete(table).where(table.c.rule_id == rule)
    if ids is None:
        connection.execute(query)
        return
    for first in range(0, len(ids), 1000):
        connection.execute(query.where(table.c.file_id.in_(ids[first : first + 1000])))
