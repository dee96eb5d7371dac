"""Looks at files where they lie, in storages that this host sees, before they are registered.

Rule: all is looked at, and everything that is wrong is told at once; no content is read but that
of products.

Paths of files are texts here: a `Path` of each takes longer than all else.
"""

import os
import stat as kinds
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value, replace
from euclid_dask.data.markers import check_marker
from euclid_dask.data.model import Access, Checksum, Product, Storage
from euclid_dask.data.names import name_problem
from euclid_dask.data.products import file_beside, read_product
from euclid_dask.data.resolve import Use, usable
from euclid_dask.data.storages.file import FileDriver


class Lying(Value, frozen=True, kw_only=True, gc=False):
    """A file that is to be registered, and where it lies."""

    name: str
    path: str
    """The real path on this host."""
    storage: str
    place: str
    """Relative to the storage's root."""
    size: int
    mtime_ns: int
    declared: tuple[Checksum, ...] = ()
    """What products say of its content."""


class Root(Value, frozen=True, kw_only=True):
    """A storage, and its directory on this host."""

    storage: Storage
    path: str

    def check(self) -> None:
        """Raise StorageError when the disk of the storage is not there."""
        if self.storage.marker:
            check_marker(FileDriver(Path(self.path)), self.storage.marker)


class Find(Value, frozen=True, kw_only=True):
    """What was found below the paths that somebody gave."""

    files: tuple[Lying, ...]
    products: Mapping[str, Product]
    """By the names of their XML files."""
    roots: tuple[Root, ...] = ()
    """All storages that this host sees, the innermost first."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files)


class Unit(Value, frozen=True, kw_only=True, gc=False):
    """What is registered together: a file, or a product and its files."""

    files: tuple[Lying, ...]
    products: Mapping[str, Product] = MappingProxyType({})


def units(found: Find) -> Iterator[Unit]:
    """Yield products with their files, and then the other files."""
    files = {one.name: one for one in found.files}
    named: set[str] = set()
    for xml in sorted(found.products):
        product = found.products[xml]
        names = dict.fromkeys([xml, *(file.name for file in product.files)])
        named.update(names)
        yield Unit(files=tuple(files[name] for name in names), products={xml: product})
    yield from (Unit(files=(one,)) for name, one in files.items() if name not in named)


def survey(
    paths: Iterable[Path],
    storages: Sequence[Storage],
    accesses: Sequence[Access],
    values: Sequence[str] = (),
    *,
    plain: Collection[Path] = (),
) -> Find:
    """Return what there is to be registered: the files, and of products the files they name.

    Args:
        paths: Files, products, and directories, of which all is taken but hidden files.
        storages: The storages of the registry.
        accesses: The access rows of this host's zone.
        values: Paths of texts by which products can be found, besides their headers.
        plain: Those of `paths` that are no products, also if they are XML.

    Raises:
        InputError: A file is in no storage, a product is odd, or two files have one name; all of
            them are told.
        StorageError: The disk of a storage is away, or another is in its place.
    """
    looking = _Looking(_roots(storages, accesses), values, plain)
    for path in paths:
        for file in _files_below(path, looking.problems):
            looking.take(file)
    return looking.found()


class _Looking:
    """Takes files one by one, and keeps what is wrong with them."""

    def __init__(
        self, roots: Sequence[Root], values: Sequence[str], plain: Collection[Path] = ()
    ) -> None:
        self.problems: list[str] = []
        self._roots = roots
        self._folder = cache(partial(_folder, roots))  # each is looked up once
        self._seen: set[str] = set()  # storages whose markers were seen
        self._values = values
        self._plain = frozenset(map(str, plain))
        self._names: dict[str, str] = {}  # what `_add` returned, by path
        self._files: dict[str, Lying] = {}
        self._products: dict[str, Product] = {}
        self._declared: dict[str, list[Checksum]] = {}

    def take(self, path: str) -> None:
        """Take a file, and if it is a product, the files that it names."""
        xml = self._add(path)
        if not xml or path[-4:].lower() != ".xml" or path in self._plain:
            return
        try:
            product = read_product(path, self._values)
        except InputError as error:
            self.problems.append(error.message)
            return
        self.problems += [f"product {path}: {problem}" for problem in product.problems]
        self._products[xml] = product
        for reference in product.files:
            if reference.checksum is not None:
                self._declared.setdefault(reference.name, []).append(reference.checksum)
            place = file_beside(path, reference.name)
            if place is None:
                self.problems.append(f"{path} names {reference.name}, which is not beside it")
            elif (name := self._add(place)) not in {"", reference.name}:
                self.problems.append(f"{place}, which {path} names, is a link to a file {name}")

    def found(self) -> Find:
        """Return what was taken, unless something is wrong."""
        if self.problems:
            lines = list(dict.fromkeys(self.problems))
            raise InputError(
                "nothing was registered:\n" + "\n".join(f"  {line}" for line in lines),
                hint="correct these, or leave them out",
            )
        return Find(
            files=tuple(
                replace(one, declared=tuple(self._declared[name]))
                if name in self._declared
                else one
                for name, one in self._files.items()
            ),
            products=self._products,
            roots=tuple(self._roots),
        )

    def _add(self, path: str) -> str:
        """Take a file, at whatever path it is met, once; return its name, "" if it is refused."""
        above = path.rfind("/") + 1
        folder = self._folder(path[:above])
        real = folder.path + path[above:]
        if real not in self._names:
            self._names[real] = self._look(path, real, folder)
        return self._names[real]

    def _look(self, path: str, real: str, folder: "_Folder") -> str:
        """Take the file at `path`, whose folder is no link in `real`, as `_add` does."""
        try:
            status = os.lstat(real)
            if kinds.S_ISLNK(status.st_mode):
                real = os.path.realpath(real)
                status = os.stat(real)  # noqa: PTH116
                folder = self._folder(real[: real.rfind("/") + 1])
        except OSError as error:
            self.problems.append(f"{path} cannot be looked at: {error.strerror}")
            return ""
        name = real.removeprefix(folder.path)
        if problem := self._problem(name, status, folder):
            self.problems.append(f"{path}{problem}")
            return ""
        assert folder.root is not None
        if folder.root.storage.name not in self._seen:
            folder.root.check()
            self._seen.add(folder.root.storage.name)
        lying = Lying(
            name=name,
            path=real,
            storage=folder.root.storage.name,
            place=folder.place + name,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
        )
        other = self._files.setdefault(name, lying)
        if other.path != real:
            self.problems.append(f"{other.path} and {real} have one name")
            return ""
        return name

    def _problem(self, name: str, status: os.stat_result, folder: "_Folder") -> str:
        """Return why a file cannot be registered, as the end of a sentence; "" if it can."""
        if problem := name_problem(name):
            return f": its name {problem}"
        if not kinds.S_ISREG(status.st_mode):
            return " is not a regular file"
        if folder.root is None:
            told = ", ".join(f"{root.storage.name} ({root.path})" for root in self._roots) or "none"
            return f" is in no storage; those of this zone are: {told}"
        return ""


class _Folder(Value, frozen=True, kw_only=True):
    """Where a folder really is; paths end with a slash, but that of a root, which is empty."""

    path: str
    root: Root | None
    """The innermost storage that it is in, None if it is in none."""
    place: str = ""
    """Relative to the storage's root."""


