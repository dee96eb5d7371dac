"""Sizes and durations as people write them, and back, exactly.

A text that is none raises ValueError.
"""

import re
from decimal import Decimal
from typing import Final

_DECIMAL: Final = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "kB": 10**3, "B": 1}
_BINARY: Final = {"TiB": 1 << 40, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SECONDS: Final = {"d": 86400, "h": 3600, "min": 60, "m": 60, "s": 1}
_NUMBER: Final = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_SIZE: Final = re.compile(rf"({_NUMBER})\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_PART: Final = re.compile(rf"({_NUMBER})\s*(d|h|min|m|s)\s*")
_CLOCK: Final = re.compile(r"(?:([0-9]+)-)?([0-9]+):([0-5]?[0-9]):([0-5]?[0-9])")
_MOST_DIGITS: Final = 25


def parse_size(text: str) -> int:
    """Return a size in bytes. The units are decimal, those with an `i` binary.

    >>> parse_size("1.5 kB"), parse_size("2MiB"), parse_size("16g"), parse_size("1000")
    (1500, 2097152, 16000000000, 1000)
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or len(text) > _MOST_DIGITS:
        raise ValueError(f"'{text}' is no size")
    base = 1024 if found[3] else 1000
    return int(Decimal(found[1]) * base ** _POWERS[found[2].lower()])


def parse_duration(text: str) -> float:
    """Return a duration in seconds.

    >>> [parse_duration(text) for text in ("3d", "2h 30min", "90s", "02:00:00", "1-12:00:00")]
    [259200.0, 9000.0, 90.0, 7200.0, 129600.0]
    """
    whole = text.strip()
    clock, parts = _CLOCK.fullmatch(whole), _PART.findall(whole)
    if len(whole) <= _MOST_DIGITS and clock is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    if not parts or len(whole) > _MOST_DIGITS or _PART.sub("", whole):
        raise ValueError(f"'{text}' is no duration")
    return float(sum(Decimal(number) * _SECONDS[unit] for number, unit in parts))


def size_text(number: int) -> str:
    """Return the shortest text that `parse_size` reads as `number`.

    >>> [size_text(number) for number in (0, 16 * 10**9, 4132 * 10**6, 1 << 34, 1001)]
    ['0B', '16GB', '4132MB', '16GiB', '1001B']
    """
    units = {**_DECIMAL, **_BINARY} if number else {"B": 1}
    texts = [f"{number // unit}{name}" for name, unit in units.items() if number % unit == 0]
    return min(texts, key=len)


def duration_text(seconds: float) -> str:
    """Return a text that `parse_duration` reads as `seconds`.

    >>> [duration_text(number) for number in (0, 259200, 9000, 90, 0.25, 129600)]
    ['0s', '3d', '2h30min', '90s', '0.25s', '36h']
    """
    rest = Decimal(repr(float(seconds)))
    if rest % 60 or not rest:
        return f"{rest.normalize():f}s"
    if not rest % 86400:
        return f"{int(rest) // 86400}d"
    hours, minutes = divmod(int(rest) // 60, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}min" if minutes else "")
