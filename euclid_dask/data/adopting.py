"""Registers files where they lie, as a survey found them: no byte is copied.

Rule 1: a product is registered in one step with all its files, or not at all; what is wrong with
one keeps no other from being registered.
Rule 2: what is registered is on the disk, and in the storage that it is said to be in.
Rule 3: doing it again changes nothing, and reads only what is new or changed.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value, replace
from euclid_dask.data.hashing import CHUNK_BYTES, Hasher, mismatch, wanted
from euclid_dask.data.local import sync_directory, sync_file
from euclid_dask.data.model import File, Replica
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.unruled import UNRULED
from euclid_dask.data.storage import same_time
from euclid_dask.data.storages.failures import failures_of
from euclid_dask.data.survey import Find, Lying, Root, Unit, units

BATCH: Final = 1000
"""Files that are registered at once, and those of one product besides."""
_SYNCS: Final = 8
"""Files that are written to the disk at once."""
_TOLD: Final = 100
"""Most problems that are told."""


class Adopted(Value, frozen=True, kw_only=True):
    """What came of it."""

    read: int
    """How many files had to be read."""
    problems: tuple[str, ...] = ()
    """Why some files were not registered, and the products that name them."""

    def check(self) -> None:
        """Raise InputError when something was not registered."""
        if self.problems:
            more = len(self.problems) - _TOLD
            told = [*self.problems[:_TOLD], *([f"and {more} more"] if more > 0 else [])]
            raise InputError(
                "all was registered but what follows:\n" + "\n".join(f"  {it}" for it in told),
                hint="mend it, and call it again: what is registered is not read again",
            )


def adopt(
    registry: Registry, found: Find, watch: Callable[[Lying], None] = lambda _: None
) -> Adopted:
    """Register what a survey found, and tell what is refused.

    That is what is not as a product says, cannot be read, or has the name of another content.
    Rules have still to look at what is registered; until then it is pinned for them.

    Raises:
        StorageError: The disk of a storage went away meanwhile, or cannot be written to.
    """
    adopter = _Adopter(registry, found, watch)
    for unit in units(found):
        adopter.take(unit)
    adopter.register()
    return Adopted(read=adopter.read, problems=tuple(adopter.problems))


_Read = tuple[Unit, list[tuple[Lying, File]]]
"""A unit, and what of it was read."""


class _Adopter:
    """Reads and registers, and keeps what is wrong."""

    def __init__(self, registry: Registry, found: Find, watch: Callable[[Lying], None]) -> None:
        self.read = 0
        self.problems: dict[str, None] = {}
        self._registry = registry
        self._watch = watch
        self._roots = found.roots
        self._durable = {root.storage.name for root in found.roots if root.storage.durable}
        names = [one.name for one in found.files]
        self._known = registry.files(names)
        self._replicas = registry.locate(names)
        self._done: set[str] = set()  # names of files that are read, or need not be
        self._batch: list[_Read] = []
        self._size = 0

    def take(self, unit: Unit) -> None:
        """Read what is new of a unit, and register it sooner or later."""
        new: list[tuple[Lying, File]] = []
        fresh = [one for one in unit.files if one.name not in self._done]
        try:
            for one in fresh:
                if not self._is_known(one):
                    self._refuse_second_name(one)
                    new.append((one, _read(one)))
                    self.read += 1
        except InputError as error:
            self.problems[error.message] = None
            return
        for one in fresh:
            self._done.add(one.name)
            self._watch(one)
        self._batch.append((unit, new))
        self._size += len(new) + len(unit.products)
        if self._size >= BATCH:
            self.register()

    def register(self) -> None:
        """Register what was taken, all at once but for what is refused."""
        batch, self._batch, self._size = self._batch, [], 0
        _make_durable([one for _, new in batch for one, _ in new], self._roots)
        self._register(batch)

    def _register(self, batch: Sequence[_Read]) -> None:
        files = [file for _, new in batch for _, file in new]
        replicas = [_replica(one) for _, new in batch for one, _ in new]
        products = {xml: product for unit, _ in batch for xml, product in unit.products.items()}
        if not files and not products:
            return
        try:
            self._registry.register(files, replicas, products, owner=UNRULED)
        except InputError as error:
            if len(batch) == 1:
                hint = f" ({error.hint})" if error.hint else ""
                self.problems[f"{error.message}{hint}"] = None
                return
            middle = len(batch) // 2
            self._register(batch[:middle])
            self._register(batch[middle:])

    def _is_known(self, one: Lying) -> bool:
        """Tell whether a file is registered there as it is now, with all that is said of it."""
        known = self._known.get(one.name)
        if known is None:
            return False
        declared = {checksum.algorithm for checksum in one.declared}
        return any(
            (replica.storage, replica.path, known.size) == (one.storage, one.place, one.size)
            and same_time(replica.mtime_ns, one.mtime_ns)
            and declared <= set(wanted(known))
            for replica in self._replicas[one.name]
        )

    def _refuse_second_name(self, one: Lying) -> None:
        """Refuse a file that is registered elsewhere already: it would count as two copies."""
        for replica in self._replicas[one.name]:
            both = {replica.storage, one.storage}
            if len(both) == 1 or not both <= self._durable:
                continue
            for root in self._roots:
                path = Path(root.path, replica.path)
                if root.storage.name == replica.storage and _is_same(path, one.path):
                    raise InputError(
                        f"{one.path} is {path} in {replica.storage}: one file counts as one copy"
                    )


def _read(one: Lying) -> File:
    """Return a file with the checksums of what is there.

    Raises:
        InputError: It cannot be read, changes meanwhile, or is not what products say.
    """
    hasher = Hasher({checksum.algorithm for checksum in one.declared})
    try:
        with open(one.path, "rb", buffering=0) as file:  # noqa: PTH123
            while data := file.read(CHUNK_BYTES):
                hasher.update(data)
            status = os.fstat(file.fileno())
    except OSError as error:
        raise InputError(f"{one.path} cannot be read: {error.strerror}") from error
    if (status.st_size, status.st_mtime_ns, hasher.size) != (one.size, one.mtime_ns, one.size):
        raise InputError(f"{one.path} changed while it was read: wait until it is written")
    said = File(name=one.name, size=one.size, checksums=one.declared)
    found = replace(said, checksums=hasher.checksums())
    if problem := mismatch(said, found.size, found.checksums):
        raise InputError(f"{one.path} is not what its product says: {problem}")
    return found


def _replica(one: Lying) -> Replica:
    return Replica(
        file=one.name, storage=one.storage, path=one.place, adopted=True, mtime_ns=one.mtime_ns
    )


def _make_durable(files: Sequence[Lying], roots: Sequence[Root]) -> None:
    """Write files and their names to the disk, and see that they are where they are said to be.

    Raises:
        StorageError: A disk is away, or does not take them.
    """
    storages = {one.storage for one in files}
    one_of_each = {one.path.rpartition("/")[0]: one for one in files}  # by their folders
    folders = {
        str(folder)
        for one in one_of_each.values()
        for folder, _ in zip(Path(one.path).parents, Path(one.place).parents, strict=False)
    }
    with ThreadPoolExecutor(_SYNCS, "sync") as pool:
        _sync(pool, sync_file, [one.path for one in files])
        _sync(pool, sync_directory, list(folders))
    for root in roots:
        if root.storage.name in storages:
            root.check()


def _sync(pool: ThreadPoolExecutor, sync: Callable[[str], None], paths: Sequence[str]) -> None:
    """Write all of these to the disk: each thread has its share."""

    def take(share: Sequence[str]) -> None:
        for path in share:
            with failures_of(path):
                sync(path)

    for _ in pool.map(take, [paths[first::_SYNCS] for first in range(_SYNCS)]):
        pass


def _is_same(path: Path, other: str) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False
