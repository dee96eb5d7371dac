"""The data files that a product names: the `FileName` elements of its XML, at any depth.

Here names are taken as they are, for executables that have their own; what may be registered is
for `data.products` to say, which takes too long to import for a task.

Source: reference of the data products of the Euclid ground segment; see docs/reference/products.md.
"""

from pathlib import Path

from euclid_dask.data.xmlstream import NO_FILE, new_parser, open_regular, parse


def file_names(product: Path) -> list[str]:
    """Return the file names in a product, in order, each once; `data/` in front is left out.

    Raises:
        XmlError: It is not well-formed XML, or XML that is refused.
        OSError: It cannot be read.
    """
    reader = _Reader()
    with open_regular(product) as file:
        parse(file, reader.parser)
    return list(reader.names)


class _Reader:
    """Collects the texts of `FileName` elements, whatever their namespace."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self._text: list[str] | None = None
        self.parser = new_parser(prefixes=True)
        self.parser.StartElementHandler = self._start
        self.parser.CharacterDataHandler = self._characters
        self.parser.EndElementHandler = self._end

    def _start(self, tag: str, _attributes: dict[str, str]) -> None:
        self._text = [] if tag.rpartition(":")[2] == "FileName" else None

    def _characters(self, part: str) -> None:
        if self._text is not None:
            self._text.append(part)

    def _end(self, _tag: str) -> None:
        if self._text is not None:
            name = "".join(self._text).strip()
            if name not in NO_FILE:
                self.names[name.removeprefix("data/")] = None
        self._text = None