def _folder(roots: Sequence[Root], path: str) -> _Folder:
    real = os.path.join(os.path.realpath(path), "")  # noqa: PTH118
    for root in roots:
        top = os.path.join(root.path, "")  # noqa: PTH118
        if real.startswith(top):
            return _Folder(path=real, root=root, place=real.removeprefix(top))
    return _Folder(path=real, root=None)


def _roots(storages: Sequence[Storage], accesses: Sequence[Access]) -> list[Root]:
    """Return the storages that are directories of this host, the innermost first."""
    named = {storage.name: storage for storage in storages}
    found = [
        Root(storage=named[access.storage], path=str(root))
        for access in usable(accesses, named, Use.READ)
        if (root := local_root(access)) is not None
    ]
    return sorted(found, key=lambda root: (-len(Path(root.path).parts), root.storage.name))


def local_root(access: Access) -> Path | None:
    """Return the directory that an access row means on its hosts, None if it means none."""
    url = urlsplit(access.root)
    return Path(unquote(url.path)).resolve() if url.scheme == "file" else None


def _files_below(path: Path, problems: list[str]) -> Iterator[str]:
    if not path.is_dir():
        if not path.exists():
            raise InputError(f"{path}: there is no such file")
        yield str(path)
        return

    def unread(error: OSError) -> None:
        problems.append(f"{error.filename} cannot be looked into: {error.strerror}")

    for folder, folders, names in os.walk(path, onerror=unread):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        # of the folder "." as `Path` writes it
        start = os.path.join(folder, "").removeprefix("./")  # noqa: PTH118
        yield from (start + name for name in sorted(names) if not name.startswith("."))
