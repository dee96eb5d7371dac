"""Data products: XML that describes files and names them, of all generations of the data model.

Rule 1: elements are known by their local names; no schema is needed to read a product.
Rule 2: what could be two things is refused; what is only odd is a problem of the product, which
keeps it from being registered but not from being read.
Rule 3: memory does not grow with the product.

Source: reference of the data products of the Euclid ground segment; see docs/reference/products.md.
"""

import math
import os
import re
from collections.abc import Sequence, Sized
from functools import lru_cache
from typing import BinaryIO, Final

from euclid_dask.core.errors import InputError
from euclid_dask.data.local import StrPath
from euclid_dask.data.model import Checksum, FileReference, Product, ProductLink, ProductValue
from euclid_dask.data.names import name_problem, shown
from euclid_dask.data.xmlstream import (
    MAX_BYTES,
    NO_FILE,
    XmlError,
    local_name,
    new_parser,
    open_regular,
    parse,
)

MAX_DEPTH: Final = 256
"""Deepest nesting of elements."""
MAX_FILES: Final = 4096
"""Most files, and most other products, that one product may name."""
MAX_TEXTS: Final = 10_000
"""Most header fields and values of one product."""
MAX_TEXT: Final = 1 << 16
"""Longest text of a header field, value or name, in characters."""
MAX_ALL_TEXT: Final = 1 << 22
"""Most characters of all of these together."""
MAX_PATH: Final = 1000
"""Longest path of an element, in characters."""
_IDS: Final = ("ProductId", "ProductID")
_MOST_KINDS: Final = 4096
"""Kinds of elements that are kept in memory; all are forgotten when there are more."""
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CHECKSUMS: Final = {
    name: re.compile(f"[0-9a-f]{{{digits}}}")
    for name, digits in {"adler32": 8, "md5": 32, "sha256": 64}.items()
}
"""What the checksums that products declare look like."""


PLACES: Final = ("data/", "", "../data/")
"""Where the files of a product are, relative to its XML; the first that has it is taken."""


def read_product(
    path: StrPath, values: Sequence[str] = (), *, max_bytes: int = MAX_BYTES
) -> Product:
    """Return what a product says; `values` are paths of further texts to take.

    Args:
        path: The product's XML file.
        values: Paths like `Data.ObservationSequence.ObservationId`; a step that is doubled is one.
        max_bytes: A larger file is refused unread.

    Raises:
        InputError: It cannot be read, or is no product that can be trusted.
    """
    try:
        with open_regular(path, max_bytes) as file:
            return parse_product(file, values, where=str(path))
    except XmlError as error:
        raise InputError(f"product {path} {error}") from None
    except OSError as error:
        raise InputError(f"product {path} cannot be read: {error.strerror}") from None


def file_beside(product: StrPath, name: str) -> str | None:
    """Return the file of this name that a product names, None if it is in none of `PLACES`."""
    path = os.fspath(product)
    folder = path[: path.rfind("/") + 1]
    return next(filter(os.path.isfile, (folder + place + name for place in PLACES)), None)


def parse_product(file: BinaryIO, values: Sequence[str] = (), *, where: str) -> Product:
    """Return what the product in an open file says; `where` names it in errors.

    Raises:
        InputError: It is no product that can be trusted.
        OSError: It cannot be read.
    """
    reader = _Reader(values)
    try:
        parse(file, reader.parser)
        return reader.product()
    except XmlError as error:
        raise InputError(f"product {where} {error}") from None
    finally:
        del reader.parser  # it has the reader's methods: what names each other stays for long


def value_path(path: str) -> str:
    """Return a path in the one way it is kept: a step that is doubled is one.

    >>> value_path("Header.ManualValidationStatus.ManualValidationStatus")
    'Header.ManualValidationStatus'
    """
    steps = path.split(".")
    return ".".join(step for step, last in zip(steps, [None, *steps], strict=False) if step != last)


def file_of(text: str) -> str:
    """Return the name that the text of a `FileName` stands for, "" if for no file.

    Raises:
        XmlError: It is no name.
    """
    text = text.strip()
    if text in NO_FILE:
        return ""
    name = text.removeprefix("data/")
    if problem := name_problem(name):
        raise XmlError(f"names the file {shown(text)}, which {problem}")
    return name


