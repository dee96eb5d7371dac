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
        ValueError: It is not well-formed XML, or has a DOCTYPE.
        OSError: It cannot be read.
    """
    names: dict[str, None] = {}
    text: list[str] | None = None

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal text
        text = [] if tag.rpartition(":")[2] == "FileName" else None

    def characters(part: str) -> None:
        if text is not None:
            text.append(part)

    def end(tag: str) -> None:
        nonlocal text
        if text is not None:
            name = "".join(text).strip()
            if name not in _NO_FILE:
                names[name] = None
        text = None

    def doctype(*declaration: object) -> None:
        raise ValueError(f"{product}: a DOCTYPE is refused")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.CharacterDataHandler = characters
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    try:
        with product.open("rb") as file:
            while block := file.read(_BLOCK):
                parser.Parse(block)
            parser.Parse(b"", True)  # noqa: FBT003  expat's own signature
    except expat.ExpatError as error:
        raise ValueError(f"{product}: not well-formed XML: {error}") from error
    return list(names)
