"""Brings products of the archive here: their files first, then their XML, as tasks want them.

    <to>/<ProductType>__<ProductId>.xml
    <to>/data/<FileName>                  a file, or a link to one in the cache

Rule: `data.filling` says how a file comes here; its size and MD5 are asked of all file stores.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from euclid_dask.core.errors import InputError
from euclid_dask.data.archive.dss import DssDriver
from euclid_dask.data.archive.metadata import Document
from euclid_dask.data.archive.session import Session
from euclid_dask.data.filling import Fetched, Line, Origin, bring, only_one
from euclid_dask.data.local import publish, sync_directory
from euclid_dask.data.model import Checksum, ErrorClass, File, Product
from euclid_dask.data.names import check_name
from euclid_dask.data.storage import StorageError
from euclid_dask.data.storages.failures import failures_of

Watch = Callable[[Fetched], None]


def xml_name(product: Product) -> str:
    """Return the name of a product's XML, as the archive's own clients give it.

    Raises:
        InputError: No file can have it.
    """
    return check_name(f"{product.type}__{product.product_id}.xml")


class Retriever:
    """Brings files from the file stores of an archive.

    Args:
        session: The archive.
        to: The directory to fill; it is made.
        cache: A directory that many runs share; files are kept there, and `to` gets links.
        watch: Called for each file that is here, from any thread.
    """

    def __init__(
        self,
        session: Session,
        to: Path,
        cache: Path | None = None,
        watch: Watch = lambda _: None,
    ) -> None:
        self._session = session
        self._to = to
        self._cache = cache
        self._watch = watch
        self._stores = [DssDriver(url, session) for url in session.settings.files]

    def products(self, documents: Sequence[Document]) -> tuple[Path, ...]:
        """Bring the files of products, and then write their XML; return its paths.

        Raises:
            InputError: Products are odd, contradict each other, or what is here.
            StorageError: Files cannot be had; the others are here, and no XML.
        """
        texts: dict[Path, bytes] = {}
        for one in documents:
            place = self._to / xml_name(one.product)
            if texts.setdefault(place, one.xml) != one.xml:
                raise StorageError(
                    ErrorClass.CONTENT, f"the archive has two different products {place.name}"
                )
            _refuse_other_text(place, one.xml)
        self.files(declared_files(one.product for one in documents))
        with failures_of(str(self._to)):
            for place, xml in texts.items():
                _write(place, xml)
        return tuple(texts)

    def files(self, declared: Mapping[str, tuple[Checksum, ...]]) -> list[Fetched]:
        """Bring files by name, several at once; compare them with what is declared of them.

        Raises:
            InputError: Other content is here by such a name.
            StorageError: Files cannot be had; the others are here.
        """
        if declared and not self._stores:
            raise InputError("the archive's settings name no file store", hint="files = [...]")
        for directory in (self._to / "data", self._directory):
            with failures_of(str(directory)):
                directory.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(self._session.settings.parallel) as pool:
            done = [pool.submit(self._fetched, *one) for one in declared.items()]
            try:
                failed = [one.exception() for one in done]
            except BaseException:  # as Ctrl-C
                pool.shutdown(wait=False, cancel_futures=True)
                self._session.stop()
                raise
        _raise_failures([error for error in failed if error is not None])
        return [one.result() for one in done]

    @property
    def _directory(self) -> Path:
        return self._cache or self._to / "data"

    def _fetched(self, name: str, checksums: tuple[Checksum, ...]) -> Fetched:
        final = self._directory / check_name(name)
        with failures_of(str(final)):
            fetched = self._bring(final, checksums)
            if self._cache is not None:
                _link(final, self._to / "data" / name)
        self._watch(fetched)
        return fetched

    def _bring(self, final: Path, checksums: tuple[Checksum, ...]) -> Fetched:
        stores, file = self._known(final.name, checksums)
        line = Line(
            between=lambda _: self._session.refuse_if_stopped(), patiently=self._session.patiently
        )
        return bring(final, file, [_origin(store, file.name) for store in stores], line)

    def _known(self, name: str, checksums: Iterable[Checksum]) -> tuple[list[DssDriver], File]:
        """Return the stores that have a file, and all that is known of its content."""
        failed: list[StorageError] = []
        having: list[DssDriver] = []
        known: list[File] = []
        for store in self._stores:
            try:
                stat = store.stat(name)
                md5 = store.md5(name) if stat is not None else None
            except StorageError as error:
                failed.append(error)
                continue
            if stat is not None:
                having.append(store)
                told = [Checksum(algorithm="md5", value=md5, declared=True)] if md5 else []
                file = File(name=name, size=stat.size, checksums=(*told, *checksums))
                known.append(_agreeing(file, store.root))
        if not having:
            raise failed[0] if failed else _missing(name, self._stores)
        if any(one != known[0] for one in known):
            raise StorageError(
                ErrorClass.CONTENT, f"the stores of the archive have different files {name}"
            )
        return having, known[0]


def _raise_failures(failed: Sequence[BaseException]) -> None:
    """Raise the first failure; say how many there are more."""
    if len(failed) > 1 and isinstance(failed[0], StorageError):
        first = failed[0]
        raise StorageError(
            first.kind,
            f"{first.message}\n(and {len(failed) - 1} more of the files could not be retrieved)",
            first.retry_after_s,
            hint=first.hint,
        ) from first
    if failed:
        raise failed[0]


def declared_files(products: Iterable[Product]) -> dict[str, tuple[Checksum, ...]]:
    """Return the files that products name, and the checksums that they declare.

    Raises:
        InputError: Two products declare different checksums for one file.
    """
    found: dict[str, dict[str, Checksum]] = {}
    for product in products:
        for reference in product.files:
            known = found.setdefault(reference.name, {})
            told = reference.checksum
            if told is not None and known.setdefault(told.algorithm, told) != told:
                raise InputError(
                    f"{product.product_id} declares another {told.algorithm} for "
                    f"{reference.name} than a product before it"
                )
    return {name: tuple(known.values()) for name, known in found.items()}


def _agreeing(file: File, root: str) -> File:
    """Return `file` with each checksum once; refuse two that differ."""
    values: dict[str, Checksum] = {}
    for one in file.checksums:
        if values.setdefault(one.algorithm, one).value != one.value:
            raise StorageError(
                ErrorClass.CONTENT,
                f"{root}: its {one.algorithm} of {file.name} is not that which the product "
                "declares",
                hint="the archive has to be told: one of the two is wrong",
            )
    if not values:
        raise StorageError(
            ErrorClass.CONTENT,
            f"{root}: nobody tells a checksum of {file.name}, so that it cannot be compared",
        )
    return File(name=file.name, size=file.size, checksums=tuple(values.values()))


def _origin(store: DssDriver, name: str) -> Origin:
    return Origin(url=store.url(name), open_at=partial(store.open_read, name))


def _refuse_other_text(place: Path, xml: bytes) -> None:
    if place.exists() and place.read_bytes() != xml:
        raise InputError(
            f"{place} is here, and the archive's is another",
            hint="remove it, or retrieve into another directory",
        )


def _link(final: Path, place: Path) -> None:
    """Make `place` a link to a file in the cache; one that is there must be the same file."""
    try:
        place.symlink_to(final.resolve())
    except FileExistsError:
        if not place.exists() or not place.samefile(final):
            raise InputError(
                f"{place} is here, and is not the file in the cache",
                hint="remove it, or retrieve into another directory",
            ) from None


def _write(place: Path, xml: bytes) -> None:
    with only_one(place) as part:
        if place.exists():
            return
        part.truncate(0)
        part.write(xml)
        part.flush()
        os.fsync(part.fileno())
        publish(Path(part.name), place)
        sync_directory(place.parent)


def _missing(name: str, stores: Sequence[DssDriver]) -> StorageError:
    asked = ", ".join(store.root for store in stores)
    return StorageError(ErrorClass.MISSING, f"no store of the archive has the file {name}: {asked}")
