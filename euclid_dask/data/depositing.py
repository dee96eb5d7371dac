"""Puts files that lie anywhere on this host into a storage, and registers them there.

    copy    its part is compared with all that is known of the file, and gets its name
    register    files, replicas and the product that names them, all of them or none

Rule 1: nothing is replaced. A name that has other content is refused, in the storage and in the
registry; content that is there already is not copied again.
Rule 2: the file comes first, then its row: what a crash leaves is found when it is put again.
Rule 3: a product comes after all its files, and not at all if one of them is refused.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value, replace
from euclid_dask.data.copying import Copier, new_path
from euclid_dask.data.drivers import Drivers
from euclid_dask.data.hashing import hash_chunks, mismatch, wanted
from euclid_dask.data.model import (
    Access,
    File,
    Replica,
    ReplicaState,
    Storage,
    Transfer,
    TransferState,
)
from euclid_dask.data.outcomes import Arrived, Copied, Failed, Job
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.unruled import UNRULED
from euclid_dask.data.resolve import Location, Use
from euclid_dask.data.resolve import locate as located
from euclid_dask.data.storage import BLOCK_BYTES, StorageError
from euclid_dask.data.survey import Find, Lying, Unit, local_root, units
from euclid_dask.data.together import groups

THREADS: Final = 4
"""Files that are copied at once."""
BATCH: Final = 100
"""Files that are registered together, at least."""
HERE: Final = Storage(name="", marker="")
"""This host's file system, as a storage that has all its files."""


def here(zone: str) -> Access:
    """Return how the whole file system of this host is reached."""
    return Access(storage=HERE.name, zone=zone, root="file:///")


class Put(Value, frozen=True, kw_only=True):
    """What became of files that were to be put into a storage."""

    copied: tuple[str, ...] = ()
    """Names of files that are there now."""
    kept: tuple[str, ...] = ()
    """Names of files that were there, with the same content."""
    products: tuple[str, ...] = ()
    """Ids of products that are registered with all their files."""
    refused: Mapping[str, str] = MappingProxyType({})
    """Names of files that are not there, and why."""


@dataclass(kw_only=True)
class _Batch:
    """Files that were brought, or were there, until they are registered."""

    arrived: dict[str, Arrived] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)


