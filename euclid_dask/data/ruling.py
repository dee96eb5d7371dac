"""Carries rules out: files are selected, targets recorded, and what is missing is queued.

A rule is a subscription: it is applied to new files when they are registered, and to all files
whenever somebody asks. Doing it again changes nothing but what has changed meanwhile.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from fnmatch import fnmatchcase
from itertools import takewhile
from types import MappingProxyType
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value, replace
from euclid_dask.data.model import FileState
from euclid_dask.data.query import All, Any, Condition, Operator, Query, parse_query
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.rules import RuleState
from euclid_dask.data.rules import Grouping, Placement, Room, Rule, Stuck, Target, Wanted, placement
from euclid_dask.data.states import READABLE

_PAGE: Final = 1000
_IDS: Final = 100
"""Ids of products in one query."""


class Ruled(Value, frozen=True, kw_only=True):
    """What came of a rule."""

    rule: str
    files: int
    """Files that it is about."""
    missing: int
    """Copies that are not there yet; they are queued, or stuck."""
    released: int
    """Copies that it needs no more."""
    stuck: tuple[Stuck, ...] = ()
    """Files that cannot be placed or brought, and why."""


class Ruling:
    """Applies the rules of a registry."""

    def __init__(
        self, registry: Registry, free_bytes: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        """Take a registry, and the room that is left in storages, by name, where it is known."""
        self._registry = registry
        self._rules = registry.rules
        self._free = free_bytes

    def apply(self, name: str) -> Ruled:
        """Apply a rule to all files.

        Raises:
            InputError: There is no such rule, or it has ended.
        """
        kept = self._rules.get(name)
        if kept.state is not RuleState.ACTIVE:
            raise InputError(f"rule {name} has ended")
        return self._apply(kept.rule, None)

    def apply_all(self) -> list[Ruled]:
        """End the rules whose time is over, and apply the others to all files."""
        self._rules.expire()
        return [self._apply(rule, None) for rule in self._active()]

    def take(self, names: Collection[str]) -> list[Ruled]:
        """Apply all rules to files that are new, and to those that belong to them."""
        self._rules.expire()
        return [self._apply(rule, frozenset(names)) for rule in self._active()]

    def preview(self, rule: Rule) -> Ruled:
        """Return what would come of a rule; nothing is recorded or queued."""
        wanted = self._wanted(rule, None)
        found = self._placement(rule, wanted, self._rules.targets(rule.name))
        return Ruled(
            rule=rule.name,
            files=len(wanted),
            missing=len(found.missing),
            released=len(found.released),
            stuck=found.stuck,
        )

    def catch_up(self) -> list[Ruled]:
        """Apply all rules to the files that wait for it since they were registered."""
        found: list[Ruled] = []
        while names := self._registry.unruled.page(_PAGE):
            found += self.take(names)
            self._registry.unruled.forget(names)
        return found

    def _active(self) -> list[Rule]:
        return [it.rule for it in self._rules.all() if it.state is RuleState.ACTIVE]

    def _apply(self, rule: Rule, only: Collection[str] | None) -> Ruled:
        wanted = self._wanted(rule, only)
        names = [one.file for one in wanted]
        meant = None if only is None else names
        found = self._placement(rule, wanted, self._rules.targets(rule.name, meant))
        self._rules.place(rule.name, found, meant)
        return Ruled(
            rule=rule.name,
            files=len(wanted),
            missing=len(found.missing),
            released=len(found.released),
            stuck=(*found.stuck, *self._queue(rule, found)),
        )

    def _placement(
        self, rule: Rule, wanted: Sequence[Wanted], before: AbstractSet[Target]
    ) -> Placement:
        there = self._registry.locate([one.file for one in wanted], READABLE)
        return placement(
            rule,
            wanted,
            [
                Room(storage=one, free_bytes=self._free.get(one.name))
                for one in self._registry.storages.all()
            ],
            {name: {one.storage for one in replicas} for name, replicas in there.items()},
            before,
        )

    def _queue(self, rule: Rule, found: Placement) -> list[Stuck]:
        """Queue what is missing; return what cannot be."""
        stuck: list[Stuck] = []
        for first in range(0, len(found.missing), _PAGE):
            stuck += self._enqueue(rule, found.missing[first : first + _PAGE])
        return stuck

    def _enqueue(self, rule: Rule, missing: Sequence[Target]) -> list[Stuck]:
        pairs = [(one.file, one.storage) for one in missing]
        try:
            self._registry.transfers.enqueue(pairs, priority=rule.priority)
        except InputError as error:
            if len(missing) > 1:  # one of them is refused, and the others are not
                return [it for one in missing for it in self._enqueue(rule, [one])]
            self._rules.block(rule.name, missing[0], error.message)
            return [Stuck(files=(missing[0].file,), reason=error.message)]
        return []

    def _wanted(self, rule: Rule, only: Collection[str] | None) -> list[Wanted]:
        """Return the files of a rule: those of `only` and what belongs to them, or all if None."""
        groups = self._selected(rule, only)
        patterns = rule.select.names
        names = [
            name
            for name in groups
            if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
        ]
        return [
            Wanted(file=file.name, size=file.size, group=groups[file.name])
            for file in self._registry.files(names).values()
            if file.state is FileState.COMMITTED
        ]

    def _selected(self, rule: Rule, only: Collection[str] | None) -> dict[str, str]:
        """Return files that a rule may be about, and their groups."""
        if rule.select.query:
            near = None if only is None else sorted(self._rules.products_of(only))
            groups = self._members(self._found(parse_query(rule.select.query), near))
            if only is None or rule.grouping is Grouping.PRODUCT:
                return groups
            return {name: group for name, group in groups.items() if name in only}
        names = self._matching(rule.select.names) if only is None else only
        groups = dict.fromkeys(sorted(names), "")
        if rule.grouping is Grouping.PRODUCT:
            groups |= self._members(sorted(self._rules.products_of(names)))
        return groups

    def _matching(self, patterns: Iterable[str]) -> set[str]:
        """Return names of files, all that match one of the patterns among them."""
        starts = {"".join(takewhile(lambda it: it not in "*?[", one)) for one in patterns}
        return {name for start in starts for name in self._rules.files_like(start)}

    def _found(self, query: Query, near: Sequence[str] | None) -> list[str]:
        """Return the ids of products that a query finds, of all or of some."""
        if near is None:
            return self._pages(query)
        found: list[str] = []
        for first in range(0, len(near), _IDS):
            ids = tuple(
                Condition(path="Header.ProductId", operator=Operator.EQUAL, text=one)
                for one in near[first : first + _IDS]
            )
            where = All(parts=(query.where, Any(parts=ids)))
            found += self._pages(replace(query, where=where))
        return found

    def _pages(self, query: Query) -> list[str]:
        ids: list[str] = []
        try:
            while page := self._registry.find(query, limit=_PAGE, after=ids[-1] if ids else ""):
                ids += (one.product_id for one in page)
        except InputError:  # no product has such a value yet
            return []
        return ids

    def _members(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the files of products, each with the first product that it belongs to."""
        groups: dict[str, str] = {}
        for first in range(0, len(ids), _PAGE):
            batch = ids[first : first + _PAGE]
            known, xml = self._registry.products(batch), self._rules.xml_of(batch)
            for one in batch:
                for name in (xml[one], *(file.name for file in known[one].files)):
                    groups.setdefault(name, one)
        return groups
