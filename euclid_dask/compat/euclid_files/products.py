"""Data products: read, changed by paths like `Data.TileIndex`, and written whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.dom import minidom
from xml.parsers import expat

from euclid_files.names import check_name
from euclid_files.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_FILE = frozenset({"", "None", "data/None", "data/"})


class Product:
    """A product in memory. Paths are local names joined by dots, from below the root."""

    def __init__(self, document: minidom.Document, where: str) -> None:
        self._document = document
        self._where = where

    @property
    def type(self) -> str:
        """The local name of its root, as `DpdVisCalibratedFrame`."""
        return _local(self._root)

    @property
    def files(self) -> list[str]:
        """The names of the files that it names, in order."""
        texts = [_text(one) for one in _elements(self._root) if _local(one) == "FileName"]
        return [text.removeprefix("data/") for text in texts if text not in NO_FILE]

    def texts(self, path: str) -> list[str]:
        """Return the texts of all elements at `path`, in order."""
        return [_text(element) for element in self._at(path)]

    def text(self, path: str) -> str:
        """Return the text of the one element at `path`.

        Raises:
            KeyError: There is none, or there are several.
        """
        return _text(self._one(path, None))

    def set(self, path: str, text: str, number: int | None = None) -> None:
        """Give an element another text.

        Args:
            path: Where it is.
            text: The new text.
            number: Which of several elements at `path`, from 0; None if there is one.

        Raises:
            KeyError: There is none, or there are several.
        """
        element = self._one(path, number)
        while element.firstChild is not None:
            element.removeChild(element.firstChild)
        element.appendChild(self._document.createTextNode(text))

    def set_file(
        self,
        path: str,
        name: str,
        number: int | None = None,
        *,
        checksum: tuple[str, str] | None = None,
    ) -> None:
        """Name a new file in the container at `path`; its status is `PROPOSED`.

        Args:
            path: The element with the `FileName`, as `Data.DataStorage.DataContainer`.
            name: The new file's name.
            number: Which of several containers at `path`, from 0; None if there is one.
            checksum: What to declare, as `("MD5", "d41d8cd9...")`; None for nothing.

        Raises:
            KeyError: There is no such container, or there are several.
            ValueError: No file can have this name.
        """
        self.set(f"{path}.FileName", check_name(name), number)
        container = self._one(path, number)
        for old in ("checksumMethod", "checksumValue"):
            if container.hasAttribute(old):
                container.removeAttribute(old)
        container.setAttribute("filestatus", "PROPOSED")
        if checksum is not None:
            container.setAttribute("checksumMethod", checksum[0])
            container.setAttribute("checksumValue", checksum[1])

    def content(self) -> bytes:
        """Return it as XML, in UTF-8."""
        return self._document.toxml(encoding="UTF-8")

    @property
    def _root(self) -> minidom.Element:
        root = self._document.documentElement
        assert root is not None
        return root

    def _one(self, path: str, number: int | None) -> minidom.Element:
        found = list(self._at(path))
        if number is None and len(found) > 1:
            raise KeyError(f"{self._where} has {path} {len(found)} times: say which")
        if not 0 <= (number or 0) < len(found):
            raise KeyError(f"{self._where} has no {path}" + (f" number {number}" if number else ""))
        return found[number or 0]

    def _at(self, path: str) -> Iterator[minidom.Element]:
        found = [self._root]
        for step in path.split("."):
            found = [child for one in found for child in _children(one) if _local(child) == step]
        yield from found


def open_product(path: str | Path) -> Product:
    """Read a product.

    Raises:
        ValueError: It is no XML, or has a DOCTYPE, which is refused.
        OSError: It cannot be read.
    """
    content = Path(path).read_bytes()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(content, True)  # noqa: FBT003  expat's own signature
        return Product(minidom.parseString(content), str(path))  # noqa: S318  no DOCTYPE
    except (expat.ExpatError, ValueError) as error:
        raise ValueError(f"{path} is no data product: {error}") from None


def write_product(product: Product, path: str | Path) -> None:
    """Write a product; it is there whole or not at all.

    Raises:
        ValueError: It has a text that no XML can have.
        OSError: It cannot be written.
    """
    content = product.content()
    try:
        expat.ParserCreate().Parse(content, True)  # noqa: FBT003  expat's own signature
    except expat.ExpatError as error:
        raise ValueError(f"{path} would be no XML: {error}") from None
    write_whole(path, content)


def _refuse_doctype(*_declaration: object) -> None:
    raise ValueError("it has a DOCTYPE, which is refused")


def _children(element: minidom.Element) -> Iterator[minidom.Element]:
    for node in element.childNodes:
        if isinstance(node, minidom.Element):
            yield node


def _elements(element: minidom.Element) -> Iterator[minidom.Element]:
    for child in _children(element):
        yield child
        yield from _elements(child)


def _local(element: minidom.Element) -> str:
    return str(element.tagName).rpartition(":")[2]


def _text(element: minidom.Element) -> str:
    return "".join(
        node.data
        for node in element.childNodes
        if node.nodeType in {node.TEXT_NODE, node.CDATA_SECTION_NODE}
    ).strip()
