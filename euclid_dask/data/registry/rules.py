"""Rules that are kept: their targets, and the files that they cannot place."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import partial
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.model import FileState
from euclid_dask.data.names import check_name, shown
from euclid_dask.data.places import place
from euclid_dask.data.query import parse_query
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.events import Change, record
from euclid_dask.data.registry.rows import (
    AnyRow,
    AnySelect,
    is_one_of,
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
from euclid_dask.data.registry.targets import TargetState, put_targets
from euclid_dask.data.registry.transfers import enqueue
from euclid_dask.data.rules import Grouping, Placement, Rule, Target
from euclid_dask.data.states import READABLE

_LAST: Final = "\U0010ffff"
"""Comes after all that names are made of."""
_DOUBTED_BY: Final = "doubted_by"
"""What is kept beside what a rule says."""


class RuleState(StrEnum):
    """Whether a rule holds."""

    ACTIVE = "active"
    ENDED = "ended"
    """It wants nothing any more; its name is not used again."""


class KeptRule(Value, frozen=True, kw_only=True):
    """A rule as the registry has it."""

    rule: Rule
    state: RuleState
    until_s: float | None = None
    """When it ends, in seconds since the epoch; None is never."""
    is_stale: bool = False
    """Whether it may have targets of what it is no more about: all files are to be looked at."""
    doubted_by: int = 0
    """The event by which products last got values that they did not have, 0 for none."""


class Claim(Value, frozen=True, kw_only=True):
    """What a rule wants of a file."""

    rule: str
    storage: str = ""
    """Where it is to be; empty when no storage could be found."""
    state: TargetState
    error: str = ""


class Standing(Value, frozen=True, kw_only=True):
    """How files stand, as a rule looks at them."""

    sizes: Mapping[str, int | None]
    """Bytes by name; None if a file is not committed."""
    held: Mapping[str, AbstractSet[str]]
    """The storages with a good replica, by names of files."""
    targets: frozenset[Target]
    """Those that the rule has of them."""


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
                connection.execute(insert(rules).values(name=rule.name, stale=False, **values))
            else:
                changing = update(rules).where(rules.c.id == row.id)
                connection.execute(changing.values(stale=True, **values))
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

    def reviewed(self, kept: KeptRule) -> None:
        """Tell that a rule that is still as it was has no targets of what it is not about."""

        def work(connection: Connection) -> None:
            row = _row(connection, kept.rule.name)
            if row is not None and _kept(row) == kept:
                connection.execute(update(rules).where(rules.c.id == row.id).values(stale=False))

        self._database.write(work)

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

    def place(
        self, name: str, found: Placement, names: Collection[str], *, queue: bool = False
    ) -> None:
        """Have a rule want of some files what was found, and nothing else; others stay.

        With `queue`, what is missing is queued too.

        Raises:
            InputError: The rule has ended, a file or storage is not known, or what is missing
                cannot be queued (`Transfers.enqueue`); then nothing is changed.
        """

        def work(connection: Connection) -> None:
            row = _row(connection, name) or _known(connection, name)
            if row.state != RuleState.ACTIVE:
                raise InputError(f"rule {name} has ended")
            locked = put_targets(connection, row, found, names)
            if queue and found.missing:
                missing = [(one.file, one.storage) for one in found.missing]
                enqueue(connection, missing, locked, _rule(row).priority)

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

    def files_like(self, start: str, size: int) -> Iterator[list[str]]:
        """Yield the names of committed files that begin so, in order, in lists of a size."""
        query = (
            select(files.c.name)
            .where(files.c.state == FileState.COMMITTED, files.c.name < start + _LAST)
            .order_by(files.c.name)
            .limit(size)
        )
        onward = query.where(files.c.name >= start)
        while page := self._names(onward):
            yield page
            onward = query.where(files.c.name > page[-1])

    def files_of(self, name: str, size: int) -> Iterator[list[str]]:
        """Yield the names of files that a rule has targets of, or cannot place, in lists."""
        named = select(rules.c.id).where(rules.c.name == name).scalar_subquery()
        for table in (rule_targets, rule_stuck):
            query = (
                select(table.c.file_id)
                .where(table.c.rule_id == named)
                .distinct()
                .order_by(table.c.file_id)
                .limit(size)
            )
            page = self._page(query)
            while page:
                yield [row.name for row in page]
                page = self._page(query.where(table.c.file_id > page[-1].id))

    def _page(self, keys: AnySelect) -> list[AnyRow]:
        query = select(files.c.id, files.c.name).where(files.c.id.in_(keys)).order_by(files.c.id)
        return self._database.read(lambda it: list(it.execute(query)))

    def _names(self, query: AnySelect) -> list[str]:
        return self._database.read(lambda it: list(it.execute(query).scalars()))

    def products_of(self, names: Collection[str], size: int) -> Iterator[list[str]]:
        """Yield the ids of products that are, or name, one of these files, in lists.

        However many name one of them, a list is of so many that do. One may come again.
        """
        found = set(self.described_by(names).values())
        rows = self._database.read(lambda it: where_in(it, select(files.c.id), files.c.name, names))
        todo = [(sorted(row.id for row in rows), 0)]
        while todo:
            keys, after = todo.pop()
            page = self._database.read(partial(_naming, keys=keys, after=after, size=size))
            if found := found | {row.product_id for row in page}:
                yield sorted(found)
            found = set()
            if len(page) == size:  # first the others that name the last file, then the next files
                last = page[-1]
                todo.append(([key for key in keys if key > last.file_id], 0))
                todo.append(([last.file_id], last.id))

    def described_by(self, names: Collection[str]) -> dict[str, str]:
        """Return the ids of products by the names of their XML files, of those among these."""
        query = select(files.c.name, products.c.product_id).join(
            products, products.c.xml_file_id == files.c.id
        )
        rows = self._database.read(lambda it: where_in(it, query, files.c.name, names))
        return {row.name: row.product_id for row in rows}

    def standing(self, name: str, names: Collection[str]) -> Standing:
        """Return how the files of these names stand that there are, as a rule looks at them."""
        known = select(files.c.id, files.c.name, files.c.size, files.c.state)
        held = select(replicas.c.file_id, replicas.c.storage_id).where(
            replicas.c.state.in_(READABLE)
        )
        wanted = (
            select(rule_targets.c.file_id, rule_targets.c.storage_id)
            .join(rules, rules.c.id == rule_targets.c.rule_id)
            .where(rules.c.name == name)
        )

        def work(connection: Connection) -> Standing:
            rows = where_in(connection, known, files.c.name, names)
            places = connection.execute(select(storages.c.id, storages.c.name)).all()
            place_of = {row.id: row.name for row in places}
            name_of = {row.id: row.name for row in rows}
            there: dict[str, set[str]] = {row.name: set() for row in rows}
            for row in where_in(connection, held, replicas.c.file_id, name_of):
                there[name_of[row.file_id]].add(place_of[row.storage_id])
            return Standing(
                sizes={
                    it.name: it.size if it.state == FileState.COMMITTED else None for it in rows
                },
                held=there,
                targets=frozenset(
                    Target(file=name_of[row.file_id], storage=place_of[row.storage_id])
                    for row in where_in(connection, wanted, rule_targets.c.file_id, name_of)
                ),
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


def doubt(connection: Connection, event_id: int) -> None:
    """Have rules look at all files again: products got values by which fewer may be meant.

    By the event a pass that is under way sees, at its end, that it has to be done again.
    """
    query = select(rules).where(
        rules.c.state == RuleState.ACTIVE, rules.c.content["select", "query"].as_string() != ""
    )
    for row in connection.execute(query.order_by(rules.c.id).with_for_update()).all():
        content = {**row.content, _DOUBTED_BY: event_id}
        changing = update(rules).where(rules.c.id == row.id)
        connection.execute(changing.values(stale=True, content=content))


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


def _naming(
    connection: Connection, *, keys: Sequence[int], after: int, size: int
) -> Sequence[AnyRow]:
    """Return products that name files, by the keys of both, and of each file those after one."""
    if not keys:
        return []
    query = (
        select(product_files.c.file_id, products.c.id, products.c.product_id)
        .join(products, products.c.id == product_files.c.product_id)
        .where(is_one_of(connection, product_files.c.file_id, keys))
        .where(product_files.c.product_id > after)
        .order_by(product_files.c.file_id, product_files.c.product_id)
        .limit(size)
    )
    return connection.execute(query).all()


def _rule(row: AnyRow) -> Rule:
    return msgspec.convert(row.content, Rule)


def _kept(row: AnyRow) -> KeptRule:
    return KeptRule(
        rule=_rule(row),
        state=RuleState(row.state),
        until_s=row.until_s,
        is_stale=row.stale,
        doubted_by=row.content.get(_DOUBTED_BY, 0),
    )


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
