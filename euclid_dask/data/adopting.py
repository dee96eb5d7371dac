"""Registers files where they lie, in storages that this host sees: no byte is copied.

Rule 1: all is looked at, and everything that is wrong is told, before anything is registered.
Rule 2: doing it again changes nothing, and reads only what is new or changed.
"""

import os
import stat as kinds
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.hashing import CHUNK_BYTES, Hasher, mismatch, wanted
from euclid_dask.data.markers import check_marker
from euclid_dask.data.model import Access, Checksum, File, Product, Replica, Storage
from euclid_dask.data.names import name_problem, shown
from euclid_dask.data.products import file_beside, read_product
from euclid_dask.data.registry import Registry
from euclid_dask.data.resolve import Use, usable
from euclid_dask.data.storages.file import FileDriver

BATCH: Final = 1000
"""Files that are registered at once."""


class Lying(Value, frozen=True, kw_only=True):
    """A file that is to be registered, and where it lies."""

    path: str
    """The real path on this host."""
    storage: str
    place: str
    """Relative to the storage's root."""
    size: int
    mtime_ns: int
    declared: tuple[Checksum, ...] = ()
    """What products say of its content."""

    @property
    def name(self) -> str:
        """The name of the file."""
        return os.path.basename(self.path)  # noqa: PTH119


