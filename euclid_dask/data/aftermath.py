"""What a task left: whether it harmed its inputs, and where the files are that its products name.

Rule: nothing is repaired here; a replica that a task wrote through a link becomes suspect by who
calls this, and a product whose files are not all there is not registered.
"""

import os
import stat as kinds
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.names import name_problem, shown
from euclid_dask.data.stage import Entry, Manifest, Method

_LINKS: Final = frozenset({Method.SYMLINK, Method.HARDLINK, Method.NONE})


class Harm(Value, frozen=True, kw_only=True):
    """A replica that is not what it was when a task got a link to it."""

    entry: Entry
    what: str
    """What happened, as the end of a sentence."""


class NewFile(Value, frozen=True, kw_only=True):
    """A file that a task wrote and a product of it names."""

    name: str
    path: str
    """The real path, in the attempt's directory."""
    size: int
    mtime_ns: int


class Left(Value, frozen=True, kw_only=True):
    """The files that products of a task name."""

    new: tuple[NewFile, ...] = ()
    inputs: tuple[str, ...] = ()
    """Names of inputs that outputs name again: references, and no copies."""


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


def left(directory: Path, manifest: Manifest, names: Mapping[str, Iterable[str]]) -> Left:
    """Return the files that a task's products name, each once.

    Args:
        directory: The attempt's directory.
        manifest: What was staged there.
        names: The file names of each product, by the product's file.

    Raises:
        InputError: Some are not there, or are not a file of this directory; all are told.
    """
    staged = {entry.file.name for entry in manifest.entries}
    new: dict[str, NewFile] = {}
    inputs: dict[str, None] = {}
    problems: list[str] = []
    for product, name in ((one, name) for one in names for name in names[one]):
        if name in staged:
            inputs[name] = None
            continue
        found = name_problem(name) or _find(directory, name)
        if isinstance(found, NewFile):
            new[name] = found
        else:
            problems.append(f"{product} names {shown(name)}, which {found}")
    if problems:
        raise InputError(
            "; ".join(problems), hint=f"the files of products belong into {directory / 'data'}"
        )
    return Left(new=tuple(new.values()), inputs=tuple(inputs))


def _find(directory: Path, name: str) -> NewFile | str:
    """Return the file of this name in `data`, or what is wrong, as the end of a sentence."""
    real = Path(os.path.realpath(directory / "data" / name))
    if not real.is_relative_to(os.path.realpath(directory)):
        return f"is a link to {real}, outside of the directory of its task"
    try:
        status = real.stat(follow_symlinks=False)
    except FileNotFoundError:
        return "was not written"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not kinds.S_ISREG(status.st_mode):
        return "is no regular file"
    return NewFile(name=name, path=str(real), size=status.st_size, mtime_ns=status.st_mtime_ns)