class _Kind:
    """What there is to do with the elements of one name at one place; made once, and kept."""

    __slots__ = (
        "above",
        "depth",
        "field",
        "inside",
        "is_file",
        "is_id",
        "is_link",
        "is_taken",
        "is_wanted",
        "path",
        "step",
    )

    def __init__(self, above: "_Kind | None", step: str, path: str, wanted: frozenset[str]) -> None:
        self.above: _Kind = above or self  # that of what these are in; the document is in itself
        self.depth: int = above.depth + 1 if above else 0
        self.step = step  # their local name
        self.path = path  # local names from below the root, as `value_path` has them
        self.inside: dict[str, _Kind] = {}  # the kinds of elements in these, by tag
        self.field = path.removeprefix("Header.") if path.startswith("Header.") else ""
        self.is_id = path == "Id"
        self.is_file = bool(path) and step == "FileName"
        self.is_link = bool(path) and not self.field and step.endswith(_IDS)
        self.is_wanted = bool(path) and path in wanted
        # whether their texts are looked at
        self.is_taken = bool(self.field) or self.is_id or self.is_file or self.is_link
        self.is_taken = self.is_taken or self.is_wanted


class _Kinds:
    """The kinds of elements that have been seen by readers of the same values."""

    def __init__(self, values: tuple[str, ...]) -> None:
        self.wanted = frozenset(map(value_path, values))
        self.document = _Kind(None, "", "", self.wanted)
        self._count = 0

    def inside(self, above: _Kind, tag: str) -> _Kind:
        """Return what to do with the elements `tag` in others."""
        step = local_name(tag)
        if above is self.document:
            path = ""
        else:
            path = value_path(f"{above.path}.{step}" if above.path else step)
        if len(path) > MAX_PATH:
            raise XmlError(f"has an element with a path of more than {MAX_PATH:,} characters")
        if above.depth == MAX_DEPTH:
            raise XmlError(f"is nested more than {MAX_DEPTH} deep")
        if self._count == _MOST_KINDS:
            self.document.inside.clear()
            self._count = 0
            held = above  # with all it is in, by who reads
            while held is not self.document:
                held.inside.clear()
                held = held.above
        self._count += 1
        above.inside[tag] = kind = _Kind(above, step, path, self.wanted)
        return kind


_kinds: Final = lru_cache(maxsize=4)(_Kinds)


