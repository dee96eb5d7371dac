"""Where a file can be reached from one zone, as URLs made at the last moment.

Rule: pure, and a total order: the same rows give the same answer every time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from euclid_dask.core.values import Value
from euclid_dask.data.model import Access, Replica, ReplicaState, Storage, StorageState
from euclid_dask.data.names import quoted

SCHEME_COSTS: Final[Mapping[str, int]] = MappingProxyType(
    {"file": 0, "s3": 1, "http": 1, "https": 1, "dav": 1, "davs": 1, "sftp": 2}
)
"""Which scheme is taken where priorities are equal; those that are not named come last."""

NO_FAILURES: Final[Mapping[str, int]] = MappingProxyType({})


class Use(StrEnum):
    """What one wants to do in a storage."""

    READ = "read"
    """Read or list."""
    WRITE = "write"
    """Add a file."""
    DELETE = "delete"
    """Remove a file."""


class Location(Value, frozen=True, kw_only=True):
    """A path in a storage, as one zone reaches it."""

    access: Access
    path: str
    mtime_ns: int | None = None
    """The replica's time when it was verified, where it is known."""

    @property
    def url(self) -> str:
        """Its URL, without user or password."""
        return f"{self.access.root.rstrip('/')}/{quoted(self.path)}"


def scheme(access: Access) -> str:
    """Return the scheme of an access row, as `sftp`."""
    return access.root.partition(":")[0]


def scheme_cost(access: Access) -> int:
    """Return how dear the scheme of an access row is; 0 is cheapest."""
    return SCHEME_COSTS.get(scheme(access), 3)


def priority(access: Access, use: Use) -> int:
    """Return the priority of an access row for a use; 1 is best, 0 is never."""
    match use:
        case Use.READ:
            return access.read
        case Use.WRITE:
            return access.write
        case Use.DELETE:
            return access.delete


def allowed(storage: Storage | None, use: Use) -> bool:
    """Tell whether a storage may be used so; None is one that nobody knows."""
    if storage is None or storage.state is StorageState.DISABLED:
        return False
    return use is Use.READ or storage.state is StorageState.ENABLED


def usable(
    accesses: Iterable[Access], storages: Mapping[str, Storage], use: Use
) -> Iterator[Access]:
    """Yield the access rows by which storages may be used so.

    Args:
        accesses: Any access rows.
        storages: The storages by name.
        use: What is to be done.
    """
    for access in accesses:
        if priority(access, use) and allowed(storages.get(access.storage), use):
            yield access


def locate(
    replicas: Iterable[Replica],
    accesses: Sequence[Access],
    storages: Mapping[str, Storage],
    *,
    use: Use = Use.READ,
    prefer: Sequence[str] = (),
    failures: Mapping[str, int] = NO_FAILURES,
) -> tuple[Location, ...]:
    """Return where a file can be reached, the best place first.

    A caller tries them in order; what fails speaks against the access row, not against the file.

    Args:
        replicas: The file's replicas; only available ones are looked at.
        accesses: The access rows of one zone.
        storages: The storages by name.
        use: What is to be done with the replica.
        prefer: Schemes to take first, best first.
        failures: How often access rows failed lately, by their root.
    """
    ranks = {name: rank for rank, name in enumerate(prefer)}
    held: dict[str, list[Replica]] = {}
    for replica in replicas:
        if replica.state is ReplicaState.AVAILABLE:
            held.setdefault(replica.storage, []).append(replica)

    def order(place: Location) -> tuple[int, int, int, int, str, str, str]:
        access = place.access
        return (
            ranks.get(scheme(access), len(ranks)),
            priority(access, use),
            scheme_cost(access),
            failures.get(access.root, 0),
            access.storage,
            access.root,
            place.path,
        )

    near = (access for access in accesses if access.storage in held)  # few of many, so first
    found = [
        Location(access=access, path=replica.path, mtime_ns=replica.mtime_ns)
        for access in usable(near, storages, use)
        for replica in held[access.storage]
    ]
    return tuple(sorted(found, key=order) if len(found) > 1 else found)
