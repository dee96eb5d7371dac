"""Data: which registry, seen from where; and what commands do with it."""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from euclid_dask.core.errors import InputError, StoppedError
from euclid_dask.core.values import Value, replace
from euclid_dask.data.adopting import adopt
from euclid_dask.data.credentials import Credential, read_credentials
from euclid_dask.data.markers import check_marker, marker_of, write_marker
from euclid_dask.data.model import (
    Access,
    Event,
    File,
    Replica,
    ReplicaState,
    Storage,
    StorageState,
)
from euclid_dask.data.names import check_name
from euclid_dask.data.probing import Finding, check_storage
from euclid_dask.data.registry import Registry
from euclid_dask.data.resolve import Use, locate, usable
from euclid_dask.data.roots import check_root
from euclid_dask.data.ruling import Ruling
from euclid_dask.data.storage import MARKER, StorageDriver
from euclid_dask.data.storages.opening import open_driver
from euclid_dask.data.survey import Find, Lying, local_root, survey
from euclid_dask.worker.clock import SystemClock

REGISTRY_VARIABLE: Final = "EUCLID_DASK_REGISTRY"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """Which registry, and how this host sees storages.

    `registry` is a file (SQLite) or a `postgresql://` URL; the default is a file of the user's.
    `zone` names the hosts that see storages as this one does. `credentials` is a file of names
    with users and passwords or keys.
    """

    registry: str = ""
    zone: str = "local"
    credentials: str | Path | None = None

    @property
    def address(self) -> str:
        """The registry's file or URL."""
        return self.registry or os.environ.get(REGISTRY_VARIABLE, "") or str(default_registry())

    def read_credentials(self) -> dict[str, Credential]:
        """Return the credentials by name."""
        return dict(read_credentials(Path(self.credentials))) if self.credentials else {}


def default_registry() -> Path:
    """Return where the registry of a user is."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "euclid-dask" / "registry.sqlite"


def open_registry(
    settings: DataSettings, *, new: bool = False, read_only: bool = False
) -> Registry:
    """Open the registry; with `new` it is made if there is none.

    Raises:
        InputError: There is none.
        RegistryError: It cannot be opened.
    """
    address = settings.address
    if "://" not in address:
        if new:
            Path(address).parent.mkdir(parents=True, exist_ok=True)
        elif not Path(address).exists():
            raise InputError(
                f"there is no registry at {address}",
                hint="`euclid-dask storage add` makes one; or name yours: --registry, "
                f"or {REGISTRY_VARIABLE}",
            )
    return Registry(address, read_only=read_only)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a zone shall reach a storage; None is as it was, or as usual."""

    storage: str
    zone: str
    root: str
    read: int | None = None
    write: int | None = None
    delete: int | None = None
    credential: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def access(self, before: Sequence[Access]) -> Access:
        """Return the access row that this makes of the ones before."""
        root = check_root(self.root)
        fresh = Access(storage=self.storage, zone=self.zone, root=root)
        keys = {(one.storage, one.zone, one.root): one for one in before}
        old = keys.get((self.storage, self.zone, root), fresh)
        return replace(
            old,
            read=old.read if self.read is None else self.read,
            write=old.write if self.write is None else self.write,
            delete=old.delete if self.delete is None else self.delete,
            credential=old.credential if self.credential is None else self.credential,
            options=merged(old.options, self.options),
        )


