"""Expressions that choose storages by their labels, as `country=CH & (tier=disk | name=ARCHIVE)`.

    one      = label "=" text | label "!=" text | "!" one | "(" any ")" | "*"
    all      = one { "&" one }
    any      = all { "|" all }

A label is a storage's own; `name` is its name. `*` is any storage.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import Storage

Place = Callable[[Storage], bool]
"""Tells whether a storage is meant."""

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<word>[A-Za-z0-9_.:+-]+)|(?P<sign>!=|==?|[&|!()*]))", re.ASCII
)
_HINT: Final = "write it like: country=CH & (tier=disk | name=ARCHIVE)"


def place(text: str) -> Place:
    """Return the storages that an expression means.

    Raises:
        InputError: It cannot be understood; the message shows where.
    """
    reader = _Reader(text)
    found = reader.any()
    reader.end()
    return found


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def any(self) -> Place:
        found = [self._all()]
        while self._take("|"):
            found.append(self._all())
        return found[0] if len(found) == 1 else lambda it: any(one(it) for one in found)

    def end(self) -> None:
        if self._text[self._at :].strip():
            raise self._error("& or |")

    def _all(self) -> Place:
        found = [self._one()]
        while self._take("&"):
            found.append(self._one())
        return found[0] if len(found) == 1 else lambda it: all(one(it) for one in found)

    def _one(self) -> Place:
        if self._take("*"):
            return lambda _: True
        if self._take("!"):
            inner = self._one()
            return lambda it: not inner(it)
        if self._take("("):
            found = self.any()
            if not self._take(")"):
                raise self._error(")")
            return found
        return self._comparison()

    def _comparison(self) -> Place:
        label = self._word("a label, as country")
        if self._take("!="):
            unwanted = self._word("a text")
            return lambda it: _labels(it).get(label) != unwanted
        if not (self._take("==") or self._take("=")):
            raise self._error("= or !=")
        wanted = self._word("a text")
        return lambda it: _labels(it).get(label) == wanted

    def _take(self, sign: str) -> bool:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match["sign"] != sign:
            return False
        self._at = match.end()
        return True

    def _word(self, wanted: str) -> str:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match["word"] is None:
            raise self._error(wanted)
        self._at = match.end()
        return match["word"]

    def _error(self, wanted: str) -> InputError:
        rest = self._text[self._at :].strip()
        where = f"before {rest[:40]!r}" if rest else "at its end"
        return InputError(f"in the places {self._text!r}: {wanted} is missing {where}", hint=_HINT)


def _labels(storage: Storage) -> Mapping[str, str]:
    return {**storage.labels, "name": storage.name}