class _Reader:
    """Takes what a product says out of the parser's events."""

    def __init__(self, values: Sequence[str]) -> None:
        self.parser = new_parser()
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self._kinds = _kinds(tuple(values))
        self._kind = self._kinds.document  # that of the innermost element
        # of it and those it is in, by depth; what is deeper is of earlier ones
        self._attributes: list[dict[str, str]] = [{}] * (MAX_DEPTH + 1)
        self._named: set[int] = set()  # depths of those with a filestatus and a FileName
        self._text: str | None = None  # of the innermost element, if it is taken
        self._total = 0  # characters of all texts that were taken
        self._root = ""
        self._id = ""
        self._header: dict[str, str] = {}
        self._files: list[FileReference] = []
        self._links: list[ProductLink] = []
        self._values: list[ProductValue] = []
        self._counts: dict[str, int] = {}  # values so far, by path
        self._problems: list[str] = []

    def product(self) -> Product:
        """Return what was read, when all of it was.

        Raises:
            XmlError: It has no id.
        """
        header = self._header
        product_id = header.get("ProductId") or header.get("ProductId.ObjectId") or self._id
        if not product_id:
            raise XmlError("has no ProductId in its Header")
        return Product(
            product_id=product_id,
            type=local_name(self._root),
            namespace=self._root.rpartition("}")[0],
            header=header,
            files=tuple(self._files),
            links=tuple(self._links),
            values=tuple(self._values),
            problems=tuple(self._problems),
        )

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        self._root = tag
        self.parser.StartElementHandler = self._start
        self._start(tag, attributes)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._text is not None:
            self._leave_text(tag)
        try:
            self._kind = kind = self._kind.inside[tag]
        except KeyError:
            self._kind = kind = self._kinds.inside(self._kind, tag)
        self._attributes[kind.depth] = attributes
        if kind.is_taken:
            self._text = ""
            self.parser.CharacterDataHandler = self._characters

    def _leave_text(self, tag: str) -> None:
        """Take no text of an element in which another begins."""
        if self._kind.is_file:
            raise XmlError(f"has a FileName with the element {local_name(tag)} in it, not a name")
        self._text = None
        self.parser.CharacterDataHandler = None

    def _characters(self, part: str) -> None:
        assert self._text is not None
        self._text = text = self._text + part
        self._total += len(part)
        if len(text) > MAX_TEXT:
            raise XmlError(f"has more than {MAX_TEXT:,} characters in {_xpath(self._kind)}")
        if self._total > MAX_ALL_TEXT:
            raise XmlError(
                f"has more than {MAX_ALL_TEXT:,} characters in its header, names and values"
            )

    def _end(self, _tag: str) -> None:
        kind = self._kind
        if self._text is not None:
            text = self._text.strip()
            self._text = None
            self.parser.CharacterDataHandler = None
            self._take(text, kind)
        if "filestatus" in self._attributes[kind.depth]:
            self._leave_container(kind)
        self._kind = kind.above

    def _leave_container(self, kind: _Kind) -> None:
        if kind.depth not in self._named:
            raise XmlError(f"has {kind.step} with a filestatus, but no FileName in it")
        self._named.remove(kind.depth)

    def _take(self, text: str, kind: _Kind) -> None:
        """Keep the text of the innermost element wherever it belongs."""
        if kind.is_file:
            self._take_file(text, kind)
        if kind.field:
            self._take_field(kind.field, text)
        elif kind.is_link:
            self._take_link(text, kind)
        elif kind.is_id:
            self._id = text
        if kind.is_wanted:
            self._take_value(kind.path, text)

    def _take_field(self, name: str, text: str) -> None:
        if name not in self._header:
            self._header[name] = text
            _limit(self._header, MAX_TEXTS, "header fields")
        elif "." in name:
            self._problems.append(f"{name} is in its Header more than once; the first is taken")
        else:
            raise XmlError(f"has {name} twice in its Header")

    def _take_file(self, text: str, kind: _Kind) -> None:
        container = kind.above
        attributes = self._attributes[container.depth]
        if "filestatus" in attributes:
            if container.depth in self._named:
                raise XmlError(f"has {container.step} with two FileNames in it")
            self._named.add(container.depth)
        name = file_of(text)
        if not name:
            return
        storage = self._attributes[container.depth - 1]
        self._files.append(
            FileReference(
                name=name,
                ordinal=len(self._files),
                xpath=_xpath(container),
                format=attributes.get("format") or storage.get("format", ""),
                status=attributes.get("filestatus", ""),
                checksum=self._checksum(name, attributes),
            )
        )
        _limit(self._files, MAX_FILES, "files")

    def _checksum(self, name: str, attributes: dict[str, str]) -> Checksum | None:
        method = attributes.get("checksumMethod", "").lower().replace("-", "")
        value = attributes.get("checksumValue", "").strip().lower()
        if method in {"", "none"} and value in {"", "none"}:
            return None
        known = _CHECKSUMS.get(method)
        if known is None:
            self._problems.append(f"{name}: its checksum is of no known method: {shown(method)}")
            return None
        padded = value.zfill(8) if method == "adler32" else value
        if not value or not known.fullmatch(padded):
            self._problems.append(f"{name}: this is no {method} checksum: {shown(value)}")
            return None
        return Checksum(algorithm=method, value=padded, declared=True)

    def _take_link(self, text: str, kind: _Kind) -> None:
        if text in {"", "None"}:
            return
        role = kind.above.step if kind.step in _IDS else kind.step
        self._links.append(ProductLink(role=role, target=text))
        _limit(self._links, MAX_FILES, "other products")

    def _take_value(self, path: str, text: str) -> None:
        ordinal = self._counts.get(path, 0)
        self._counts[path] = ordinal + 1
        self._values.append(
            ProductValue(path=path, ordinal=ordinal, text=text, number=number_of(text))
        )
        _limit(self._values, MAX_TEXTS, "values of the paths that are asked for")


def _xpath(kind: _Kind) -> str:
    """Return the local names of elements of a kind, and of those they are in, below the root."""
    steps: list[str] = []
    while kind.depth > 1:
        steps.append(kind.step)
        kind = kind.above
    return "/".join(reversed(steps))


def _limit(taken: Sized, most: int, what: str) -> None:
    if len(taken) > most:
        raise XmlError(f"has more than {most:,} {what}")


def number_of(text: str) -> float | None:
    """Return the finite number that a text is, None if it is none.

    >>> number_of("-1284159892"), number_of("1e999"), number_of("NaN"), number_of("1_000")
    (-1284159892.0, None, None, None)
    """
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None