def merged(before: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return texts by name with those given; a name that is given as the empty text goes."""
    return {name: text for name, text in {**before, **given}.items() if text}


def add_storage(
    settings: DataSettings,
    way: Way,
    *,
    labels: Mapping[str, str] = MappingProxyType({}),
    state: StorageState | None = None,
    durable: bool | None = None,
    dry_run: bool = False,
) -> Storage:
    """Add a storage, or one more way to reach it; mark its root as that storage's.

    What is not given stays as it is; a new storage is enabled and durable. A label or option that
    is given as the empty text goes.

    Returns:
        The storage, with its marker if it has one.

    Raises:
        InputError: The root is wrong, or within another storage.
        StorageError: The root cannot be reached, or is another storage's.
    """
    check_name(way.storage)
    check_root(way.root)
    with _registry_to_add_to(settings, dry_run=dry_run) as registry:
        accesses = registry.storages.accesses() if registry else []
        access = way.access(accesses)
        _refuse_overlap(access, accesses)
        known = {one.name: one for one in registry.storages.all()} if registry else {}
        old = known.get(access.storage, Storage(name=access.storage, marker=""))
        with closing(open_driver(access, settings.read_credentials(), SystemClock())) as driver:
            marker = _marked(driver, access, old, dry_run=dry_run)
            one_writer = old.one_writer or not driver.capabilities.refuses_existing
        storage = replace(
            old,
            marker=marker,
            state=old.state if state is None else state,
            durable=old.durable if durable is None else durable,
            one_writer=one_writer,
            labels=merged(old.labels, labels),
        )
        if registry and not dry_run:
            registry.storages.put(storage)
            registry.storages.put_access([access])
    return storage


def _registry_to_add_to(
    settings: DataSettings, *, dry_run: bool
) -> AbstractContextManager[Registry | None]:
    """Return the registry, which is made if there is none, or with `dry_run` stands for none."""
    if dry_run and "://" not in settings.address and not Path(settings.address).exists():
        return nullcontext()
    return open_registry(settings, new=not dry_run, read_only=dry_run)


def _refuse_overlap(access: Access, others: Sequence[Access]) -> None:
    """Refuse a directory within another storage, or around one: a file would count twice."""
    own = local_root(access)
    for other in others:
        root = local_root(other) if other.zone == access.zone else None
        if own is None or root is None or other.storage == access.storage:
            continue
        if own.is_relative_to(root) or root.is_relative_to(own):
            raise InputError(
                f"{own} and {root}, which is storage {other.storage}, are one in the other",
                hint="a file in both would count as two copies; choose another directory",
            )
    for above in own.parents if own is not None else ():
        if os.path.exists(above / MARKER):  # noqa: PTH110  also where one may not look
            raise InputError(
                f"{own} is within {above}, which is marked as a storage",
                hint="a file in both would count as two copies; choose another directory",
            )


def _marked(driver: StorageDriver, access: Access, known: Storage, *, dry_run: bool) -> str:
    """Return the marker of a storage, which is in its root if that can be written.

    With `dry_run` none is made.
    """
    found = marker_of(driver) if not known.marker else None
    if found is not None:
        name = found.rpartition("-")[0] or found
        if name != access.storage:
            raise InputError(
                f"{access.root} is marked as storage {name!r}",
                hint="add it by that name, if it is the same",
            )
        return found
    writes = access.write > 0 and driver.capabilities.writes
    if not known.marker and not writes:
        return ""  # nobody of ours marks it, as long as we only read: an archive of others
    if dry_run and (not known.marker or (writes and marker_of(driver) is None)):
        return known.marker
    marker = known.marker or f"{access.storage}-{secrets.token_hex(8)}"
    if writes and not dry_run:
        write_marker(driver, marker)
    else:
        check_marker(driver, marker)
    return marker


def check_storages(
    settings: DataSettings, names: Sequence[str] = ()
) -> dict[tuple[str, str], Sequence[Finding]]:
    """Return what is found of storages, all if none is named, by name and root of each way.

    Raises:
        InputError: There is no such storage, or this zone has no way to it.
    """
    credentials, clock = settings.read_credentials(), SystemClock()
    with open_registry(settings, read_only=True) as registry:
        storages = [registry.storages.get(name) for name in names] or registry.storages.all()
        accesses = registry.storages.accesses(settings.zone)
    ways = [(one, way) for one in storages for way in accesses if way.storage == one.name]
    if missing := sorted(set(names) - {one.name for one, _ in ways}):
        raise InputError(
            f"the zone {settings.zone} has no way to {missing[0]}",
            hint=f"add one: euclid-dask storage add {missing[0]} URL --zone {settings.zone}",
        )
    return {(one.name, way.root): check_storage(one, way, credentials, clock) for one, way in ways}


class Whereabouts(Value, frozen=True, kw_only=True):
    """Where a file is, seen from one zone."""

    file: File
    replicas: tuple[Replica, ...]
    urls: tuple[str, ...]
    """How the zone reads it, the best way first."""
    pinned_by: tuple[str, ...] = ()
    history: tuple[Event, ...] = ()


def whereabouts(settings: DataSettings, names: Sequence[str]) -> list[Whereabouts]:
    """Return where files are.

    Raises:
        InputError: The registry does not know one of them.
    """
    with open_registry(settings, read_only=True) as registry:
        return whereabouts_of(registry, settings.zone, names)


def whereabouts_of(registry: Registry, zone: str, names: Sequence[str]) -> list[Whereabouts]:
    """Return where files are, seen from a zone.

    Raises:
        InputError: The registry does not know one of them.
    """
    refuse_unknown(registry, names)
    files = registry.files(names)
    replicas = registry.locate(names, frozenset(ReplicaState))
    accesses = registry.storages.accesses(zone)
    storages = {storage.name: storage for storage in registry.storages.all()}
    return [
        Whereabouts(
            file=files[name],
            replicas=tuple(replicas[name]),
            urls=tuple(place.url for place in locate(replicas[name], accesses, storages)),
            pinned_by=tuple(registry.pins.owners(name)),
            history=tuple(registry.history(name)),
        )
        for name in names
    ]


def ingest(
    settings: DataSettings,
    paths: Sequence[Path],
    *,
    values: Sequence[str] = (),
    dry_run: bool = False,
    watch: Callable[[Lying, int], None] = lambda _, __: None,
) -> tuple[Find, int]:
    """Register files where they lie; return what was found, and how many of it had to be read.

    What rules want of them is queued, for a mover. `watch` is called after each file, with the
    bytes of all files.

    Raises:
        InputError: Something is wrong with some files, and what. When it was seen before any was
            read, nothing is registered; else all others are, and products with all their files.
        StorageError: The disk of a storage is away.
        StoppedError: All is registered, and rules have still to be applied to it.
    """
    with open_registry(settings, read_only=dry_run) as registry:
        storages = registry.storages.all()
        found = survey(paths, storages, registry.storages.accesses(settings.zone), values)
        if dry_run:
            return found, 0
        total = found.size
        adopted = adopt(registry, found, lambda one: watch(one, total))
        try:
            Ruling(registry).catch_up()
        except InputError as error:  # as when a rule ends just now; nobody's files are wrong
            raise StoppedError(
                f"files are registered, and rules were not applied to all: {error.message}",
                hint="call it again: what is registered is not read again",
            ) from error
        adopted.check()
        return found, adopted.read


def is_in_storage(settings: DataSettings, path: Path) -> bool:
    """Tell whether a file is in a storage that hosts of this zone see as a directory."""
    return storage_around(settings, path) != ""


def storage_around(settings: DataSettings, path: Path) -> str:
    """Return the storage that hosts of this zone see around a path, "" if there is none."""
    real = path.resolve()
    with open_registry(settings, read_only=True) as registry:
        known = {one.name: one for one in registry.storages.all()}
        accesses = usable(registry.storages.accesses(settings.zone), known, Use.READ)
    for access in accesses:
        root = local_root(access)
        if root is not None and real.is_relative_to(root):
            return access.storage
    return ""


def refuse_unknown(registry: Registry, names: Sequence[str]) -> None:
    """Raise InputError when the registry does not know one of these files."""
    known = registry.exists(names)
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"the registry knows no file {unknown[0]}", hint="see `euclid-dask find`")
