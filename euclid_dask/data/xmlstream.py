"""XML of unknown origin, read from end to end with a parser that keeps nothing of it.

Rule 1: nothing is ever fetched or expanded: a DOCTYPE is refused before it is read.
Rule 2: memory does not grow with the file: what the parser must hold at once is limited.
Rule 3: only regular files are opened, since a pipe or a device may never end.

It is the parser of the standard library, expat: the worker checks outputs with it too, and may
not wait for a larger library.
"""

import os
import re
import stat
from io import FileIO
from typing import BinaryIO, Final
from xml.parsers import expat

MAX_BYTES: Final = 1_500_000_000
"""Largest file that is read, in bytes; larger ones are refused unread."""
NO_FILE: Final = frozenset({"", "None", "data/None", "data/"})
"""Texts of a `FileName` that stand for no file."""
_HTML: Final = re.compile(  # possessive: tried in one way only
    rb"(?:\xef\xbb\xbf)?(?:\s|<\?.*?\?>|<!--.*?-->)*+<(?:!doctype\s+)?html\b",
    re.DOTALL | re.IGNORECASE,
)
_TAG_BYTES: Final = 1 << 18
"""Longest tag, comment or instruction, in bytes: the parser holds one at once."""
_BLOCK: Final = 1 << 16
_ENCODINGS: Final = frozenset({"utf-8", "utf-16", "utf-16le", "utf-16be", "iso-8859-1", "us-ascii"})
"""Those that expat knows itself. UTF-7 and the like can hide tags from other readers."""
_HTML_BYTES: Final = 1024
_ENDED: Final = frozenset(
    {
        expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
        expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
        expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
        expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION],
    }
)
_MISCODED: Final = frozenset(
    {
        expat.errors.codes[expat.errors.XML_ERROR_INCORRECT_ENCODING],
        expat.errors.codes[expat.errors.XML_ERROR_UNKNOWN_ENCODING],
    }
)


class XmlError(ValueError):
    """What is wrong with a file of XML, as the end of a sentence."""


def new_parser(*, prefixes: bool = False) -> expat.XMLParserType:
    """Return a parser that refuses what no data product needs, for handlers of one's own.

    Names come as `namespace}name`, or `name` where there is no namespace: see `local_name`; with
    `prefixes`, as they are written.
    """
    # without a table of names: to look each up takes longer than to make it again
    parser = expat.ParserCreate(namespace_separator=None if prefixes else "}", intern=None)
    parser.buffer_text = True
    parser.XmlDeclHandler = _declaration
    parser.StartDoctypeDeclHandler = _doctype
    return parser


def local_name(tag: str) -> str:
    """Return the name of an element without its namespace.

    >>> local_name("http://euclid.esa.org/schema/dpd/vis}DpdVisRawFrame"), local_name("Header")
    ('DpdVisRawFrame', 'Header')
    """
    return tag.rpartition("}")[2]


def open_regular(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> BinaryIO:
    """Open a regular file of at most `max_bytes`; anything else is refused without waiting.

    Raises:
        XmlError: It is not a regular file, or larger.
        OSError: It cannot be opened.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check_regular(os.fstat(number), max_bytes)
        return FileIO(number)
    except BaseException:
        os.close(number)
        raise


def _check_regular(status: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise XmlError(f"is {_kind(status.st_mode)}, not a file")
    if status.st_size > max_bytes:
        raise XmlError(f"has {status.st_size:,} bytes; more than {max_bytes:,} are not read")


def parse(file: BinaryIO, parser: expat.XMLParserType) -> None:
    """Feed `parser` with all of `file`.

    Raises:
        XmlError: It is not well-formed XML, or XML that is refused.
        OSError: It cannot be read.
    """
    fed = 0
    try:
        while block := file.read(_BLOCK):
            if not fed and _HTML.match(block[:_HTML_BYTES]):
                raise XmlError("is an HTML page, such as a server's login page")
            fed += len(block)
            parser.Parse(block)
            if fed - parser.CurrentByteIndex > _TAG_BYTES:
                raise XmlError(
                    f"has a tag or comment of more than {_TAG_BYTES:,} bytes in line "
                    f"{parser.CurrentLineNumber}"
                )
        if not fed:
            raise XmlError("is empty")
        parser.Parse(b"", True)  # noqa: FBT003  expat's own signature
    except expat.ExpatError as error:
        raise XmlError(_problem(error)) from None


def _problem(error: expat.ExpatError) -> str:
    if error.code in _ENDED:
        return f"is not well-formed XML: it ends in line {error.lineno}, before it is complete"
    if error.code in _MISCODED:
        return "is not in the encoding that it declares"
    return (
        f"is not well-formed XML: {expat.ErrorString(error.code)} in line {error.lineno}, "
        f"column {error.offset}"
    )


def _declaration(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise XmlError(f"declares the encoding {encoding!a}, which is refused; use UTF-8")


def _doctype(*_declaration: object) -> None:
    raise XmlError("has a DOCTYPE, which is refused in data products")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a pipe (FIFO)" if stat.S_ISFIFO(mode) else "a device"
