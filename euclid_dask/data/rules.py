"""Rules: which files shall have how many copies where. Pure: what is there in, what to do out.

A rule gives each file (or each group of files that belong together) its *targets*: storages that
must keep it. Targets stay what they are while they can be met; a replica that satisfies a rule is
never moved. What no target names any more may be removed, but only by the cleaner.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from types import MappingProxyType

from euclid_dask.core.values import Value
from euclid_dask.data.model import Storage, StorageState
from euclid_dask.data.places import place


class Grouping(StrEnum):
    """Which files go to the same storages."""

    FILE = "file"
    """Each goes where there is most room."""
    PRODUCT = "product"
    """A product and the files that it names."""
    RUN = "run"
    """All that one run of a pipeline made."""


class Selector(Value, frozen=True, kw_only=True):
    """Which files a rule is about: all of what is given must hold."""

    query: str = ""
    """Of products, as in `euclid-dask find`; their files are meant."""
    names: tuple[str, ...] = ()
    """Patterns of file names, as `EUC_VIS_*.fits`; one of them must match."""


class Rule(Value, frozen=True, kw_only=True):
    """A wish for copies."""

    name: str
    select: Selector
    places: str
    """An expression of labels (`euclid_dask.data.places`)."""
    copies: int = 1
    grouping: Grouping = Grouping.FILE
    prefer: tuple[str, ...] = ()
    """Storages to be taken first, in this order."""
    priority: int = 0
    """Of its transfers; higher is earlier."""
    lifetime_s: float | None = None
    """How long it holds after it was made, in seconds; None is for ever."""


class Room(Value, frozen=True, kw_only=True):
    """A storage, and how much it can still take."""

    storage: Storage
    free_bytes: int | None = None
    """Bytes, without those of what is on its way; None is unknown, and taken for enough."""


class Wanted(Value, frozen=True, kw_only=True, gc=False):
    """A file that a rule is about."""

    file: str
    size: int
    """Bytes."""
    group: str = ""
    """What it belongs to, by the rule's grouping; files of one group get the same targets."""


class Target(Value, frozen=True, kw_only=True, order=True, gc=False):
    """That a file shall be kept in a storage."""

    file: str
    storage: str


class Stuck(Value, frozen=True, kw_only=True):
    """Files that a rule cannot place, and why."""

    files: tuple[str, ...]
    reason: str


class Placement(Value, frozen=True, kw_only=True):
    """What a rule wants now."""

    targets: tuple[Target, ...]
    """All of them, those that hold already too."""
    missing: tuple[Target, ...]
    """Those that have no replica yet: to be copied."""
    released: tuple[Target, ...]
    """Those of before that are targets no more."""
    stuck: tuple[Stuck, ...] = ()


def placement(
    rule: Rule,
    wanted: Iterable[Wanted],
    rooms: Sequence[Room],
    replicas: Mapping[str, AbstractSet[str]],
    before: AbstractSet[Target] = frozenset(),
    coming: Mapping[str, AbstractSet[str]] = MappingProxyType({}),
) -> Placement:
    """Return where the files of a rule shall be.

    The same arguments give the same answer, whatever the order of files and rooms.

    Args:
        rule: The rule.
        wanted: Its files.
        rooms: All storages.
        replicas: The storages with a good replica, by names of files.
        before: The targets that the rule has by now.
        coming: The storages to which files are on their way, by names of files: they take no room
            of what is free there.
    """
    chooser = _Chooser(rule, rooms, replicas, before, coming)
    targets: list[Target] = []
    stuck: list[Stuck] = []
    for group in _groups(rule, wanted):
        chosen, reason = chooser.choose(group)
        targets += (Target(file=one.file, storage=name) for one in group for name in chosen)
        if reason:
            stuck.append(Stuck(files=tuple(one.file for one in group), reason=reason))
    targets.sort()
    return Placement(
        targets=tuple(targets),
        missing=tuple(
            one for one in targets if one.storage not in replicas.get(one.file, frozenset())
        ),
        released=tuple(sorted(before - set(targets))),
        stuck=tuple(stuck),
    )


def _groups(rule: Rule, wanted: Iterable[Wanted]) -> list[list[Wanted]]:
    found: dict[str, list[Wanted]] = {}
    for one in sorted(wanted, key=lambda it: it.file):
        alone = rule.grouping == Grouping.FILE or not one.group
        found.setdefault(f"file {one.file}" if alone else f"group {one.group}", []).append(one)
    return [found[name] for name in sorted(found)]


