"""Numbers, sizes and times in words for people."""

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_CONTROL: Final = {code: "�" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "task"), counted(2, "task"), counted(12345, "branch")
    ('1 task', '2 tasks', '12,345 branches')
    """
    plural = "" if number == 1 else "es" if noun.endswith(("ch", "x", "ss")) else "s"
    return f"{number:,} {noun}{plural}"


def duration(seconds: float) -> str:
    """Return a duration as people say it.

    >>> [duration(s) for s in (0.042, 3.21, 59.96, 61, 3700, 90061)]
    ['0.04 s', '3.2 s', '1 min 0 s', '1 min 1 s', '1 h 1 min', '25 h 1 min']
    """
    if seconds < 0.995:
        return f"{max(0.0, seconds):.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def lapse(seconds: float) -> str:
    """Return a time that may be very short.

    >>> [lapse(s) for s in (0, 0.00042, 0.0042, 0.42, 3.21, 3700)]
    ['0 ms', '0.42 ms', '4.2 ms', '420 ms', '3.2 s', '1 h 1 min']
    """
    return (
        f"{1000 * seconds:.2g} ms"
        if seconds < 0.095
        else (f"{10 * round(100 * seconds)} ms" if seconds < 0.995 else duration(seconds))
    )


def percent(share: float) -> str:
    """Return a share in percent.

    >>> [percent(share) for share in (0, 0.0042, 0.0421, 0.5, 1.25)]
    ['0 %', '0.42 %', '4.2 %', '50 %', '125 %']
    """
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def size(number: float) -> str:
    """Return a number of bytes with its unit.

    >>> [size(n) for n in (0, 999, 1500, 2_000_000, 16e9)]
    ['0 B', '999 B', '1.5 kB', '2 MB', '16 GB']
    """
    unit = 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number /= 1000
        unit += 1
    text = f"{number:.3g}" if unit else f"{number:.0f}"
    return f"{text} {_UNITS[unit]}"


def ram(number: float) -> str:
    """Return a peak of RAM, of which 0 means that it is not known.

    >>> [ram(n) for n in (0, 16e9)]
    ['-', '16 GB']
    """
    return size(number) if number else "-"


def moment(seconds: float) -> str:
    """Return a time in UTC.

    >>> moment(0)
    '1970-01-01 00:00:00 UTC'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def printable(text: str) -> str:
    r"""Return a text of unknown origin without characters that could confuse a terminal.

    >>> printable("red\x1b[31m")
    'red�[31m'
    """
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROL)


def listed(names: list[str], most: int = 20) -> str:
    """Return names in one line, at most `most` of them.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
