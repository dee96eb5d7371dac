"""Gives products to the archive: their files first, their XML last.

    POST <ingest>   XML-RPC  IngestObject(xml, project, commit) | UpdateObject(xml, project)
                    -> {object_id, error, result, message}

Rule 1: all is looked at before anything is sent: the XML, its files, what the archive has by those
names. So what is refused has left no trace.
Rule 2: doing it again, as after a cut, sends only what is not there.
"""

import io
import xmlrpc.client
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.archive.dss import DssDriver, refuse_other
from euclid_dask.data.archive.metadata import Metadata
from euclid_dask.data.archive.retrieval import declared_files
from euclid_dask.data.archive.session import Session
from euclid_dask.data.hashing import Hasher, mismatch, wanted
from euclid_dask.data.model import Checksum, ErrorClass, File, Product
from euclid_dask.data.names import shown
from euclid_dask.data.products import file_beside, read_product
from euclid_dask.data.storage import BLOCK_BYTES, StorageError
from euclid_dask.data.storages.exchange import plain
from euclid_dask.data.storages.file import FileDriver
from euclid_dask.data.xmlstream import XmlError, new_parser, parse

XML_BYTES: Final = 64 << 20
"""The largest XML that is sent."""


class Outgoing(Value, frozen=True, kw_only=True):
    """A file that is to be in the archive."""

    path: str
    content: File
    """With its MD5."""
    known: bool
    """Whether the archive has it already."""


class Submission(Value, frozen=True, kw_only=True):
    """A product that is to be in the archive."""

    path: str
    product: Product
    sha256: str
    """Of its XML, which is sent as it was looked at or not at all."""
    known: bool
    """Whether the archive has one of its id already."""


class Plan(Value, frozen=True, kw_only=True):
    """What is to be sent, in this order: files, then products."""

    files: tuple[Outgoing, ...]
    products: tuple[Submission, ...]


class Ingester:
    """Sends products to one archive."""

    def __init__(self, session: Session) -> None:
        settings = session.settings
        if not settings.ingest or not settings.files:
            raise InputError(
                "the archive's settings do not say where to put products",
                hint='ingest = "https://..." and files = ["https://..."]',
            )
        self._session = session
        self._store = DssDriver(settings.files[0], session)
        self._metadata = Metadata(session)

    def plan(self, paths: Sequence[Path]) -> Plan:
        """Return what is to be sent for products, given by their XML; nothing is sent.

        Raises:
            InputError: A product is odd, or a file is missing or not what is declared. All of
                these are told at once.
            StorageError: The archive has other content by one of the names, or does not answer.
        """
        products = _good_products(paths)
        contents = _contents(products)
        return Plan(
            files=tuple(self._outgoing(*one) for one in contents.items()),
            products=tuple(self._submission(*one) for one in products.items()),
        )

    def send(self, plan: Plan, watch: Callable[[str], None] = lambda _: None) -> None:
        """Send what the archive does not have; `watch` is called with each name that is there.

        Raises:
            InputError: The XML of a product was changed since it was looked at; nothing is sent.
            StorageError: It takes something not; what it has taken stays, and is not sent again.
        """
        new = [product for product in plan.products if not product.known]
        for product in new:
            _xml(product)
        for one in plan.files:
            if not one.known:
                self._session.patiently(lambda one=one: self._store_file(one))  # type: ignore[misc]
            watch(one.content.name)
        for product in plan.products:
            if not product.known:
                self.ingest(_xml(product))
            watch(product.product.product_id)

    def ingest(self, xml: bytes) -> str:
        """Give a product's XML to the archive; return the id of its object there."""
        return self._call("IngestObject", xml.decode(), self._session.settings.project, True)  # noqa: FBT003

    def update(self, xml: bytes) -> str:
        """Replace a product's XML in the archive, as to tell how an order stands."""
        return self._call("UpdateObject", xml.decode(), self._session.settings.project)

    def _outgoing(self, name: str, found: tuple[Path, File]) -> Outgoing:
        path, content = found
        there = self._store.md5(name)
        refuse_other(self._store.root, name, there, md5_of(content))
        return Outgoing(path=str(path), content=content, known=there is not None)

    def _submission(self, path: Path, product: Product) -> Submission:
        there = self._metadata.document(product.type, product.product_id)
        if there is not None and there.product != product:
            raise StorageError(
                ErrorClass.EXISTS,
                f"{path}: the archive has another product by the id {product.product_id}",
                hint="an id never gets other content: give the new product a new id",
            )
        digest = sha256(path.read_bytes()).hexdigest()
        return Submission(path=str(path), product=product, sha256=digest, known=there is not None)

    def _store_file(self, one: Outgoing) -> None:
        path = Path(one.path)
        part = self._store.open_part(one.content.name, "put", one.content.size)
        try:
            hasher = Hasher(wanted(one.content))
            with FileDriver(path.parent).open_read(path.name) as reader:
                while data := reader.read(BLOCK_BYTES):
                    part.write(data)
                    hasher.update(data)
            if problem := mismatch(one.content, hasher.size, hasher.checksums()):
                raise StorageError(
                    ErrorClass.CONTENT, f"{path} changed while it was sent: {problem}"
                )
            part.sync()
            part.publish()
        finally:
            part.abandon()
        there = self._store.md5(one.content.name)
        if there != md5_of(one.content):
            raise StorageError(
                ErrorClass.CONTENT,
                f"{self._store.root} took {one.content.name}, but now its MD5 is {there}",
            )

    def _call(self, method: str, *arguments: Any) -> str:
        """Call a method of the archive by XML-RPC; return the id of its object."""
        url = self._session.settings.ingest
        body = xmlrpc.client.dumps(arguments, method, encoding="utf-8").encode()
        headers = {"Content-Type": "text/xml"}
        busy = frozenset({ErrorClass.BUSY})
        answer = self._session.ask("POST", url, headers, body, busy)
        told = parse_response(answer.body, url)
        if told.get("error") or not told.get("object_id"):
            why = str(told.get("message") or told.get("error") or "it does not say why")
            raise StorageError(
                ErrorClass.POLICY, f"{plain(url)}: the archive refuses it: {shown(why)}"
            )
        return str(told["object_id"])