class _Chooser:
    """Chooses storages for one group after the other, and keeps count of their room."""

    def __init__(
        self,
        rule: Rule,
        rooms: Sequence[Room],
        replicas: Mapping[str, AbstractSet[str]],
        before: AbstractSet[Target],
        coming: Mapping[str, AbstractSet[str]],
    ) -> None:
        self._rule = rule
        is_meant = place(rule.places)
        self._meant = [room.storage for room in rooms if is_meant(room.storage)]
        self._free = {room.storage.name: room.free_bytes for room in rooms}
        self._replicas = replicas
        self._coming = coming
        self._before: dict[str, set[str]] = {}  # by file, since each is asked for once
        for target in before:
            self._before.setdefault(target.file, set()).add(target.storage)
        self._has_limits = any(free is not None for free in self._free.values())
        self._chosen: dict[object, tuple[list[str], str]] = {}

    def choose(self, group: Sequence[Wanted]) -> tuple[list[str], str]:
        """Return the storages for a group, and why there are too few, "" when there are not."""
        if self._has_limits or len(group) > 1:
            return self._choose(group)
        # where there is room for all, the same goes for all files that are in the same storages
        (one,) = group
        key = (
            frozenset(self._replicas.get(one.file, ())),
            frozenset(self._before.get(one.file, ())),
            one.size > 0,
        )
        if key not in self._chosen:
            self._chosen[key] = self._choose(group)
        return self._chosen[key]

    def _choose(self, group: Sequence[Wanted]) -> tuple[list[str], str]:
        keeping = self._keeping(group)
        fresh = [one for one in self._meant if one.name not in keeping and _takes_new(one)]
        able = [one.name for one in fresh if self._has_room(one.name, group)]
        chosen = sorted(keeping, key=lambda name: self._rank(name, group))[: self._rule.copies]
        lacking = self._rule.copies - len(chosen)
        chosen += sorted(able, key=lambda name: self._rank(name, group))[:lacking]
        for name in chosen:
            self._take_room(name, group)
        if len(chosen) == self._rule.copies:
            return chosen, ""
        return chosen, self._why(len(chosen), full=len(fresh) - len(able))

    def _keeping(self, group: Sequence[Wanted]) -> set[str]:
        """Return the storages that have all of a group, or are to have it since before."""
        targets = self._before.get(group[0].file, set())
        having = set.intersection(*(self._having(one.file) for one in group))
        return {
            one.name
            for one in self._meant
            if one.durable
            and (one.name in having or (one.name in targets and one.state == StorageState.ENABLED))
        }

    def _having(self, file: str) -> set[str]:
        return set(self._replicas.get(file, frozenset()))

    def _rank(self, name: str, group: Sequence[Wanted]) -> tuple[bool, int, int, int, str]:
        prefer = self._rule.prefer
        return (
            name not in self._before.get(group[0].file, set()),
            self._lacking_bytes(name, group),
            prefer.index(name) if name in prefer else len(prefer),
            -(self._free[name] or 0),
            name,
        )

    def _lacking_bytes(self, name: str, group: Sequence[Wanted]) -> int:
        return sum(one.size for one in group if name not in self._having(one.file))

    def _has_room(self, name: str, group: Sequence[Wanted]) -> bool:
        free = self._free[name]
        return free is None or self._bytes_to_take(name, group) <= free

    def _take_room(self, name: str, group: Sequence[Wanted]) -> None:
        free = self._free[name]
        if free is not None:
            self._free[name] = free - self._bytes_to_take(name, group)

    def _bytes_to_take(self, name: str, group: Sequence[Wanted]) -> int:
        asked = [one for one in group if name not in self._coming.get(one.file, ())]
        return self._lacking_bytes(name, asked)

    def _why(self, found: int, *, full: int) -> str:
        rule = self._rule
        off = [one.name for one in self._meant if not _takes_new(one)]
        parts = [f"{rule.copies} copies are wanted, {found} can be in {rule.places!r}"]
        if full:
            parts.append(f"{full} storages have too little room")
        if off:
            parts.append(f"not durable or not enabled: {', '.join(sorted(off))}")
        if not self._meant:
            parts.append("no storage has such labels")
        return "; ".join(parts)


def _takes_new(storage: Storage) -> bool:
    return storage.durable and storage.state == StorageState.ENABLED