class Find(Value, frozen=True, kw_only=True):
    """What was found below the paths that somebody gave."""

    files: tuple[Lying, ...]
    products: Mapping[str, Product]
    """By the names of their XML files."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files)


def survey(
    paths: Iterable[Path],
    storages: Sequence[Storage],
    accesses: Sequence[Access],
    values: Sequence[str] = (),
) -> Find:
    """Return what there is to be registered: the files, and of products the files they name.

    Args:
        paths: Files, products, and directories, of which all is taken but hidden files.
        storages: The storages of the registry.
        accesses: The access rows of this host's zone.
        values: Paths of texts by which products can be found, besides their headers.

    Raises:
        InputError: A file is in no storage, a product is odd, or two files have one name; all of
            them are told.
        StorageError: The disk of a storage is away, or another is in its place.
    """
    roots = _roots(storages, accesses)
    looking = _Looking(roots, {one.name: one.marker for one in storages}, values)
    for path in paths:
        for file in _files_below(path):
            looking.take(file)
    return looking.found()


def adopt(registry: Registry, found: Find, watch: Callable[[Lying], None] = lambda _: None) -> int:
    """Register what a survey found; return how many files had to be read.

    Raises:
        InputError: A file is not what a product says, or its name has another content already.
    """
    known = _known(registry, found.files)
    batch: list[tuple[File, Replica]] = []
    read = 0
    for one in found.files:
        if one.path not in known:
            batch.append(_read(one))
            read += 1
        watch(one)
        if len(batch) == BATCH:
            _register(registry, batch)
            batch = []
    _register(registry, batch)
    names = sorted(found.products)
    for first in range(0, len(names), BATCH):
        some = {name: found.products[name] for name in names[first : first + BATCH]}
        registry.register(products=some)
    return read


class _Looking:
    """Takes files one by one, and keeps what is wrong with them."""

    def __init__(
        self, roots: Sequence[tuple[Path, str]], markers: Mapping[str, str], values: Sequence[str]
    ) -> None:
        self._roots = roots
        self._markers = dict(markers)
        self._values = values
        self._files: dict[str, Lying] = {}
        self._products: dict[str, Product] = {}
        self._declared: dict[str, list[Checksum]] = {}
        self._problems: list[str] = []

    def take(self, path: Path) -> None:
        """Take a file, and if it is a product, the files that it names."""
        if not self._add(path) or path.suffix.lower() != ".xml":
            return
        try:
            product = read_product(path, self._values)
        except InputError as error:
            self._problems.append(error.message)
            return
        self._problems += [f"product {path}: {problem}" for problem in product.problems]
        self._products[path.name] = product
        for reference in product.files:
            if reference.checksum is not None:
                self._declared.setdefault(reference.name, []).append(reference.checksum)
            place = file_beside(path, reference.name)
            if place is None:
                self._problems.append(f"{path} names {reference.name}, which is not beside it")
            else:
                self._add(place)

    def found(self) -> Find:
        """Return what was taken, unless something is wrong."""
        if self._problems:
            lines = list(dict.fromkeys(self._problems))
            raise InputError(
                "nothing was registered:\n" + "\n".join(f"  {line}" for line in lines),
                hint="correct these, or leave them out",
            )
        return Find(
            files=tuple(
                Lying(
                    path=one.path,
                    storage=one.storage,
                    place=one.place,
                    size=one.size,
                    mtime_ns=one.mtime_ns,
                    declared=tuple(self._declared.get(one.name, ())),
                )
                for one in self._files.values()
            ),
            products=self._products,
        )

    def _add(self, path: Path) -> bool:
        real = path.resolve()
        if problem := name_problem(real.name):
            self._problems.append(f"{path}: its name {problem}")
            return False
        status = real.stat()
        if not kinds.S_ISREG(status.st_mode):
            self._problems.append(f"{path} is not a regular file")
            return False
        storage = next((pair for pair in self._roots if real.is_relative_to(pair[0])), None)
        if storage is None:
            told = ", ".join(f"{name} ({root})" for root, name in self._roots) or "none"
            self._problems.append(f"{path} is in no storage; those of this zone are: {told}")
            return False
        if marker := self._markers.pop(storage[1], ""):
            check_marker(FileDriver(storage[0]), marker)
        other = self._files.get(real.name)
        if other is not None and other.path != str(real):
            self._problems.append(f"{other.path} and {real} have one name")
            return False
        self._files[real.name] = Lying(
            path=str(real),
            storage=storage[1],
            place=real.relative_to(storage[0]).as_posix(),
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
        )
        return True


def _roots(storages: Sequence[Storage], accesses: Sequence[Access]) -> list[tuple[Path, str]]:
    """Return directories and the storages they are, the innermost first."""
    named = {storage.name: storage for storage in storages}
    found = [
        (root, access.storage)
        for access in usable(accesses, named, Use.READ)
        if (root := local_root(access)) is not None
    ]
    return sorted(found, key=lambda pair: (-len(pair[0].parts), pair[1]))


def local_root(access: Access) -> Path | None:
    """Return the directory that an access row means on its hosts, None if it means none."""
    url = urlsplit(access.root)
    return Path(unquote(url.path)).resolve() if url.scheme == "file" else None


def _files_below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        if not path.exists():
            raise InputError(f"{path}: there is no such file")
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _known(registry: Registry, files: Sequence[Lying]) -> frozenset[str]:
    """Return the paths of files that are registered there as they are now."""
    names = [one.name for one in files]
    replicas, known = registry.locate(names), registry.files(names)
    return frozenset(
        one.path
        for one in files
        for replica in replicas[one.name]
        if (replica.storage, replica.path, replica.mtime_ns)
        == (one.storage, one.place, one.mtime_ns)
        and {checksum.algorithm for checksum in one.declared} <= set(wanted(known[one.name]))
    )


def _read(one: Lying) -> tuple[File, Replica]:
    """Return a file and its replica, with the checksums of what is there."""
    hasher = Hasher({checksum.algorithm for checksum in one.declared})
    with open(one.path, "rb", buffering=0) as file:  # noqa: PTH123
        while data := file.read(CHUNK_BYTES):
            hasher.update(data)
        status = os.fstat(file.fileno())
    if (status.st_size, status.st_mtime_ns, hasher.size) != (one.size, one.mtime_ns, one.size):
        raise InputError(f"{one.path} changed while it was read", hint="wait until it is written")
    said = File(name=one.name, size=one.size, checksums=one.declared)
    if problem := mismatch(said, hasher.size, hasher.checksums()):
        raise InputError(f"{one.path} is not what its product says: {problem}")
    replica = Replica(
        file=one.name, storage=one.storage, path=one.place, adopted=True, mtime_ns=one.mtime_ns
    )
    return File(name=one.name, size=one.size, checksums=hasher.checksums()), replica


def _register(registry: Registry, batch: Sequence[tuple[File, Replica]]) -> None:
    if not batch:
        return
    try:
        registry.register([file for file, _ in batch], [replica for _, replica in batch])
    except InputError as error:
        names = {file.name for file, _ in batch}
        taken = next((name for name in sorted(names) if shown(name) in error.message), "")
        hint = error.hint or (taken and "a name never gets other content: rename the file")
        raise InputError(error.message, hint=hint) from error
