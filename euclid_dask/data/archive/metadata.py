"""Questions to the archive's metadata: tables of fields, and whole products as XML.

GET <metadata>/REST?project=P&class_name=DpdX&<conditions>&fields=A:B&allow_array=True
    -> CSV, the first row has the names of the fields
GET <products>/NewEuclidXML?class_name=DpdX&<conditions>&make_asy=True&PROJECT=P
    -> {"url": ..., "status": ...}; the URL is asked until it is FINISHED, or ERROR
    -> XML documents, with blank lines between them
"""

import ast
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Final
from urllib.parse import urljoin, urlsplit

from euclid_dask.core.values import Value
from euclid_dask.data.archive.conditions import check_field, check_type, url_conditions
from euclid_dask.data.archive.documents import split_documents
from euclid_dask.data.archive.session import Session
from euclid_dask.data.model import ErrorClass, Product
from euclid_dask.data.names import shown
from euclid_dask.data.products import parse_product
from euclid_dask.data.storage import StorageError
from euclid_dask.data.storages.exchange import Answer, plain
from euclid_dask.data.xmlstream import XmlError

FIELDS: Final = ("Header.ProductId", "Header.DataSetRelease", "Header.CreationDate")
"""What is told of each product when nothing else is asked for."""
_COLUMN: Final = re.compile(r"[A-Za-z_][\w.:\[\]]*")
_JOB_BYTES: Final = 1 << 16
_FIRST_POLL_S: Final = 0.25
_LONGEST_POLL_S: Final = 30.0


class Table(Value, frozen=True, kw_only=True):
    """Fields of products, a row for each."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Document(Value, frozen=True, kw_only=True):
    """A product as the archive sent it, and what it says."""

    xml: bytes
    product: Product


class _Job(Value, frozen=True, kw_only=True):
    """A query that the archive works on."""

    url: str
    status: str


class Metadata:
    """Asks the archive for products."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, kind: str, query: str, fields: Sequence[str] = FIELDS) -> Table:
        """Return fields of the products of a type that fulfil a query.

        Raises:
            InputError: The query, the type or a field is none.
            StorageError: The archive gives no such table.
        """
        settings = self._session.settings
        asked = [
            f"project={settings.project}",
            f"class_name={check_type(kind)}",
            *filter(None, [url_conditions(query)]),
            f"fields={':'.join(map(check_field, fields))}",
            "allow_array=True",
        ]
        url = f"{settings.metadata}/REST?{'&'.join(asked)}"
        return parse_table(self._session.ask("GET", url), len(fields), url)

    def documents(self, kind: str, query: str) -> Iterator[Document]:
        """Yield the products of a type that fulfil a query.

        Raises:
            InputError: The query or the type is none; or what comes is no product.
            StorageError: The archive gives no products.
        """
        settings = self._session.settings
        asked = [
            f"class_name={check_type(kind)}",
            *filter(None, [url_conditions(query)]),
            "make_asy=True",
            f"PROJECT={settings.project}",
        ]
        answer = self._finished(f"{settings.products}/NewEuclidXML?{'&'.join(asked)}")
        try:
            for number, xml in enumerate(split_documents(answer), 1):
                where = f"{number} of the archive's answer"
                yield Document(xml=xml, product=parse_product(io.BytesIO(xml), where=where))
        except XmlError as error:
            raise StorageError(
                ErrorClass.CONTENT, f"{settings.products}: an XML document of the answer {error}"
            ) from None

    def document(self, kind: str, product_id: str) -> Document | None:
        """Return the product of this type and id, None if there is none.

        Raises:
            StorageError: The archive gives several, or another.
        """
        found = list(self.documents(kind, f'Header.ProductId=="{product_id}"'))
        for one in found:
            if one.product.product_id != product_id:
                raise StorageError(
                    ErrorClass.CONTENT,
                    f"asked for the product {product_id}, the archive gives "
                    f"{one.product.product_id}",
                )
        if len(found) > 1:
            raise StorageError(
                ErrorClass.CONTENT, f"the archive has {product_id} {len(found)} times"
            )
        return found[0] if found else None

    def _finished(self, url: str) -> bytes:
        """Return what the archive has found, when it has finished."""
        waited_s = 0.0
        for turn in count():
            answer = self._session.ask("GET", url)
            job = parse_job(answer, url)
            if job is None:
                return answer.body
            there = _there(url, job.url)
            if job.status == "ERROR":
                raise StorageError(
                    ErrorClass.POLICY,
                    f"{plain(url)}: the archive could not carry out the query",
                    hint="is there such a type of products, and such a field?",
                )
            if job.status == "FINISHED" and there == url and turn:
                raise StorageError(
                    ErrorClass.CONTENT, f"{plain(url)}: finished, but there are no products"
                )
            if job.status != "FINISHED":
                pause_s = min(_LONGEST_POLL_S, _FIRST_POLL_S * 2.0**turn)
                waited_s += pause_s
                self._check_time(waited_s, url)
                self._session.wait(pause_s)
            url = there
        raise AssertionError

    def _check_time(self, waited_s: float, url: str) -> None:
        if waited_s > self._session.settings.longest_query_s:
            raise StorageError(
                ErrorClass.TIMEOUT,
                f"{plain(url)}: the query is not finished after {waited_s:.0f} s",
                hint="ask for less at once, or set `longest_query_s` in the archive's settings",
            )


