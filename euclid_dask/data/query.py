"""Questions for products: their text, and what it says.

    DpdVisRawFrame where Data.ObservationSequence.ObservationId == 31283 and not
        (Header.DataSetRelease like SC8_* or Header.CreationDate < dt(2023,1,1,0,0,0))

Rule 1: the texts that clients of the archive use are among those that are read here: `=` for
`==`, `&` and `&&` for `and`, values without quotes, `*` for anything in a value after `like`.
Rule 2: a condition holds when one of the values at its path meets it; `a != b` is `not a == b`,
so that a product without such a value is among the answers.
Rule 3: this module knows no database.

Source: query texts in public scripts that retrieve products from the archive.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.names import shown
from euclid_dask.data.products import number_of, value_path


class Operator(StrEnum):
    """How a value is compared."""

    EQUAL = "=="
    LESS = "<"
    LESS_EQUAL = "<="
    GREATER = ">"
    GREATER_EQUAL = ">="
    LIKE = "like"
    """Like a text in which `*` stands for any characters."""


class Condition(Value, frozen=True, kw_only=True):
    """That a value at a path compares so."""

    path: str
    """Local names joined by dots, a doubled step once."""
    operator: Operator
    text: str
    number: float | None = None
    """The value as a number, when it is one and was written without quotes."""


class Not(Value, frozen=True, kw_only=True):
    """That something does not hold."""

    part: "Expression"


class All(Value, frozen=True, kw_only=True):
    """That all parts hold."""

    parts: "tuple[Expression, ...]"


class Any(Value, frozen=True, kw_only=True):
    """That one of the parts holds."""

    parts: "tuple[Expression, ...]"


Expression = Condition | Not | All | Any


class Query(Value, frozen=True, kw_only=True):
    """A question for products of a type."""

    type: str
    """The local name of the root element, as `DpdVisRawFrame`; the empty text for all types."""
    where: Expression = All(parts=())


def parse_query(text: str, type_: str = "") -> Query:
    """Return the query that a text says.

    Args:
        text: `TYPE`, `TYPE where CONDITIONS`, or conditions alone, as the archive has them.
        type_: The type of products when the text says none.

    Raises:
        InputError: It is no such text, with the place where it goes wrong.

    >>> parse_query("DpdVisRawFrame where Data.TileIndex==90346").type
    'DpdVisRawFrame'
    """
    parser = _Parser(text)
    head = _HEAD.match(text)
    if head is not None:
        type_ = head["type"]
        parser.position = head.end()
    if parser.is_at_end():
        if not type_:
            raise InputError("the query is empty", hint="name a type of products, at least")
        return Query(type=type_)
    return Query(type=type_, where=parser.whole())


def paths(expression: Expression) -> frozenset[str]:
    """Return the paths that an expression speaks of."""
    match expression:
        case Condition(path=path):
            return frozenset({path})
        case Not(part=part):
            return paths(part)
        case All(parts=parts) | Any(parts=parts):
            return frozenset[str]().union(*map(paths, parts))


_MAX_TEXT: Final = 10_000
_MAX_DEPTH: Final = 50
_HEAD: Final = re.compile(r"\s*(?P<type>[A-Za-z_]\w*)\s*(?:$|where\s)", re.IGNORECASE)
_PATH: Final = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)+")
_AND: Final = re.compile(r"&&?|and\b", re.IGNORECASE)
_OR: Final = re.compile(r"\|\|?|or\b", re.IGNORECASE)
_NOT: Final = re.compile(r"!(?!=)|not\b", re.IGNORECASE)
_OPEN: Final = re.compile(r"\(")
_CLOSE: Final = re.compile(r"\)")
_OPERATOR: Final = re.compile(r"==|!=|<=|>=|=|<|>|like\b", re.IGNORECASE)
_QUOTED: Final = re.compile(r'"([^"]*)"|\'([^\']*)\'')
_BARE: Final = re.compile(r"[^\s&|()<>=!\"']+")
_DATE: Final = re.compile(r"dt\(([\d\s,]*)\)", re.IGNORECASE)
_SPATIAL: Final = re.compile(r"spatial_query|contains\b|intersects?\b", re.IGNORECASE)


class _Literal(NamedTuple):
    text: str
    number: float | None = None


class _Parser:
    """Reads a text from left to right."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_TEXT:
            raise InputError(f"the query has more than {_MAX_TEXT} characters")
        self._text = text
        self.position = 0
        self._depth = 0

    def is_at_end(self) -> bool:
        """Tell whether nothing but blanks is left."""
        return not self._text[self.position :].strip()

    def whole(self) -> Expression:
        """Return what all of the text says."""
        expression = self._any()
        if not self.is_at_end():
            raise self._error("'and' or 'or'")
        return expression

    def _any(self) -> Expression:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise InputError(f"the query is nested more than {_MAX_DEPTH} deep")
        parts = [self._all()]
        while self._take(_OR):
            parts.append(self._all())
        self._depth -= 1
        return _joined(Any, parts)

    def _all(self) -> Expression:
        parts = [self._one()]
        while self._take(_AND):
            parts.append(self._one())
        return _joined(All, parts)

    def _one(self) -> Expression:
        negated = False
        while self._take(_NOT):
            negated = not negated
        if self._take(_OPEN):
            expression = self._any()
            if not self._take(_CLOSE):
                raise self._error("')'")
        else:
            expression = self._condition()
        return Not(part=expression) if negated else expression

    def _condition(self) -> Expression:
        if self._take(_SPATIAL):
            raise InputError(
                "queries for places on the sky are not answered here",
                hint="ask for Data.TileIndex or for ids of observations",
            )
        path = self._take(_PATH)
        if path is None:
            raise self._error("a path, as Header.DataSetRelease")
        sign = self._take(_OPERATOR)
        if sign is None:
            raise self._error("one of == != < <= > >= like")
        literal = self._literal()
        operator = _OPERATORS[sign[0].lower()]
        condition = Condition(
            path=value_path(path[0]), operator=operator, text=literal.text, number=literal.number
        )
        return Not(part=condition) if sign[0] == "!=" else condition

    def _literal(self) -> _Literal:
        if quoted := self._take(_QUOTED):
            return _Literal(quoted[1] or quoted[2] or "")
        if date := self._take(_DATE):
            return _Literal(_date(date[1]))
        if bare := self._take(_BARE):
            return _Literal(bare[0], number_of(bare[0]))
        raise self._error("a value, in quotes if it has blanks")

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        position = self.position
        while position < len(self._text) and self._text[position].isspace():
            position += 1
        found = pattern.match(self._text, position)
        if found is not None:
            self.position = found.end()
        return found

    def _error(self, wanted: str) -> InputError:
        rest = self._text[self.position :].strip()
        place = f"at {shown(rest)}" if rest else "at its end"
        return InputError(f"the query wants {wanted} {place}")


_OPERATORS: Final = {
    **{operator.value: operator for operator in Operator},
    "=": Operator.EQUAL,
    "!=": Operator.EQUAL,
}


def _joined(kind: type[All | Any], parts: Sequence[Expression]) -> Expression:
    return parts[0] if len(parts) == 1 else kind(parts=tuple(parts))


def _date(text: str) -> str:
    try:
        date = datetime(*map(int, text.split(",")))  # type: ignore[arg-type] # noqa: DTZ001 -- all are UTC
    except (TypeError, ValueError) as error:
        raise InputError(
            f"dt({text}) is no date: {error}", hint="write dt(YEAR,MONTH,DAY,HOUR,MINUTE,SECOND)"
        ) from None
    return date.isoformat(timespec="seconds")
