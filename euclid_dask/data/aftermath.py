"""Whether tasks harmed their inputs: what they wrote through a link, they wrote into a replica.

Rule: nothing is repaired here; that a replica is suspect from then on is for who calls this.
"""

import os
import stat as kinds
from typing import Final

from euclid_dask.core.values import Value
from euclid_dask.data.stage import Entry, Manifest, Method

_LINKS: Final = frozenset({Method.SYMLINK, Method.HARDLINK, Method.NONE})


class Harm(Value, frozen=True, kw_only=True):
    """A replica that is not what it was when a task got a link to it."""

    entry: Entry
    what: str
    """What happened, as the end of a sentence."""


def harmed(manifest: Manifest) -> tuple[Harm, ...]:
    """Return the replicas that were changed while a task had links to them.

    What a task does to a reflink or copy, or to the link itself, harms nobody.
    """
    linked = (entry for entry in manifest.entries if entry.method in _LINKS)
    found = ((entry, _harm(entry)) for entry in linked)
    return tuple(Harm(entry=entry, what=what) for entry, what in found if what)


def _harm(entry: Entry) -> str:
    try:
        status = os.stat(entry.path, follow_symlinks=False)  # noqa: PTH116
    except OSError as error:
        return f"cannot be read any more: {error.strerror}"
    if status.st_ino != entry.inode or not kinds.S_ISREG(status.st_mode):
        return "was replaced"
    if status.st_size != entry.file.size:
        return f"has {status.st_size} bytes now, and had {entry.file.size}"
    if status.st_mtime_ns != entry.mtime_ns:
        return "was written"
    return ""