class Depositor:
    """Puts what a survey found into one storage."""

    def __init__(
        self,
        registry: Registry,
        drivers: Drivers,
        storage: str,
        zone: str,
        watch: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Take a registry, a maker of drivers, the storage, and the zone of this host.

        `watch` is called with the bytes of each block that was written, from any thread.

        Raises:
            InputError: The storage is not known, or not written from this zone.
        """
        self._registry = registry
        self._drivers = drivers
        self._zone = zone
        self._storage = registry.storages.get(storage)
        self._accesses = registry.storages.accesses(zone)
        self._copier = Copier(open_driver=drivers, watch=watch)
        self._done = Put()
        if self._storage.one_writer:
            raise InputError(
                f"{storage} can only be written by one process at a time",
                hint="register the files where they lie (euclid-dask ingest) or put them into "
                "another storage, and have a mover copy them, which takes its turn: "
                f"euclid-dask replicate NAME... --to {storage}",
            )
        self._target("x", "x")  # there is a way

    def check(self, found: Find) -> None:
        """Refuse what can be seen to be wrong before anything is copied.

        Raises:
            InputError: Files lie in the storage already, their names are taken, or the quota of
                the storage has no room for them.
        """
        root = local_root(self._target("x", "x").access)
        known = self._registry.files([one.name for one in found.files])
        problems = [
            f"{one.path} lies in {self._storage.name} already: `ingest` registers it there"
            for one in found.files
            if root is not None and one.path.startswith(f"{root}/")
        ]
        problems += [
            f"{one.path}: the name is taken by a file of {known[one.name].size} bytes"
            for one in found.files
            if one.name in known and known[one.name].size != one.size
        ]
        if problems:
            raise InputError(
                "nothing was put:\n" + "\n".join(f"  {one}" for one in problems),
                hint="a name never gets other content",
            )
        self._check_room(found)

    def _check_room(self, found: Find) -> None:
        name = self._storage.name
        there = self._registry.locate([one.name for one in found.files], frozenset(ReplicaState))
        new = {
            one.name: one.size
            for one in found.files
            if name not in {replica.storage for replica in there[one.name]}
        }
        self._registry.quotas.refuse_overfull(name, sum(new.values()))

    def put(self, found: Find) -> Put:
        """Copy and register files and products; return what became of them."""
        with ThreadPoolExecutor(THREADS, "depositor") as pool:
            for some in _batches(found):
                batch = _Batch()
                self._copy(pool, batch, [one for unit in some for one in _data(unit)])
                whole = [unit for unit in some if _is_whole(unit, batch)]
                self._copy(pool, batch, [one for unit in whole for one in _xml(unit)])
                whole = [unit for unit in whole if _is_whole(unit, batch)]
                alone = [one for unit in some if unit not in whole for one in unit.files]
                self._register(whole, batch)
                self._register([Unit(files=(one,)) for one in alone], batch)
                self._tell(some, batch)
        return self._done

    def _copy(self, pool: ThreadPoolExecutor, batch: _Batch, files: Sequence[Lying]) -> None:
        """Bring files into the storage."""
        seen = batch.arrived.keys() | batch.kept | batch.refused.keys()
        new = list({it.name: it for it in files if it.name not in seen}.values())
        names = [one.name for one in new]
        known = self._registry.files(names)
        there = self._registry.locate(names, frozenset(ReplicaState))
        contested = self._registry.deletions.contested(names)
        asked = {
            one.name: pool.submit(
                self._job,
                one,
                known.get(one.name),
                there[one.name],
                new_path(one.name, contested.get((one.name, self._storage.name), 0)),
            )
            for one in new
        }
        jobs = []
        for name, future in asked.items():
            try:
                if (job := future.result()) is None:
                    batch.kept.add(name)
                else:
                    jobs.append(job)
            except (InputError, StorageError) as error:
                batch.refused[name] = error.message
        for brought in [pool.submit(self._bring, group) for group in groups(jobs)]:
            for outcome in brought.result():
                name = outcome.job.file.name
                if isinstance(outcome, Failed):
                    batch.refused[name] = outcome.error.message
                else:
                    batch.arrived[name] = outcome

    def _job(
        self, lying: Lying, known: File | None, there: Sequence[Replica], path: str
    ) -> Job | None:
        """Return how a file comes to a path, None when a replica is there, and it is the same.

        Raises:
            InputError: It is not the file of this name, or a replica is in the way.
            StorageError: It cannot be read.
        """
        content = _content(lying, known)
        for replica in there:
            if replica.storage == self._storage.name:
                if replica.state is not ReplicaState.AVAILABLE:
                    raise InputError(
                        f"the replica in {replica.storage} is {replica.state}: have it checked, or "
                        "removed first"
                    )
                self._check_same(lying, content)
                return None
        return Job(
            transfer=Transfer(
                id=2**40 + secrets.randbits(40),  # of no transfer: the name of its part is its own
                file=lying.name,
                destination=self._storage.name,
                state=TransferState.RUNNING,
                fence=1,
            ),
            file=content,
            storage=self._storage,
            target=self._target(lying.name, path),
            sources=((Location(access=here(self._zone), path=lying.place), HERE),),
        )

    def _bring(self, group: Sequence[Job]) -> list[Arrived | Failed]:
        outcomes = self._copier.prepare(group)
        copied = [one for one in outcomes if isinstance(one, Copied)]
        ended = [one for one in outcomes if not isinstance(one, Copied)]
        return [*ended, *self._copier.publish(copied)]

    def _check_same(self, lying: Lying, content: File) -> None:
        with self._drivers(here(self._zone)).open_read(lying.place) as reader:
            blocks = iter(lambda: reader.read(BLOCK_BYTES), b"")
            hasher = hash_chunks(blocks, wanted(content))
        if problem := mismatch(content, hasher.size, hasher.checksums()):
            raise InputError(f"{lying.path} is not the file of this name: {problem}")

    def _target(self, name: str, path: str) -> Location:
        wish = Replica(file=name, storage=self._storage.name, path=path)
        storages = {self._storage.name: self._storage}
        found = located([wish], self._accesses, storages, use=Use.WRITE)
        if not found:
            raise InputError(
                f"the zone {self._zone} does not write to {self._storage.name}, which is "
                f"{self._storage.state}",
                hint="see `euclid-dask storage list`",
            )
        return found[0]

    def _register(self, some: Sequence[Unit], batch: _Batch) -> None:
        """Register units together; when one of them is refused, each by itself."""
        try:
            self._add(some, batch)
        except InputError as error:
            if len(some) == 1:
                self._refuse(some[0], batch, error.message)
                return
            for unit in some:
                self._register([unit], batch)

    def _add(self, some: Sequence[Unit], batch: _Batch) -> None:
        names = dict.fromkeys(one.name for unit in some for one in unit.files)
        arrived = [batch.arrived[name] for name in names if name in batch.arrived]
        products = {xml: product for unit in some for xml, product in unit.products.items()}
        if arrived or products:
            self._registry.register(
                [one.content for one in arrived],
                [one.arrival().replica for one in arrived],
                products,
                owner=UNRULED,
            )

    def _refuse(self, unit: Unit, batch: _Batch, why: str) -> None:
        """Tell that a unit is not registered; of a product, its files may be nevertheless."""
        if unit.products:
            for one in _data(unit):
                self._register([Unit(files=(one,))], batch)
        for one in _xml(unit) or unit.files:
            batch.refused[one.name] = why
            if arrived := batch.arrived.pop(one.name, None):
                self._take_back(arrived)

    def _take_back(self, arrived: Arrived) -> None:
        """Remove a file that we brought and the registry refuses, as it will from anybody."""
        name, target = arrived.job.file.name, arrived.job.target
        known = self._registry.locate([name], frozenset(ReplicaState))[name]
        if arrived.method == "copy" and self._storage.name not in {it.storage for it in known}:
            with suppress(StorageError):
                self._drivers(target.access).unlink(target.path)

    def _tell(self, some: Sequence[Unit], batch: _Batch) -> None:
        done = self._done
        products = [
            product.product_id
            for unit in some
            for xml, product in unit.products.items()
            if xml not in batch.refused
        ]
        self._done = Put(
            copied=(*done.copied, *batch.arrived),
            kept=(*done.kept, *sorted(batch.kept)),
            products=(*done.products, *products),
            refused={**done.refused, **batch.refused},
        )


def _data(unit: Unit) -> tuple[Lying, ...]:
    return tuple(one for one in unit.files if one.name not in unit.products)


def _xml(unit: Unit) -> tuple[Lying, ...]:
    return tuple(one for one in unit.files if one.name in unit.products)


def _is_whole(unit: Unit, batch: _Batch) -> bool:
    """Tell whether no file of a unit is refused; else its product is."""
    refused = [one.name for one in unit.files if one.name in batch.refused]
    if refused:
        for xml in unit.products:
            batch.refused.setdefault(xml, f"{refused[0]} is not there")
    return not refused


def _content(lying: Lying, known: File | None) -> File:
    """Return all that is known of a file: what the registry says, and what products declare."""
    said = known or File(name=lying.name, size=lying.size)
    values = {one.algorithm: one for one in said.checksums}
    for one in lying.declared:
        if values.setdefault(one.algorithm, one).value != one.value:
            raise InputError(
                f"{one.algorithm} is {values[one.algorithm].value}, and a product declares "
                f"{one.value}"
            )
    return replace(said, checksums=tuple(values.values()))


def _batches(found: Find) -> Iterator[list[Unit]]:
    """Yield products with their files, and the other files, some at a time."""
    batch: list[Unit] = []
    size = 0
    for unit in units(found):
        batch.append(unit)
        size += len(unit.files)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
