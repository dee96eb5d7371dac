"""Amounts as people write them: `1.5 GB`, `80%`, `0.1-2`.

Each function names the amount that it refuses, and says how one is written.
"""

import re
from typing import Final

from euclid_dask.core import amounts
from euclid_dask.core.errors import InputError

_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|min|h|)")
_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def parse_size(text: str, what: str, whole_bytes: int | None = None) -> int:
    """Return a size in bytes; a size in percent is a part of `whole_bytes`.

    >>> parse_size("1.5 kB", "ram"), parse_size("2MiB", "ram"), parse_size("50%", "ram", 1000)
    (1500, 2097152, 500)
    """
    text = text.strip()
    if whole_bytes is not None and text.endswith("%"):
        return int(whole_bytes * _number(text[:-1], what, text) / 100)
    try:
        return amounts.parse_size(text)
    except ValueError as error:
        percent = ", 50%" if whole_bytes is not None else ""
        raise InputError(
            f"{what}: {error}", hint=f"sizes are written: 1000, 5 MB, 1.5GiB{percent}"
        ) from None


def parse_duration(text: str, what: str) -> tuple[float, float]:
    """Return the shortest and the longest of a duration in seconds.

    >>> parse_duration("0.1-2", "duration"), parse_duration("100ms", "duration")
    ((0.1, 2.0), (0.1, 0.1))
    """
    parts = [_DURATION.fullmatch(part.strip()) for part in text.split("-")]
    found = [float(part[1]) * _SECONDS[part[2]] for part in parts if part is not None]
    if len(found) != len(parts) or len(found) > 2 or found != sorted(found):
        raise InputError(
            f"{what}: '{text}' is no duration",
            hint="durations are written: 5, 0.1-2 (the shorter first), 100ms, 2min, 1h",
        )
    return found[0], found[-1]


def check_share(value: float, what: str) -> float:
    """Return a number that has to be from 0 to 1."""
    if not 0 <= value <= 1:
        raise InputError(f"{what}: {value:g} is not from 0 to 1", hint="1 % is written 0.01")
    return value


def check_count(value: int, what: str) -> int:
    """Return a number that must not be negative."""
    if value < 0:
        raise InputError(f"{what}: {value} is negative")
    return value


def _number(text: str, what: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{what}: '{whole}' is no percentage", hint="such as 80%") from None
