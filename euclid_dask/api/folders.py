"""Between folders of this host and storages: files are brought here, or put there."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Final

from euclid_dask.api.copies import Watch, opener_of
from euclid_dask.api.data import DataSettings, open_registry
from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.depositing import HERE, Depositor, Put, here
from euclid_dask.data.drivers import Drivers
from euclid_dask.data.fetching import Fetcher, Wanted
from euclid_dask.data.filling import Fetched
from euclid_dask.data.query import parse_query
from euclid_dask.data.registry import Registry
from euclid_dask.data.resolve import locate
from euclid_dask.data.ruling import Ruling
from euclid_dask.data.survey import Find, survey

PAGE: Final = 1000


class Sought(Value, frozen=True, kw_only=True):
    """What is to be brought into a folder."""

    names: tuple[str, ...] = ()
    """Names of files, or ids of products; products come with the files that they name."""
    query: str = ""
    """Of products, as in `euclid-dask find`."""
    only_xml: bool = False
    """Whether products come without their files."""


class Got(Value, frozen=True, kw_only=True):
    """What was brought, or would be."""

    wanted: tuple[Wanted, ...]
    files: tuple[Fetched, ...] = ()
    """Those that are here."""
    missed: Mapping[str, str] = MappingProxyType({})
    """Names of those that are not, and why."""
    troubles: tuple[str, ...] = ()
    """What went wrong with sources, also where another had the file."""


def get(
    settings: DataSettings,
    sought: Sought,
    to: Path,
    *,
    dry_run: bool = False,
    watch: Watch = lambda _, __: None,
) -> Got:
    """Bring files and products into a folder: XML to `to`, data files to `to/data`.

    A product's XML comes after its files, and not if one of them did not come.

    Raises:
        InputError: A file or product is not known, or this zone reads no replica of it.
    """
    with open_registry(settings, read_only=True) as registry:
        products = _products(registry, sought)
        wanted = _wanted(registry, settings.zone, sought, products)
    if dry_run:
        return Got(wanted=tuple(wanted))
    total = sum(one.file.size for one in wanted)
    drivers = Drivers(opener_of(settings))
    fetcher = Fetcher(drivers, to, lambda some: watch(some, total))
    with closing(drivers):
        outcomes = dict(fetcher.fetch([one for one in wanted if one.file.name not in products]))
        whole = {
            xml: [name for name in names if isinstance(outcomes.get(name), Exception)]
            for xml, names in products.items()
        }
        xmls = [one for one in wanted if one.file.name in products]
        outcomes |= fetcher.fetch([one for one in xmls if not whole[one.file.name]])
    missed = {name: str(it) for name, it in outcomes.items() if isinstance(it, Exception)}
    missed |= {xml: f"{names[0]} did not come" for xml, names in whole.items() if names}
    return Got(
        wanted=tuple(wanted),
        files=tuple(it for it in outcomes.values() if isinstance(it, Fetched)),
        missed=missed,
        troubles=tuple(dict.fromkeys(it.message for it in fetcher.troubles)),
    )


def _products(registry: Registry, sought: Sought) -> dict[str, list[str]]:
    """Return the XML files of the products that are meant, and the files that each names."""
    known = registry.exists(sought.names)
    ids = [name for name in sought.names if name not in known]
    found = registry.rules.xml_of(ids)
    if unknown := [one for one in ids if one not in found]:
        raise InputError(
            f"the registry knows no file or product {unknown[0]}", hint="see `euclid-dask find`"
        )
    ids += _fulfilling(registry, sought.query) if sought.query else []
    ids += registry.rules.described_by(known).values()
    xmls = registry.rules.xml_of(ids)
    return {
        xmls[key]: [] if sought.only_xml else [one.name for one in product.files]
        for key, product in registry.products(ids).items()
    }


def _fulfilling(registry: Registry, query: str) -> list[str]:
    wanted = parse_query(query)
    ids: list[str] = []
    while page := registry.find(wanted, limit=PAGE, after=ids[-1] if ids else ""):
        ids += (one.product_id for one in page)
    if not ids:
        raise InputError(f"no product fulfils {query}", hint="see `euclid-dask find`")
    return ids


def _wanted(
    registry: Registry, zone: str, sought: Sought, products: Mapping[str, Sequence[str]]
) -> list[Wanted]:
    names = dict.fromkeys(registry.exists(sought.names) | products.keys())
    names |= dict.fromkeys(name for files in products.values() for name in files)
    files, replicas = registry.files(names), registry.locate(names)
    storages = {one.name: one for one in registry.storages.all()}
    accesses = registry.storages.accesses(zone)
    wanted = [
        Wanted(
            file=files[name],
            place=name if name in products else f"data/{name}",
            sources=locate(replicas[name], accesses, storages),
        )
        for name in sorted(names)
    ]
    if away := [one.file.name for one in wanted if not one.sources]:
        raise InputError(
            f"the zone {zone} reads no replica of {away[0]}"
            + (f", and of {len(away) - 1} more" if len(away) > 1 else ""),
            hint=f"see: euclid-dask why {away[0]}",
        )
    return wanted


def put(
    settings: DataSettings,
    paths: Sequence[Path],
    storage: str,
    *,
    values: Sequence[str] = (),
    dry_run: bool = False,
    watch: Watch = lambda _, __: None,
) -> tuple[Find, Put]:
    """Put files and products into a storage, and register them; return what was found and done.

    The data files of products come along. What rules want of them is queued.

    Raises:
        InputError: Something is wrong with a file, or the storage; nothing was put.
    """
    with open_registry(settings, read_only=dry_run) as registry:
        found = survey(paths, [HERE], [here(settings.zone)], values)
        with closing(Drivers(opener_of(settings))) as drivers:
            depositor = Depositor(
                registry, drivers, storage, settings.zone, lambda some: watch(some, found.size)
            )
            depositor.check(found)
            if dry_run:
                return found, Put()
            done = depositor.put(found)
        Ruling(registry).catch_up()
        return found, done
