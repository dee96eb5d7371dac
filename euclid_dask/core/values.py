"""The base of every value that is passed around or written down.

Values are `msgspec` structs: immutable, compared by content, and readable from JSON with their
types checked, so that what comes from a file is true by construction (docs/decisions/0002).
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An immutable value; two values with equal fields are equal."""


class Event(Value, frozen=True, kw_only=True, tag_field="event", tag=True):
    """Something that happened. `at_s` is seconds since the epoch, by the runner's clock."""

    at_s: float


def replace(value: T, **changes: Any) -> T:
    """Return a copy of `value` with some fields changed."""
    return msgspec.structs.replace(value, **changes)  # type: ignore[type-var,no-any-return,unused-ignore]


def to_json(value: object) -> bytes:
    """Return `value` as one line of JSON, without the newline."""
    return msgspec.json.encode(value)


def json_reader(kind: type[T]) -> Callable[[bytes | str], T]:
    """Return a function that reads a `kind` from JSON.

    The function raises ValueError, naming the place, when the text is not such a value.
    """
    return msgspec.json.Decoder(kind).decode