def parse_response(body: bytes, url: str) -> Mapping[str, Any]:
    """Return the structure that an answer of XML-RPC holds.

    Raises:
        StorageError: It is no such answer, or tells of a fault.
    """
    try:
        parse(io.BytesIO(body), new_parser())  # refuses what could be dangerous
        (told,), _ = xmlrpc.client.loads(body)
    except xmlrpc.client.Fault as fault:
        raise StorageError(
            ErrorClass.POLICY, f"{plain(url)}: the archive answers {shown(str(fault.faultString))}"
        ) from None
    except (XmlError, ValueError, TypeError, LookupError, xmlrpc.client.Error) as error:
        raise StorageError(
            ErrorClass.CONTENT, f"{plain(url)}: the answer is not understood: it {error}"
        ) from None
    if not isinstance(told, dict):
        raise StorageError(ErrorClass.CONTENT, f"{plain(url)}: the answer is not understood")
    return told


def md5_of(file: File) -> str:
    """Return the MD5 of a file whose MD5 is known."""
    return next(one.value for one in file.checksums if one.algorithm == "md5")


def _good_products(paths: Iterable[Path]) -> dict[Path, Product]:
    products: dict[Path, Product] = {}
    problems: list[str] = []
    for path in paths:
        try:
            products[path] = product = read_product(path, max_bytes=XML_BYTES)
        except InputError as error:
            problems.append(error.message)
            continue
        problems += [f"{path}: {problem}" for problem in product.problems]
        if not _is_utf8(path):
            problems.append(f"{path}: is not UTF-8, as the archive takes it; write it anew")
    ids = [product.product_id for product in products.values()]
    problems += [f"the id {one} is given twice" for one in sorted({*ids}) if ids.count(one) > 1]
    _refuse(problems)
    return products


def _is_utf8(path: Path) -> bool:
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError:
        return False
    return True


def _xml(one: Submission) -> bytes:
    """Return the XML of a product, which is what was looked at."""
    xml = Path(one.path).read_bytes()
    if sha256(xml).hexdigest() != one.sha256:
        raise InputError(f"{one.path} was changed while it was sent", hint="call it again")
    return xml


def _contents(products: Mapping[Path, Product]) -> dict[str, tuple[Path, File]]:
    """Return where the files of products are, and their content; refuse what is not declared."""
    declared = declared_files(products.values())
    found: dict[str, tuple[Path, File]] = {}
    problems: list[str] = []
    for path, product in products.items():
        for reference in product.files:
            place = file_beside(path, reference.name)
            if place is None:
                problems.append(f"{path} names {reference.name}, which is not in its data folder")
            elif reference.name not in found:
                content = _content(Path(place), reference.name)
                problems += _undeclared(content, declared[reference.name])
                found[reference.name] = Path(place).resolve(), content
    _refuse(problems)
    return found


def _content(path: Path, name: str) -> File:
    hasher = Hasher(["md5", "sha256"])
    with FileDriver(path.parent).open_read(path.name) as reader:
        while data := reader.read(BLOCK_BYTES):
            hasher.update(data)
    return File(name=name, size=hasher.size, checksums=hasher.checksums())


def _undeclared(content: File, declared: Iterable[Checksum]) -> list[str]:
    found = {one.algorithm: one.value for one in content.checksums}
    return [
        f"{one.algorithm} of {content.name} is {found[one.algorithm]}, and its product declares "
        f"{one.value}"
        for one in declared
        if found[one.algorithm] != one.value
    ]


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise InputError(
            "nothing was sent to the archive:\n" + "\n".join(f"  {one}" for one in problems)
        )
