"""The data files that a product names: the `FileName` elements of its XML, at any depth.

Source: reference of the data products of the Euclid ground segment; see docs/reference/files.md.
"""

from pathlib import Path
from typing import Final
from xml.parsers import expat

_BLOCK: Final = 1 << 16
_NO_FILE: Final = frozenset({"", "None"})


def file_names(product: Path) -> list[str]:
    """Return the file names in a product, in order, each once.

    Raises:
        ProductError: It is not well-formed XML, or has a DOCTYPE.
        OSError: It cannot be read.
    """
    reader = _Reader()
    try:
        with product.open("rb") as file:
            while block := file.read(_BLOCK):
                reader.parser.Parse(block)
            reader.parser.Parse(b"", True)  # noqa: FBT003  expat's own signature
    except expat.ExpatError as error:
        raise ProductError(
            f"is not well-formed XML: {expat.ErrorString(error.code)} in line {error.lineno}, "
            f"column {error.offset}"
        ) from None
    return list(reader.names)


class ProductError(ValueError):
    """What is wrong with a product, as the end of a sentence."""


class _Reader:
    """Collects the texts of `FileName` elements, whatever their namespace."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self._text: list[str] | None = None
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.CharacterDataHandler = self._characters
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype

    def _start(self, tag: str, _attributes: dict[str, str]) -> None:
        self._text = [] if tag.rpartition(":")[2] == "FileName" else None

    def _characters(self, part: str) -> None:
        if self._text is not None:
            self._text.append(part)

    def _end(self, _tag: str) -> None:
        if self._text is not None:
            name = "".join(self._text).strip()
            if name not in _NO_FILE:
                self.names[name] = None
        self._text = None

    def _doctype(self, *_declaration: object) -> None:
        raise ProductError("has a DOCTYPE, which is refused in data products")