def parse_table(answer: Answer, width: int, url: str) -> Table:
    """Return the table that an answer is.

    Args:
        answer: Fields in quotes, with commas between them; the first row has their names.
        width: How many fields were asked for.
        url: Where it came from, for messages.

    Raises:
        StorageError: It is no such table, or not all of it.
    """
    try:
        text = answer.body.decode()
        rows = [tuple(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _no_table(url, f"cannot be read: {error}") from None
    if not rows and _is_whole(answer):
        return Table(columns=(), rows=())
    if not rows or not all(map(_COLUMN.fullmatch, rows[0])) or len(rows[0]) < width:
        begin = text.strip().partition("\n")[0]
        raise StorageError(
            ErrorClass.POLICY,
            f"{plain(url)}: in place of a table the archive answers {shown(begin)}",
            hint="is there such a type of products, and such a field?",
        )
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise _no_table(url, f"has {len(row)} of {len(rows[0])} fields in row {number}")
    if not text.endswith("\n") and not _is_whole(answer):
        raise _no_table(url, "may have been cut: its last line does not end")
    return Table(columns=rows[0], rows=tuple(rows[1:]))


def parse_job(answer: Answer, url: str) -> _Job | None:
    """Return the state of a query that an answer tells; None if the answer is XML, or empty.

    Raises:
        StorageError: It is neither.
    """
    text = answer.body.lstrip()
    if not text or text.startswith((b"<", b"\xef\xbb\xbf<")):
        return None
    told = _mapping(text[:_JOB_BYTES])
    status, there = told.get("status"), told.get("url")
    if not isinstance(status, str) or not isinstance(there, str):
        begin = shown(text[:200].decode(errors="replace"))
        raise StorageError(
            ErrorClass.CONTENT, f"{plain(url)}: in place of products the archive answers {begin}"
        )
    return _Job(url=there, status=status.upper())


def _mapping(text: bytes) -> Mapping[object, object]:
    """Return a mapping in JSON, or as Python writes it; an empty one if it is none."""
    for read in (json.loads, ast.literal_eval):
        try:
            told = read(text.decode())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(told, dict):
            return told
    return {}


def _there(here: str, told: str) -> str:
    """Return the URL at which to ask on: never in clear what began in secret."""
    there = urljoin(here, told)
    if urlsplit(there).scheme != urlsplit(here).scheme:
        raise StorageError(
            ErrorClass.POLICY,
            f"{plain(here)}: the archive sends us on to {urlsplit(there).scheme}://, and not "
            f"{urlsplit(here).scheme}://",
        )
    return there


def _is_whole(answer: Answer) -> bool:
    """Tell whether the line itself would have told of a cut."""
    return "content-length" in answer.headers or "transfer-encoding" in answer.headers


def _no_table(url: str, why: str) -> StorageError:
    return StorageError(ErrorClass.CONTENT, f"{plain(url)}: the table that came {why}")
