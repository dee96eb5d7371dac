"""New products from old ones: a template with other texts, and other files.

No schema is needed: what a template has and is not told to change stays as it is, to its order,
its prefixes and its attributes. Comments go, and the encoding becomes UTF-8.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO
from xml.sax.saxutils import escape, quoteattr

from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.data.model import Checksum
from euclid_dask.data.names import check_name, shown
from euclid_dask.data.products import value_path
from euclid_dask.data.xmlstream import XmlError, new_parser, open_regular, parse

_METHODS: Final = {"adler32": "Adler32", "md5": "MD5", "sha256": "SHA-256"}
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FILE: Final = ".FileName"

Texts = Mapping[str, str | Sequence[str]]
"""New texts by path, as `Data.TileIndex`; several where the template has the path several times."""


def write_product(
    template: Path,
    target: Path,
    texts: Texts,
    checksums: Mapping[str, Checksum] | None = None,
) -> None:
    """Write a product like `template`, with other texts; it is there whole or not at all.

    A new `FileName` is a new file: its status becomes `PROPOSED`, and the checksum of the old one
    goes.

    Args:
        template: A product.
        target: The file to write; one that is there is replaced.
        texts: What is to be different, as `Header.ProductId`, `Data.TileIndex`,
            `Data.DataStorage.DataContainer.FileName`.
        checksums: What to declare of new files, by their names.

    Raises:
        InputError: The template is no product, has no such path or not so often, or a text can be
            in no XML.
        SiteError: The target cannot be written.
    """
    wanted = {
        value_path(path): (new,) if isinstance(new, str) else tuple(new)
        for path, new in texts.items()
    }
    _check(wanted)
    half = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        with half.open("w", encoding="utf-8", newline="\n") as file:
            _copy(template, _Copier(file, wanted, checksums or {}))
            file.flush()
            os.fsync(file.fileno())
        half.replace(target)
    except OSError as error:
        raise SiteError(f"product {target} cannot be written: {error.strerror}") from error
    finally:
        half.unlink(missing_ok=True)


def _check(wanted: Mapping[str, Sequence[str]]) -> None:
    for path, news in wanted.items():
        for new in news:
            if found := _UNWRITABLE.search(new):
                raise InputError(f"{path}: no XML can have {shown(found[0])}")
            if path.endswith(_FILE):
                check_name(new)


def _copy(template: Path, copier: "_Copier") -> None:
    try:
        with open_regular(template) as file:
            parse(file, copier.parser)
    except XmlError as error:
        raise InputError(f"template {template} {error}") from None
    except OSError as error:
        raise InputError(f"template {template} cannot be read: {error.strerror}") from None
    copier.check_all_used(template)


class _Copier:
    """Writes what the parser tells, but for the texts that are to be others."""

    def __init__(
        self, file: TextIO, texts: Mapping[str, Sequence[str]], checksums: Mapping[str, Checksum]
    ) -> None:
        self.parser = new_parser(prefixes=True)
        self.parser.StartElementHandler = self._start
        self.parser.CharacterDataHandler = self._characters
        self.parser.EndElementHandler = self._end
        self._file = file
        self._texts = texts
        self._checksums = checksums
        self._counts = dict.fromkeys(texts, 0)
        self._open: list[str] = []  # paths of the open elements
        self._is_new = False  # whether the text of the innermost element is another
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n')

    def check_all_used(self, template: Path) -> None:
        """Refuse texts that had no place in the template, and places that had no text.

        Raises:
            InputError: There are such.
        """
        for path, count in self._counts.items():
            if not count:
                raise InputError(f"template {template} has no {path}")
            if count != len(self._texts[path]):
                raise InputError(
                    f"template {template} has {path} {count} times, "
                    f"and {len(self._texts[path])} are given"
                )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._is_new:
            raise XmlError(f"has elements in {self._open[-1]}, so it can have no text")
        if self._open:
            path = value_path(f"{self._open[-1]}.{tag.rpartition(':')[2]}".lstrip("."))
            if "filestatus" in attributes:
                self._renew(attributes, self._next(f"{path}{_FILE}"))
            new = self._next(path)
            if path in self._counts:
                self._counts[path] += 1
        else:
            path, new = "", None
        self._open.append(path)
        words = "".join(f" {name}={quoteattr(text)}" for name, text in attributes.items())
        self._file.write(f"<{tag}{words}>")
        if new is not None:
            self._is_new = True
            self._file.write(_escaped(new))

    def _next(self, path: str) -> str | None:
        """Return the new text of the next element at `path`, None if it keeps its own."""
        news = self._texts.get(path, ())
        count = self._counts.get(path, 0)
        return news[count] if count < len(news) else None

    def _renew(self, attributes: dict[str, str], name: str | None) -> None:
        """Make the attributes of a file those of another one, if it is to be another."""
        if name is None:
            return
        attributes["filestatus"] = "PROPOSED"
        for old in ("checksumMethod", "checksumValue"):
            attributes.pop(old, None)
        if checksum := self._checksums.get(name):
            attributes["checksumMethod"] = _METHODS.get(checksum.algorithm, checksum.algorithm)
            attributes["checksumValue"] = checksum.value

    def _characters(self, text: str) -> None:
        if not self._is_new:
            self._file.write(_escaped(text))

    def _end(self, tag: str) -> None:
        self._open.pop()
        self._is_new = False
        self._file.write(f"</{tag}>" if self._open else f"</{tag}>\n")


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;"})
