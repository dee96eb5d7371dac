"""Keeping storages in order: rules, removal, checks, and why a file is where it is."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from types import MappingProxyType
from typing import Final

from euclid_dask.api.copies import opener_of, worker_name
from euclid_dask.api.data import (
    DataSettings,
    Whereabouts,
    merged,
    open_registry,
    refuse_unknown,
    whereabouts_of,
)
from euclid_dask.core.errors import InputError
from euclid_dask.core.texts import without_passwords
from euclid_dask.core.values import Value, replace
from euclid_dask.data.cleaner import Cleaner
from euclid_dask.data.cleaner import Settings as CleanerSettings
from euclid_dask.data.drivers import Drivers
from euclid_dask.data.fsck import LOOKING, Choices, Report, fsck
from euclid_dask.data.model import (
    Access,
    Deletion,
    DeletionState,
    Replica,
    ReplicaState,
    Storage,
    StorageState,
    Transfer,
)
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.lineage import Lineage
from euclid_dask.data.registry.queues import Queues
from euclid_dask.data.registry.quotas import Quota
from euclid_dask.data.registry.rules import Claim, KeptRule, RuleState
from euclid_dask.data.resolve import Use, usable
from euclid_dask.data.roots import check_root
from euclid_dask.data.rules import Rule
from euclid_dask.data.ruling import Ruled, Ruling
from euclid_dask.worker.clock import SystemClock

_PRODUCTS: Final = 100
"""Products of a file that are told."""


class StorageShown(Value, frozen=True, kw_only=True):
    """A storage, how each zone reaches it, and what it has."""

    storage: Storage
    accesses: tuple[Access, ...]
    replicas: Mapping[str, int]
    """How many there are in each state."""
    quota: Quota | None = None


def show_storage(settings: DataSettings, name: str) -> StorageShown:
    """Return a storage, the ways to it, and how many replicas it has.

    Raises:
        InputError: There is no such storage.
    """
    with open_registry(settings, read_only=True) as registry:
        counts = registry.storages.counts()
        return StorageShown(
            storage=registry.storages.get(name),
            accesses=tuple(it for it in registry.storages.accesses() if it.storage == name),
            replicas={state: number for (it, state), number in counts.items() if it == name},
            quota=registry.quotas.all().get(name),
        )


def set_quota(settings: DataSettings, name: str, limit_bytes: int | None) -> None:
    """Have a storage hold no more than so many bytes; any number for None.

    Raises:
        InputError: There is no such storage.
    """
    with open_registry(settings) as registry:
        registry.quotas.put(name, limit_bytes)


def edit_storage(
    settings: DataSettings,
    name: str,
    *,
    labels: Mapping[str, str] = MappingProxyType({}),
    state: StorageState | None = None,
    durable: bool | None = None,
    dry_run: bool = False,
) -> Storage:
    """Change what is said of a storage, whose disks may be away; return it.

    What is not given stays as it is; a label that is given as the empty text goes.

    Raises:
        InputError: There is no such storage.
    """
    with open_registry(settings, read_only=dry_run) as registry:
        old = registry.storages.get(name)
        new = replace(
            old,
            state=old.state if state is None else state,
            durable=old.durable if durable is None else durable,
            labels=merged(old.labels, labels),
        )
        if not dry_run:
            registry.storages.put(new)
        return new


def remove_storage(
    settings: DataSettings, name: str, root: str | None = None, *, dry_run: bool = False
) -> tuple[Access, ...]:
    """Forget the way by which the zone reaches a storage at a root, or all of a storage.

    No file is touched, and roots keep their markers: what is added again is what it was.

    Returns:
        The ways that are forgotten.

    Raises:
        InputError: There is no such storage or way, or the storage is needed.
    """
    with open_registry(settings, read_only=dry_run) as registry:
        registry.storages.get(name)
        ways = [one for one in registry.storages.accesses() if one.storage == name]
        if root is None:
            registry.storages.remove(name, dry_run=dry_run)
            return tuple(ways)
        ways = [one for one in ways if (one.zone, one.root) == (settings.zone, check_root(root))]
        if not ways:
            raise InputError(
                f"the zone {settings.zone} has no way to {name} by {without_passwords(root)}",
                hint=f"`euclid-dask storage show {name}` tells its ways",
            )
        if not dry_run:
            registry.storages.remove_access(name, settings.zone, ways[0].root)
        return tuple(ways)


class Removed(Value, frozen=True, kw_only=True):
    """What became of a replica that was to be removed."""

    file: str
    storage: str
    state: str
    """`removed`; `kept`, and why; `waiting` for its time, or for a cleaner; `free` to go."""
    reason: str = ""


class Wish(Value, frozen=True, kw_only=True):
    """What is to be removed."""

    names: tuple[str, ...]
    storages: tuple[str, ...] = ()
    """Where; everywhere if empty, which takes the last copy too."""
    reason: str
    last_copy: bool = False
    """Whether the last good replica may go, and the file with it."""
    adopted: bool = False
    """Whether files may go that were registered where somebody had put them."""
    grace_s: float = 0.0
    """How long they stay nevertheless, in seconds."""


def remove(settings: DataSettings, wish: Wish, *, dry_run: bool = False) -> list[Removed]:
    """Remove replicas that nobody needs; return what became of each.

    Raises:
        InputError: A file, storage or replica is not known, or all replicas are meant and the
            last may not go.
    """
    with open_registry(settings) as registry:
        refuse_unknown(registry, wish.names)
        wanted = _wanted(registry, wish)
        needed = Queues(registry.database).needed(
            wanted, last_copy=wish.last_copy, adopted=wish.adopted
        )
        free = [one for one in wanted if one not in needed]
        kept = [
            Removed(file=one[0], storage=one[1], state="kept", reason=why)
            for one, why in needed.items()
        ]
        if dry_run:
            return kept + [Removed(file=name, storage=goal, state="free") for name, goal in free]
        if free:
            registry.deletions.request(
                free,
                wish.reason,
                last_copy=wish.last_copy,
                adopted=wish.adopted,
                grace_s=wish.grace_s,
            )
        untouched = _cleaned(registry, settings)
        last = {
            (one.file, one.storage): one
            for one in Queues(registry.database).deletions_of(wish.names)
        }
        return kept + [_removed(last[one], untouched.get(one[1], "")) for one in free]


def _wanted(registry: Registry, wish: Wish) -> list[tuple[str, str]]:
    """Return the replicas that are meant."""
    if not wish.storages and not wish.last_copy:
        raise InputError(
            "where from is not said, and from everywhere is the last copy too",
            hint="say --from STORAGE; or --last-copy, to remove the file for good",
        )
    for name in wish.storages:
        registry.storages.get(name)
    there = registry.locate(wish.names, frozenset(ReplicaState))
    wanted: list[tuple[str, str]] = []
    for name in dict.fromkeys(wish.names):
        having = [one.storage for one in there[name]]
        meant = [one for one in having if not wish.storages or one in wish.storages]
        if not meant:
            places = " or ".join(wish.storages) or "any storage"
            raise InputError(
                f"there is no replica of {name} in {places}",
                hint=f"it is in: {', '.join(having) or 'none'}",
            )
        wanted += ((name, one) for one in meant)
    return wanted


def _cleaned(registry: Registry, settings: DataSettings) -> Mapping[str, str]:
    """Carry out deletions; return in which storages nothing was done, and why."""
    cleaner = Cleaner(
        registry,
        opener_of(settings),
        SystemClock(),
        CleanerSettings(worker=worker_name(), zone=settings.zone),
    )
    with closing(cleaner):
        return cleaner.drain().untouched


def _removed(one: Deletion, untouched: str) -> Removed:
    match one.state:
        case DeletionState.DONE:
            state = "removed"
        case DeletionState.CANCELLED | DeletionState.FAILED:
            state = "kept"
        case _:
            state = "waiting"
    reason = one.error or (untouched if state == "waiting" else "")
    return Removed(file=one.file, storage=one.storage, state=state, reason=reason)


def check_files(
    settings: DataSettings,
    names: Sequence[str] = (),
    choices: Choices = LOOKING,
    watch: Callable[[], None] = lambda: None,
) -> list[Report]:
    """Compare storages with the registry: those named, or all of ours that this zone reads.

    Raises:
        InputError: There is no such storage.
    """
    with open_registry(settings, read_only=choices.dry_run) as registry:
        known = {one.name: one for one in registry.storages.all()}
        accesses = registry.storages.accesses(settings.zone)
        seen = {way.storage for way in usable(accesses, known, Use.READ)}
        for name in names:
            registry.storages.get(name)
        meant = names or [name for name in sorted(seen) if known[name].marker]
        with closing(Drivers(opener_of(settings))) as drivers:
            return [fsck(registry, drivers, settings.zone, it, choices, watch) for it in meant]


class Reasons(Value, frozen=True, kw_only=True):
    """Why a file is where it is, and not elsewhere."""

    place: Whereabouts
    storages: tuple[str, ...]
    """The names of all storages."""
    products: tuple[str, ...]
    """Ids of products that it is, or that name it: the first of them."""
    more_products: int = 0
    """How many more there are."""
    claims: tuple[Claim, ...]
    """What rules want of it."""
    transfers: tuple[Transfer, ...]
    """All transfers of it, in their order."""
    deletions: tuple[Deletion, ...]
    """All removals of its replicas, in their order."""

    def of(self, storage: str) -> tuple[Replica | None, list[str]]:
        """Return the replica in a storage, if there is one, and what is to be said of it."""
        replica = next((one for one in self.place.replicas if one.storage == storage), None)
        told = [
            f"rule {one.rule} wants it" + (f", but: {one.error}" if one.error else "")
            for one in self.claims
            if one.storage == storage
        ]
        transfers = [one for one in self.transfers if one.destination == storage]
        deletions = [one for one in self.deletions if one.storage == storage]
        if transfers:
            last = transfers[-1]
            how = f" by {last.method}" if last.method else ""
            told.append(
                f"transfer {last.id} is {last.state}{how}"
                + (f": {last.error}" if last.error else "")
            )
        elif replica is not None:
            told.append("registered where it lies" if replica.adopted else "put there")
        if deletions:
            last_one = deletions[-1]
            told.append(
                f"removal is {last_one.state} ({last_one.reason})"
                + (f": {last_one.error}" if last_one.error else "")
            )
        return replica, told


def why(settings: DataSettings, name: str) -> Reasons:
    """Return why a file is where it is.

    Raises:
        InputError: The registry does not know it.
    """
    with open_registry(settings, read_only=True) as registry:
        (place,) = whereabouts_of(registry, settings.zone, [name])
        products, more = Lineage(registry.database).of(name, limit=_PRODUCTS)
        return Reasons(
            place=place,
            storages=tuple(one.name for one in registry.storages.all()),
            products=tuple(products),
            more_products=more,
            claims=tuple(registry.rules.why(name)),
            transfers=tuple(registry.transfers.of_files([name])),
            deletions=tuple(Queues(registry.database).deletions_of([name])),
        )


class RuleShown(Value, frozen=True, kw_only=True):
    """A rule, and how far what it wants is."""

    kept: KeptRule
    targets: int
    """Copies that it wants."""
    stuck: Mapping[str, int]
    """Files of which it cannot have all, by the reason."""


def add_rule(settings: DataSettings, rule: Rule, *, dry_run: bool = False) -> Ruled:
    """Add a rule, or change the one of its name, and queue what is missing.

    Raises:
        InputError: It makes no sense, or the rule of this name has ended.
    """
    with open_registry(settings, read_only=dry_run) as registry:
        if dry_run:
            return Ruling(registry).preview(rule)
        registry.rules.put(rule)
        return Ruling(registry).apply(rule.name)


def list_rules(settings: DataSettings, *, ended: bool = False) -> list[KeptRule]:
    """Return the rules that hold, with `ended` also those that do not any more."""
    with open_registry(settings, read_only=True) as registry:
        return [one for one in registry.rules.all() if ended or one.state is RuleState.ACTIVE]


def show_rule(settings: DataSettings, name: str) -> RuleShown:
    """Return a rule, and how far what it wants is.

    Raises:
        InputError: There is none of this name.
    """
    with open_registry(settings, read_only=True) as registry:
        kept = registry.rules.get(name)
        targets, stuck = Queues(registry.database).targets_of(name)
        return RuleShown(kept=kept, targets=targets, stuck=stuck)


def end_rule(settings: DataSettings, name: str) -> None:
    """Have a rule want nothing any more; its copies stay until somebody removes them.

    Raises:
        InputError: There is none of this name.
    """
    with open_registry(settings) as registry:
        registry.rules.end(name)
