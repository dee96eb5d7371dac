"""Carries rules out: files are selected, targets recorded, and what is missing is queued.

A rule is a subscription: it is applied to new files when they are registered, and to all files
whenever somebody asks. Doing it again changes nothing but what has changed meanwhile.

Rule: files are looked at page by page, each page in transactions of its own; memory does not grow
with the registry.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import takewhile
from types import MappingProxyType
from typing import Final, TypeVar

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value, replace
from euclid_dask.data.query import All, Any, Condition, Operator, Query, parse_query
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.owing import Owing
from euclid_dask.data.registry.rules import KeptRule, RuleState
from euclid_dask.data.registry.seen import Seen
from euclid_dask.data.rules import Grouping, Placement, Room, Rule, Stuck, Target, Wanted, placement

T = TypeVar("T")
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
        """Take a registry, and the room in storages, by name, where it is known; or by quotas.

        What is on its way to a storage is no more in its room.
        """
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
        return self._apply_whole(kept, self._room())

    def apply_all(self) -> list[Ruled]:
        """End the rules whose time is over, and apply the others to all files."""
        self.catch_up()
        self._rules.expire()
        free = self._room()
        return [self._apply_whole(kept, free) for kept in self._active()]

    def take(self, names: Collection[str]) -> list[Ruled]:
        """Apply all rules to files that are new, and to those that belong to them."""
        self._rules.expire()
        active = self._active()
        free = self._room() if active else {}
        return [self._apply(kept.rule, free, frozenset(names)) for kept in active]

    def preview(self, rule: Rule) -> Ruled:
        """Return what would come of a rule; nothing is recorded or queued."""
        return self._apply(rule, self._room(), is_dry=True)

    def catch_up(self) -> list[Ruled]:
        """Apply all rules to the files that wait for it since they were registered."""
        found: list[Ruled] = []
        while names := self._registry.unruled.page(_PAGE):
            found += self.take(names)
            self._registry.unruled.forget(names)
        return found

    def _active(self) -> list[KeptRule]:
        return [it for it in self._rules.all() if it.state is RuleState.ACTIVE]

    def _room(self) -> dict[str, int]:
        """Return the bytes that are free in storages where that is known: a long sum."""
        quotas = self._registry.quotas.all()
        return {**{name: one.free_bytes for name, one in quotas.items()}, **self._free}

    def _apply_whole(self, kept: KeptRule, free: dict[str, int]) -> Ruled:
        """Apply a rule to all files; as long as it is as it was, to those that it owes copies."""
        rule = kept.rule
        if kept.is_stale:
            ruled = self._apply(rule, free)
            self._rules.reviewed(kept)
            return ruled
        storages = self._registry.storages.all()
        owing = Owing(self._registry.database, rule, storages)
        ruled = self._apply(rule, free, owing=owing)
        files, missing = owing.counts()
        return replace(ruled, files=files, missing=missing)

    def _apply(
        self,
        rule: Rule,
        free: dict[str, int],
        only: Collection[str] | None = None,
        *,
        owing: Owing | None = None,
        is_dry: bool = False,
    ) -> Ruled:
        """Apply a rule to some files, to those that it owes copies, or to all, page by page.

        What they need of what is free is no more free.
        """
        ruled: list[Ruled] = []
        released = 0
        with Seen() as seen:
            pages = self._pages(rule, only) if owing is None else self._owed(rule, owing)
            for groups in pages:
                # a file goes with the first product that names it
                fresh = seen.missing(name for name in groups if _is_meant(rule, name))
                seen.add(fresh)
                if fresh:
                    meant = {name: groups[name] for name in fresh}
                    ruled.append(self._apply_page(rule, meant, free, is_dry=is_dry))
            is_all = only is None and owing is None
            for page in self._rules.files_of(rule.name, _PAGE) if is_all else ():
                released += self._release(rule, seen.missing(page), is_dry=is_dry)
        return Ruled(
            rule=rule.name,
            files=sum(one.files for one in ruled),
            missing=sum(one.missing for one in ruled),
            released=released + sum(one.released for one in ruled),
            stuck=tuple(stuck for one in ruled for stuck in one.stuck),
        )

    def _apply_page(
        self, rule: Rule, groups: Mapping[str, str], free: dict[str, int], *, is_dry: bool
    ) -> Ruled:
        """Apply a rule to files and their groups; what they need is no more free."""
        coming = self._registry.transfers.coming(groups) if free else {}
        standing = self._rules.standing(rule.name, groups)
        wanted = [
            Wanted(file=name, size=size, group=groups[name])
            for name, size in standing.sizes.items()
            if size is not None
        ]
        found = placement(
            rule,
            wanted,
            [
                Room(storage=one, free_bytes=free.get(one.name))
                for one in self._registry.storages.all()
            ],
            standing.held,
            standing.targets,
            coming,
        )
        sizes = {one.file: one.size for one in wanted}
        for one in found.missing:
            if one.storage in free and one.storage not in coming.get(one.file, ()):
                free[one.storage] -= sizes[one.file]
        stuck = list(found.stuck)
        if not is_dry:
            stuck += self._carry_out(rule, found, list(standing.sizes))
        return Ruled(
            rule=rule.name,
            files=len(wanted),
            missing=len(found.missing),
            released=len(found.released),
            stuck=tuple(stuck),
        )

    def _release(self, rule: Rule, names: Sequence[str], *, is_dry: bool) -> int:
        """Want nothing more of files that a rule is no longer about; return of how many copies."""
        targets = self._rules.targets(rule.name, names)
        if names and not is_dry:
            nothing = Placement(targets=(), missing=(), released=tuple(sorted(targets)))
            self._rules.place(rule.name, nothing, names)
        return len(targets)

    def _carry_out(self, rule: Rule, found: Placement, names: Sequence[str]) -> list[Stuck]:
        """Want what was found, and queue what is missing; return what cannot be."""
        try:
            self._rules.place(rule.name, found, names, queue=True)
        except InputError:  # something missing is refused, and the rest is not
            self._rules.place(rule.name, found, names)
            parts = _parts(found.missing, _PAGE)
            return [one for part in parts for one in self._enqueue(rule, part)]
        return []

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

    def _pages(self, rule: Rule, only: Collection[str] | None) -> Iterator[Mapping[str, str]]:
        """Yield files that a rule may be about, and their groups; one may come again."""
        if only is not None:
            for names in _parts(sorted(only), _PAGE):
                yield from self._near(rule, names)
        elif rule.select.query:
            yield from map(self._members, self._found(parse_query(rule.select.query)))
        else:
            for start in _starts(rule.select.names):
                for page in self._rules.files_like(start, _PAGE):
                    yield from self._near(rule, [name for name in page if _is_meant(rule, name)])

    def _owed(self, rule: Rule, owing: Owing) -> Iterator[Mapping[str, str]]:
        """Yield files of which a rule owes copies, and their groups; one may come again."""
        query = rule.select.query
        for found in owing.files(None if query else _starts(rule.select.names)):
            for names in _parts([name for name in found if _is_meant(rule, name)], _PAGE):
                yield from self._near(rule, names)
        for ids in self._found(parse_query(query)) if query else ():
            yield self._members(owing.products(ids))

    def _near(self, rule: Rule, names: Sequence[str]) -> Iterator[Mapping[str, str]]:
        """Yield those of some files that a rule may be about, and what belongs to them."""
        query, is_grouped = rule.select.query, rule.grouping is Grouping.PRODUCT
        for near in self._rules.products_of(names, _PAGE) if query or is_grouped else ():
            ids = near
            if query:
                ids = [one for part in _parts(near, _IDS) for one in self._found_of(query, part)]
            groups = self._members(ids)
            yield groups if is_grouped else {it: groups[it] for it in names if it in groups}
        if not query:
            yield dict.fromkeys(names, "")  # those that no product names are new

    def _found_of(self, query: str, ids: Sequence[str]) -> Iterator[str]:
        """Yield those of some products that a query finds."""
        is_one = Any(
            parts=tuple(
                Condition(path="Header.ProductId", operator=Operator.EQUAL, text=one) for one in ids
            )
        )
        given = parse_query(query)
        for page in self._found(replace(given, where=All(parts=(given.where, is_one)))):
            yield from page

    def _found(self, query: Query) -> Iterator[list[str]]:
        """Yield the ids of products that a query finds, in lists."""
        last = ""
        with suppress(InputError):  # no product has such a value yet
            while page := self._registry.find(query, limit=_PAGE, after=last):
                yield [one.product_id for one in page]
                last = page[-1].product_id

    def _members(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the files of products, each with the first product that it belongs to."""
        groups: dict[str, str] = {}
        known, xml = self._registry.products(ids), self._rules.xml_of(ids)
        for one in ids:
            for name in (xml[one], *(file.name for file in known[one].files)):
                groups.setdefault(name, one)
        return groups


def _is_meant(rule: Rule, name: str) -> bool:
    patterns = rule.select.names
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _starts(patterns: Iterable[str]) -> list[str]:
    """Return what the names that match one of the patterns begin with, none of it twice."""
    starts = sorted("".join(takewhile(lambda it: it not in "*?[", one)) for one in patterns)
    kept: list[str] = []
    for start in starts:
        if not kept or not start.startswith(kept[-1]):
            kept.append(start)
    return kept


def _parts(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (things[first : first + size] for first in range(0, len(things), size))
