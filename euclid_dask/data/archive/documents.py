"""Several XML documents that came in one answer, each as it was sent."""

import re
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from euclid_dask.data.xmlstream import XmlError, new_parser

_BLOCK: Final = 1 << 13
_TEXT: Final = re.compile(rb"\S")


def split_documents(body: bytes) -> Iterator[bytes]:
    r"""Yield the XML documents that follow each other in `body`, with blanks between them.

    Blank lines do not tell where one ends, as they may be inside of one, too; the end of its root
    element does.

    Raises:
        XmlError: One is not complete, or not well-formed; those before it were yielded.

    >>> list(split_documents(b"<a/>\n\n<?xml version='1.0'?><b><c/>\n\n</b>\n"))
    [b'<a/>', b"<?xml version='1.0'?><b><c/>\n\n</b>"]
    """
    end = 0
    while found := _TEXT.search(body, end):
        end = _RootEnd(body, found.start()).found()
        yield body[found.start() : end]


class _RootEnd:
    """Finds where the root element of the document that begins at `begin` has ended."""

    def __init__(self, text: bytes, begin: int) -> None:
        self._text = text
        self._begin = begin
        self._depth = 0
        self._end = 0
        self._parser = new_parser()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._stop

    def found(self) -> int:
        """Return the index after its last character."""
        at = self._begin
        try:
            while not self._end and at < len(self._text):
                self._parser.Parse(self._text[at : at + _BLOCK])
                at += _BLOCK
        except expat.ExpatError as error:
            if not self._end:  # else it is only that another document follows
                reason = expat.ErrorString(error.code)
                raise XmlError(f"is not well-formed: {reason} in line {error.lineno}") from None
        if not self._end:
            raise XmlError("ends before it is complete")
        return self._end

    def _start(self, *_: object) -> None:
        self._depth += 1

    def _stop(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0 and not self._end:
            self._end = self._after_tag(self._begin + self._parser.CurrentByteIndex)

    def _after_tag(self, index: int) -> int:
        """Return the end of an end tag at `index`; that of an empty element lies before it."""
        text = self._text
        return text.index(b">", index) + 1 if text.startswith(b"</", index) else index
