"""Checks of products against XML schemas (XSD), where a site has them; nothing needs them.

Rule 1: schemas come from one folder of the installation; nothing is fetched, whatever a product's
`schemaLocation` or a schema's `import` says.
Rule 2: a product is read by `read_product` first, so that lxml sees no DOCTYPE.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from lxml import etree

from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.data.products import read_product
from euclid_dask.data.xmlstream import XmlError, new_parser, open_regular, parse

MAX_OCCURS: Final = 10_000
"""Largest `maxOccurs` of a schema but `unbounded`: compilers build as many states."""
MAX_BYTES: Final = 64 << 20
"""Largest product or schema that is checked, in bytes: all of it is in memory then."""
_MAX_PROBLEMS: Final = 100
_XSD: Final = "http://www.w3.org/2001/XMLSchema}"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|/")


class Schemas:
    """The schemas in one folder and below; each is compiled when it is first used."""

    def __init__(self, folder: Path) -> None:
        """Look at all `*.xsd` below `folder`.

        Raises:
            SiteError: There is none, or one that is damaged, too large, or names one elsewhere.
        """
        self._folder = folder.resolve()
        self._paths: dict[tuple[str, str], Path] = {}
        self._compiled: dict[Path, Any] = {}
        for path in sorted(self._folder.rglob("*.xsd")):
            for root in _roots(path, self._folder):
                self._paths.setdefault(root, path)
        if not self._paths:
            raise SiteError(f"{folder}: there is no schema (*.xsd) with an element in it")

    def problems(self, product: Path) -> tuple[str, ...]:
        """Return in which lines a product is not as its schema wants it, and how.

        Raises:
            InputError: It is no product, larger than `MAX_BYTES`, or there is no schema for it.
            SiteError: Its schema cannot be used.
        """
        told = read_product(product, max_bytes=MAX_BYTES)
        path = self._paths.get((told.namespace, told.type))
        if path is None:
            raise InputError(
                f"product {product}: no schema in {self._folder} has the element {told.type} "
                f"of the namespace {told.namespace or '(none)'}"
            )
        if path not in self._compiled:
            self._compiled[path] = _compile(path)
        return tuple(_validate(product, self._compiled[path]))


def _roots(path: Path, folder: Path) -> list[tuple[str, str]]:
    """Return what a schema has elements for: pairs of namespace and name."""
    scan = _Scan(path, folder)
    try:
        with open_regular(path, MAX_BYTES) as file:
            parse(file, scan.parser)
    except XmlError as error:
        raise SiteError(f"schema {path} {error}") from None
    except OSError as error:
        raise SiteError(f"schema {path} cannot be read: {error.strerror}") from None
    return scan.roots


class _Scan:
    """Looks at a schema before lxml does."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.roots: list[tuple[str, str]] = []
        self.parser = new_parser()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self._path = path
        self._folder = folder
        self._depth = 0
        self._namespace = ""

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == f"{_XSD}schema":
            self._namespace = attributes.get("targetNamespace", "")
        elif tag == f"{_XSD}element" and self._depth == 1:
            self.roots.append((self._namespace, attributes.get("name", "")))
        if tag.startswith(_XSD):
            self._check(attributes)
        self._depth += 1

    def _check(self, attributes: dict[str, str]) -> None:
        most = attributes.get("maxOccurs", "").strip()
        if most.isdigit() and int(most[:9]) > MAX_OCCURS:
            raise XmlError(f"has maxOccurs={most[:20]}; more than {MAX_OCCURS:,} is refused")
        place = attributes.get("schemaLocation")
        if place is None:
            return
        target = (self._path.parent / place).resolve()
        if _SCHEME.match(place) or not target.is_relative_to(self._folder):
            raise XmlError(f"names the schema {place!a}, which is not below {self._folder}")
        if not target.is_file():
            raise XmlError(f"names the schema {place!a}, which is not there")

    def _end(self, _tag: str) -> None:
        self._depth -= 1


def _compile(path: Path) -> Any:
    try:
        return etree.XMLSchema(etree.parse(path, _safe_parser()))
    except etree.LxmlError as error:
        raise SiteError(f"schema {path} cannot be used: {error}") from None


def _safe_parser() -> Any:
    return etree.XMLParser(no_network=True, resolve_entities=False, load_dtd=False)


def _validate(product: Path, schema: Any) -> Iterator[str]:
    try:
        schema.validate(etree.parse(product, _safe_parser()))
    except etree.XMLSyntaxError as error:
        raise InputError(f"product {product} is not well-formed XML: {error}") from None
    for entry in list(schema.error_log)[:_MAX_PROBLEMS]:
        yield f"line {entry.line}: {entry.message}"
