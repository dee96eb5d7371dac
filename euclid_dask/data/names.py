"""Names of files, and paths in storages: which ones there are, and how URLs spell them.

Rule 1: a name says nothing of places: it is one step of a path, the same in every storage.
Rule 2: what is not allowed is refused, never mended: a name that two systems mend differently
is two files.
Rule 3: a path that passed `relative` stays below the root that it is joined to.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from euclid_dask.core.errors import InputError

NAME_BYTES: Final = 200
"""Longest name: part files add to it, and file systems end at 255."""
_STEP_BYTES: Final = 255
_PATH_BYTES: Final = 4000
_SHOWN: Final = 80
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+=,@-]*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:+=,@/ -]*")
_ORDINARY: Final = re.compile(rf"(?:{_NAME.pattern}/)*+{_NAME.pattern}")
"""Paths of which nothing else has to be asked, as nearly all are."""
_PART: Final = re.compile(r"\.part-[^.]*\Z")
_NO_FILE: Final = frozenset({"none", "null", "nul"})
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNSEEN: Final = re.compile(r"C|Z[lp]")
"""Categories of letters that cannot be seen, or that end a line."""
_KINDS: Final = {
    " ": "a blank",
    "\t": "a tab",
    "\n": "a line break",
    "\r": "a line break",
    "\0": "a NUL character",
}


def check_name(name: str) -> str:
    """Return `name`, if a file can have it.

    Raises:
        InputError: It cannot, with the reason.

    >>> check_name("EUC_VIS_RAW_W-91100-2_20200707T151811.3Z_01.00.fits")
    'EUC_VIS_RAW_W-91100-2_20200707T151811.3Z_01.00.fits'
    """
    if problem := name_problem(name):
        raise InputError(
            f"the file name {shown(name)} {problem}",
            hint="a file name has letters, digits, and any of _ . : + = , @ - after the first",
        )
    return name


def name_problem(name: str) -> str:
    """Return why no file can have this name, as the end of a sentence; "" if one can.

    >>> name_problem("../x"), name_problem("a b"), name_problem("x.fits")
    ("has '/': it is a path, not a name", 'has a blank', '')
    """
    if len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES:
        return f"is longer than {NAME_BYTES} bytes"
    if not _NAME.fullmatch(name):
        return _bad_spelling(name)
    if name.lower() in _NO_FILE:
        return "stands for no file"
    if ".part-" in name and _PART.search(name):
        return "is that of a part of a file under way"
    return ""


def _bad_spelling(name: str) -> str:
    if not name:
        return "is empty"
    if "/" in name:
        return f"has '/': it is {'a URL' if '://' in name else 'a path'}, not a name"
    return _bad_letter(name)


def _bad_letter(name: str) -> str:
    if name[0] == ".":
        return "begins with '.', as hidden files and folders do"
    if name[0] == "-":
        return "begins with '-', as options do"
    letter = next((one for one in name if not _NAME.fullmatch("_" + one)), name[0])
    return f"{'has' if letter != name[0] else 'begins with'} {_told(letter)}"


def _told(letter: str) -> str:
    if letter in _KINDS:
        return _KINDS[letter]
    if letter.isascii() and letter.isprintable():
        return f"'{letter}'"
    return f"U+{ord(letter):04X} ({unicodedata.name(letter, 'no character')})"


def shown(text: str) -> str:
    r"""Return a text for a message: in quotes, in ASCII, and not too long.

    >>> shown("a\u202eb"), shown("x" * 100)[-8:]
    ("'a\\u202eb'", "xxxx...'")
    """
    return ascii(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


def relative(path: str) -> str:
    """Return `path`, if it is one below the root of a storage, whatever that root is.

    Unlike names, which are ours to choose, paths may be those of others: any letters that can be
    seen, blanks in them too.

    Raises:
        InputError: It could lead elsewhere, or not be the same path on every system.

    >>> relative("level0/raw 7/EUC_x.fits")
    'level0/raw 7/EUC_x.fits'
    """
    if problem := path_problem(path):
        raise InputError(
            f"the path {shown(path)} {problem}",
            hint="a path in a storage is relative to the storage's root, as level0/x.fits",
        )
    return path


def path_problem(path: str) -> str:
    """Return why this is no path below a root, as the end of a sentence; "" if it is one."""
    if len(path) <= _STEP_BYTES and _ORDINARY.fullmatch(path):
        return ""
    return next(_path_problems(path), "")


def _path_problems(path: str) -> Iterator[str]:
    if not path:
        yield "is empty"
    if path.startswith("/"):
        yield "is absolute"
    for letter in "" if _PLAIN.fullmatch(path) else path:
        if letter == "\\" or _UNSEEN.match(unicodedata.category(letter)):
            yield f"has {_told(letter)}"
    if escape := _ESCAPE.search(path):
        yield f"has '{escape[0]}', which some servers take for another letter"
    if len(path.encode("utf-8", "surrogatepass")) > _PATH_BYTES:
        yield f"is longer than {_PATH_BYTES} bytes"
    yield from filter(None, map(_step_problem, path.split("/")))


def _step_problem(step: str) -> str:
    if not step:
        return "has an empty step ('//', or '/' at its end)"
    if step in {".", ".."}:
        return f"has the step '{step}'"
    if step != step.strip():
        return f"has the step {shown(step)}, with a blank at an end"
    if len(step.encode()) > _STEP_BYTES:
        return f"has a step that is longer than {_STEP_BYTES} bytes"
    return ""


def quoted(path: str) -> str:
    """Return a path as URLs spell it.

    >>> quoted("level0/raw#7/a:b.fits")
    'level0/raw%237/a%3Ab.fits'
    """
    return quote(relative(path), safe="/")
