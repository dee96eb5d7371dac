"""Where this host finds products and all files that they name, so that they can be staged."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.markers import check_marker
from euclid_dask.data.model import Access, File, Storage
from euclid_dask.data.registry import Registry
from euclid_dask.data.resolve import Use, locate, usable
from euclid_dask.data.stage import Source
from euclid_dask.data.storage import StorageError
from euclid_dask.data.storages.file import FileDriver
from euclid_dask.data.survey import local_root


class Wanted(Value, frozen=True, kw_only=True):
    """A file that is wanted in a workdir."""

    name: str
    place: str
    """Relative to the workdir."""
    product: str
    """The id of the product that it is, or that names it."""


def wanted_files(registry: Registry, products: Mapping[str, str]) -> list[Wanted]:
    """Return products and the files that they name, each once.

    Args:
        registry: Knows what products name.
        products: The names of XML files by the ids of their products.

    Raises:
        InputError: The registry does not know a product.
    """
    known = registry.products(list(products))
    if missing := [one for one in products if one not in known]:
        raise InputError(f"the registry knows no product {missing[0]}")
    found: dict[str, Wanted] = {}
    for key, xml in products.items():
        found.setdefault(xml, Wanted(name=xml, place=xml, product=key))
        for file in known[key].files:
            wanted = Wanted(name=file.name, place=f"data/{file.name}", product=key)
            found.setdefault(file.name, wanted)
    return list(found.values())


def sources(registry: Registry, wanted: Sequence[Wanted], zone: str) -> list[Source]:
    """Return where the hosts of a zone see files in their file systems.

    Raises:
        InputError: The zone does not see some of them.
        StorageError: The disk of a storage is away that has some.
    """
    names = [one.name for one in wanted]
    files, replicas = registry.files(names), registry.locate(names)
    storages = {storage.name: storage for storage in registry.storages.all()}
    seen, roots, away = _seen(registry.storages.accesses(zone), storages)
    found: list[Source] = []
    for one in wanted:
        places = locate(replicas[one.name], seen, storages)
        if not places:
            raise away or _out_of_sight(files[one.name], zone)
        found.append(
            Source(
                place=one.place,
                path=f"{roots[places[0].access.root]}/{places[0].path}",
                file=files[one.name],
                mtime_ns=places[0].mtime_ns,
                product=one.product,
            )
        )
    return found


def storage_of(registry: Registry, name: str, path: Path, zone: str) -> str:
    """Return the storage whose replica of a file hosts of a zone see at `path`, "" if none."""
    roots = {one.storage: local_root(one) for one in registry.storages.accesses(zone)}
    for replica in registry.locate([name])[name]:
        root = roots.get(replica.storage)
        if root is not None and (root / replica.path).resolve() == path:
            return replica.storage
    return ""


def _seen(
    accesses: Sequence[Access], storages: Mapping[str, Storage]
) -> tuple[list[Access], dict[str, Path], StorageError | None]:
    """Return the rows and roots of file systems that are there, and why one that is not is not."""
    seen: list[Access] = []
    roots: dict[str, Path] = {}
    away: StorageError | None = None
    for access in usable(accesses, storages, Use.READ):
        if (root := local_root(access)) is None:
            continue
        try:
            if marker := storages[access.storage].marker:
                check_marker(FileDriver(root), marker)
        except StorageError as error:
            away = away or error
        else:
            seen.append(access)
            roots[access.root] = root
    return seen, roots, away


def _out_of_sight(file: File, zone: str) -> InputError:
    return InputError(
        f"hosts of the zone {zone} do not see {file.name}, which is {file.state}",
        hint=f"where it is: euclid-dask locate {file.name}",
    )
