"""Names: which are legal in a dataflow path, and which one the author may have meant.

A task's path is its directory, its parts joined by dots (docs: `correct.iterations.3.cosmics`).
So a part holds no dot and no slash, and is short enough to be a file name with a port behind it.
"""

from collections.abc import Iterable
from typing import Final

MAX_PART_BYTES: Final = 200
"""The longest part of a path; file systems allow 255 bytes, and a port's name may follow."""


def name_problem(name: str) -> str:
    """Return why `name` cannot be a part of a dataflow path, or "" if it can."""
    if not name:
        return "is empty"
    for mark in "./":
        if mark in name:
            return f"contains {mark!r}, which separates the parts of a path"
    if not name.isprintable():
        return "contains characters that cannot be printed"
    if len(name.encode()) > MAX_PART_BYTES:
        return f"is longer than {MAX_PART_BYTES} bytes"
    return ""


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return the candidate most like `name`, or "" if none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - needed for errors only

    pool = {candidate.lower(): candidate for candidate in candidates}
    found = get_close_matches(name.lower(), list(pool), n=1, cutoff=0.6)
    return pool[found[0]] if found else ""


def did_you_mean(name: str, candidates: Iterable[str], what: str) -> str:
    """Return a hint: the nearest candidate if there is one, and the list of all.

    `what` says what the candidates are: "its ports".
    """
    known = sorted(set(candidates))
    if not known:
        return f"{what}: none"
    best = nearest(name, known)
    listing = f"{what}: {', '.join(known)}"
    return f"did you mean '{best}'? {listing}" if best else listing
