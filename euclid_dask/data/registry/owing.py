"""What a rule still owes: the files of which it does not have all copies, or on their way.

They are found by the database, so that a pass over millions of files where nothing is to be done
reads only keys and states. What is found is looked at by the rule itself (`ruling`): a file too
many does no harm.

Rule: no statement looks at more than `STEP` keys of files, or yields more than that.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    union,
    union_all,
)

from euclid_dask.data.model import FileState, Storage, StorageState
from euclid_dask.data.places import place
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.rows import is_one_of, storage_ids
from euclid_dask.data.registry.schema import (
    IS_ACTIVE,
    files,
    product_files,
    products,
    replicas,
    rule_stuck,
    rule_targets,
    rules,
    transfers,
)
from euclid_dask.data.registry.targets import TargetState
from euclid_dask.data.rules import Rule
from euclid_dask.data.states import READABLE

STEP: Final = 20_000
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_", "*": "%", "?": "_"})
_LAST: Final = "\U0010ffff"
"""Comes after all that names are made of."""


class Owing:
    """What one rule owes, all of whose targets are by its present wording."""

    def __init__(self, database: Database, rule: Rule, storages: Sequence[Storage]) -> None:
        """Take a registry's database.

        Args:
            database: Of the registry that has the rule.
            rule: As the registry has it.
            storages: All of them.
        """
        is_meant = place(rule.places)
        meant = [one for one in storages if one.durable and is_meant(one)]
        taking = [one for one in meant if one.state == StorageState.ENABLED]

        def work(connection: Connection) -> tuple[int, dict[str, int], int]:
            key = connection.scalar(select(rules.c.id).where(rules.c.name == rule.name))
            last = connection.scalar(select(func.max(files.c.id)))
            return key or 0, storage_ids(connection, [one.name for one in meant]), last or 0

        self._database = database
        self._rule, keys, self._last = database.read(work)
        self._copies = rule.copies
        self._is_like = _is_like(rule.select.names)
        self._is_met = _is_met([*keys.values()], [keys[one.name] for one in taking])

    def files(self, starts: Collection[str] | None) -> Iterator[list[str]]:
        """Yield the names of files that the rule owes copies of, in lists; one may come again.

        Args:
            starts: What the names of its files begin with; None if products are selected: then
                only files are found of which it has wanted copies before.
        """
        new: list[ColumnElement[bool]] = []
        for start in starts or ():
            is_so = and_(files.c.name >= start, files.c.name < start + _LAST)
            query = select(files.c.name).where(is_so, self._lacks_targets())
            if self._is_few(is_so):
                yield self._names(query)
            else:
                new.append(is_so)
        for first in range(0, self._last, STEP):
            yield self._names(self._owed(first, new))

    def products(self, ids: Sequence[str]) -> list[str]:
        """Return those of some products of whose files the rule does not have all targets."""

        def work(connection: Connection) -> list[str]:
            is_one = is_one_of(connection, products.c.product_id, ids)
            naming = select(products.c.product_id, product_files.c.file_id).join(
                product_files, product_files.c.product_id == products.c.id
            )
            being = select(products.c.product_id, products.c.xml_file_id)
            found = union_all(naming.where(is_one), being.where(is_one)).subquery()
            query = select(found.c.product_id).join(files, files.c.id == found.c.file_id)
            owed = set(connection.scalars(query.where(self._lacks_targets())))
            return [one for one in ids if one in owed]

        return self._database.read(work)

    def counts(self) -> tuple[int, int]:
        """Return how many files the rule is about, and how many copies are not there."""
        of_stuck = select(func.count()).where(
            rule_targets.c.rule_id == self._rule,
            rule_targets.c.file_id.in_(
                select(rule_stuck.c.file_id).where(rule_stuck.c.rule_id == self._rule)
            ),
        )
        stuck = select(func.count()).where(rule_stuck.c.rule_id == self._rule)
        is_missing = case((rule_targets.c.state != TargetState.OK, 1))
        targets = select(func.count(), func.count(is_missing)).where(
            rule_targets.c.rule_id == self._rule
        )

        def work(connection: Connection) -> tuple[int, int]:
            number, missing = connection.execute(targets).one()
            few, less = connection.scalar(stuck) or 0, connection.scalar(of_stuck) or 0
            # files that are not stuck have all their targets, which are soon counted
            return (number - less) // self._copies + few, missing

        return self._database.read(work)

    def _names(self, query: Select[str]) -> list[str]:
        return self._database.read(lambda it: list(it.scalars(query)))

    def _is_few(self, is_so: ColumnElement[bool]) -> bool:
        """Tell whether so few files are so that they are better read in the order of names."""
        some = select(files.c.id).where(is_so).limit(STEP + 1).subquery()
        query = select(func.count()).select_from(some)
        return self._database.read(lambda it: it.scalar(query) or 0) <= STEP

    def _owed(self, first: int, new: Sequence[ColumnElement[bool]]) -> Select[str]:
        """Return a query for the names of files that are owed, of those with some keys."""

        def is_near(column: ColumnElement[int]) -> ColumnElement[bool]:
            return and_(column > first, column <= first + STEP)

        parts = [
            select(table.c.file_id).where(table.c.rule_id == self._rule, is_near(table.c.file_id))
            for table in (rule_targets, rule_stuck)
        ]
        parts[0] = parts[0].where(not_(self._is_met))
        if new:
            lacking = select(files.c.id).where(is_near(files.c.id), self._lacks_targets())
            parts.append(lacking.where(or_(*new)))
        return select(files.c.name).where(files.c.id.in_(union(*parts))).order_by(files.c.name)

    def _lacks_targets(self) -> ColumnElement[bool]:
        """Return that the rule may be about a file, and does not want all copies of it yet."""
        wanted = select(func.count()).where(
            rule_targets.c.rule_id == self._rule, rule_targets.c.file_id == files.c.id
        )
        lacks = wanted.scalar_subquery() != self._copies
        return and_(files.c.state == FileState.COMMITTED, self._is_like, lacks)


def _is_met(kept: Sequence[int], taking: Sequence[int]) -> ColumnElement[bool]:
    """Return that a target is met, in a storage that keeps, or on its way to one that takes.

    When a transfer has ended, however it did, its target is owed, to be noted as what it is.
    """
    key = (rule_targets.c.file_id, rule_targets.c.storage_id)
    is_there = exists().where(
        replicas.c.file_id == key[0],
        replicas.c.storage_id == key[1],
        replicas.c.state.in_(sorted(READABLE)),
    )
    is_coming = exists().where(
        transfers.c.file_id == key[0], transfers.c.destination_id == key[1], IS_ACTIVE
    )
    is_ok, is_pending = (
        rule_targets.c.state == state for state in (TargetState.OK, TargetState.PENDING)
    )
    return case(
        (is_ok, and_(key[1].in_(kept), is_there)),
        (is_pending, and_(key[1].in_(taking), is_coming)),
        else_=false(),
    )


def _is_like(patterns: Sequence[str]) -> ColumnElement[bool]:
    """Return that a name may match one of some patterns; those with sets match what is like it."""
    likes = [
        before.translate(_ESCAPES) + ("%" if has_set else "")
        for before, has_set, _ in (one.partition("[") for one in patterns)
    ]
    return or_(*(files.c.name.like(like, escape="\\") for like in likes or ["%"]))
