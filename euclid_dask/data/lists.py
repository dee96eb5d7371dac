"""What an input brings along: the files that lists and products name, to the last one.

A list file is a JSON array; its elements are files relative to the workdir, other lists, or plain
values. Pickles, which old executables wrote, are not read here: they are converted before their
files are registered.

Rule: an input that names itself, on whatever way, has no end and is refused.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.names import path_problem, relative, shown
from euclid_dask.data.products import read_product
from euclid_dask.data.xmlstream import XmlError, open_regular

MAX_LIST_BYTES: Final = 64 << 20
"""Largest list file that is read, in bytes."""
MAX_NESTING: Final = 16
"""Deepest nesting of lists in one list file, and of list files that name each other."""
MAX_MEMBERS: Final = 1_000_000
"""Most files that one input may bring along."""
FILE_SUFFIXES: Final = frozenset(
    {".csv", ".dat", ".fits", ".fz", ".gz", ".h5", ".hdf5", ".json", ".png", ".txt", ".xml"}
)
"""An element that ends like this is a file, even when it is not there."""

_START_BYTES: Final = 64

Find = Callable[[str], Path | None]
"""Returns where the file at a path relative to the workdir is, None if nowhere."""


class Closure(Value, frozen=True, kw_only=True):
    """An input and all that it names, as paths relative to the workdir, each once."""

    lists: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Data files: those that products name are `data/<name>`."""
    missing: tuple[str, ...] = ()
    """Those of all kinds that are nowhere, as `data/x.fits, named by obs.xml`."""


def closure(path: str, find: Find, *, most: int = MAX_MEMBERS) -> Closure:
    """Return what the input at `path` brings along; `find` says where files are.

    Raises:
        InputError: A list or product is damaged, names itself, or leads out of the workdir; or
            there are more than `most` files.
    """
    walk = _Walk(path, find, most)
    walk.follow(path)
    return walk.closure()


def read_list(path: Path) -> list[Any]:
    """Return the elements of a JSON list file, as they are.

    Raises:
        InputError: It cannot be read, or is no list that can be trusted.
    """
    try:
        with open_regular(path, MAX_LIST_BYTES) as file:
            return _parse(file.read())
    except (XmlError, _ListError) as error:
        raise InputError(
            f"list file {path} {error}",
            hint="a list file is a JSON array of paths relative to the workdir",
        ) from None
    except OSError as error:
        raise InputError(f"list file {path} cannot be read: {error.strerror}") from None


class _ListError(ValueError):
    """What is wrong with a list file, as the end of a sentence."""


def _parse(content: bytes) -> list[Any]:
    value = _json(content)
    if not isinstance(value, list):
        raise _ListError("is not a list")
    if _is_deep(value, MAX_NESTING):
        raise _ListError(f"is nested more than {MAX_NESTING} deep")
    return value


def _json(content: bytes) -> Any:
    if not content.strip():
        raise _ListError("is empty; an empty list is written []")
    if content.startswith((b"\x80", b"(l")):
        raise _ListError("is a pickle, which is refused")
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        problem = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise _ListError(f"is not JSON: {problem}") from None
    except RecursionError:
        raise _ListError(f"is nested more than {MAX_NESTING} deep") from None
    except ValueError:
        raise _ListError("is not JSON: it is not text, or has a number without end") from None


def _is_deep(value: object, most: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and (most == 0 or any(_is_deep(one, most - 1) for one in value))


def _texts(value: object) -> Iterator[str]:
    """Yield the texts among the elements of a list, of lists in it too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for element in value:
            yield from _texts(element)


class _Walk:
    """Follows names from file to file, each once."""

    def __init__(self, path: str, find: Find, most: int) -> None:
        self._input = path
        self._most = most
        self._find = find
        self._seen: set[str] = set()
        self._lists: list[str] = []
        self._products: list[str] = []
        self._files: list[str] = []
        self._missing: list[str] = []

    def closure(self) -> Closure:
        """Return what was found."""
        return Closure(
            lists=tuple(self._lists),
            products=tuple(self._products),
            files=tuple(self._files),
            missing=tuple(self._missing),
        )

    def follow(self, path: str, above: tuple[str, ...] = ()) -> None:
        """Take in `path`, which the last of `above` names, and all that it names."""
        if path in above:
            raise InputError(f"list file {path} names itself: {' > '.join((*above, path))}")
        if len(above) > MAX_NESTING:
            raise InputError(f"list files name each other more than {MAX_NESTING} deep: {above[0]}")
        found = self._take(path, above[-1] if above else "")
        if found is None:
            return
        if path[-4:].lower() == ".xml":
            self._products.append(path)
            for file in read_product(found).files:
                if self._take(f"data/{file.name}", path) is not None:
                    self._files.append(f"data/{file.name}")
        elif _is_list(path, found, look=not above):
            self._lists.append(path)
            self._follow_list(path, found, above)
        else:
            self._files.append(path)

    def _take(self, path: str, by: str) -> Path | None:
        """Return where `path` is, None if it is nowhere or was taken already."""
        if path in self._seen:
            return None
        if len(self._seen) >= self._most:
            raise InputError(f"{self._input} names more than {self._most:,} files")
        self._seen.add(path)
        found = self._find(relative(path))
        if found is None:
            self._missing.append(f"{path}, named by {by}" if by else path)
        return found

    def _follow_list(self, path: str, found: Path, above: tuple[str, ...]) -> None:
        for text in _texts(read_list(found)):
            problem = path_problem(text)
            if problem and (_is_named_like_a_file(text) or "/" in text):
                raise InputError(f"list file {path} names {shown(text)}, which {problem}")
            if _is_named_like_a_file(text) or (not problem and self._find(text) is not None):
                self.follow(text, (*above, path))


def _is_named_like_a_file(text: str) -> bool:
    return Path(text).suffix.lower() in FILE_SUFFIXES


def _is_list(path: str, found: Path, *, look: bool) -> bool:
    """Tell whether a file is a list, by its suffix, or by a look at how it begins."""
    if not look or _is_named_like_a_file(path):
        return path[-5:].lower() == ".json"
    try:
        with open_regular(found) as content:
            return content.read(_START_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    except (XmlError, OSError):
        return False
