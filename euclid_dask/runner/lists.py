"""The list files that the engine itself reads and writes: before a split and after it."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from euclid_dask.core.effects import ReadList, WriteList
from euclid_dask.core.errors import InputError
from euclid_dask.core.events import (
    IdentityBy,
    InputFile,
    ListJoined,
    SplitExpanded,
    SplitFailed,
)
from euclid_dask.core.ids import SplitId
from euclid_dask.planner.nodes import Given
from euclid_dask.planner.run import Run
from euclid_dask.worker.fingerprints import file_identity, list_identity
from euclid_dask.worker.lists import read_list, write_list

FILE_SUFFIXES: Final = frozenset(
    {".csv", ".dat", ".fits", ".fz", ".gz", ".hdf5", ".h5", ".json", ".png", ".txt", ".xml"}
)
"""An element of a list that ends like this is a file, even when it is not there."""


def read(run: Run, workdir: Path, effect: ReadList, at_s: float) -> SplitExpanded | SplitFailed:
    """Read the list that a split goes over; an element that is a list gets a file of its own."""
    split = run.splits[effect.split]
    if not effect.path:
        reason = (
            f"the list '{split.node.iterable}' that '{effect.split}' goes over is None; give a file"
        )
        return SplitFailed(at_s=at_s, split=effect.split, reason=f"{reason}, if empty one with []")
    source = split.iterated
    path = workdir / effect.path
    by = run.options.identity_by if isinstance(source, Given) else None
    try:
        entries = read_list(path)
        items = tuple(
            _item(workdir, effect.split, number, entry, by)
            for number, entry in enumerate(entries, 1)
        )
        _refuse_unused(run, effect.split, len(items))
    except (InputError, OSError) as error:
        return SplitFailed(at_s=at_s, split=effect.split, reason=str(error))
    return SplitExpanded(at_s=at_s, split=effect.split, items=items)


def _refuse_unused(run: Run, split: SplitId, count: int) -> None:
    """Refuse files that were given for outputs of branches that there are not.

    Raises:
        InputError: There is such a file.
    """
    beginning = f"{split}.iterations."
    for name in run.options.given:
        if name.startswith(beginning):
            number = name[len(beginning) :].partition(".")[0]
            if number != "*" and not 1 <= int(number) <= count:
                raise InputError(
                    f"--given {name}: there is no such branch, split '{split}' has {count}"
                )


def write(workdir: Path, effect: WriteList, at_s: float) -> ListJoined | SplitFailed:
    """Write the joined list of a split."""
    path = workdir / effect.path
    try:
        write_list(path, effect.entries)
    except OSError as error:
        return SplitFailed(at_s=at_s, split=effect.split, reason=f"{path}: {error.strerror}")
    return ListJoined(at_s=at_s, split=effect.split)


def is_as_written(path: Path, entries: Sequence[Any]) -> bool:
    """Tell whether a joined list is on the disk as it was written."""
    return path.is_file() and path.read_text(errors="replace") == json.dumps(list(entries))


def rewrite_item(workdir: Path, split: SplitId, number: int, path: str) -> None:
    """Write the file of element `number` of the list at `path` again, if it has one."""
    with suppress(InputError, OSError, IndexError):
        _item(workdir, split, number, read_list(workdir / path)[number - 1], None)


def _item(
    workdir: Path, split: SplitId, number: int, entry: Any, by: IdentityBy | None
) -> InputFile:
    """Return what branch `number` receives for `entry`.

    A text is given as it is, a list as the path of a list file with it, nothing for null, and
    anything else as its JSON. Elements of a list from outside are files from outside, with an
    identity of their own, compared by `by`; those of a list made in the run (None) are known by
    what made the list.
    """
    if isinstance(entry, list):
        path, is_file = f"{split}.map/{number}.json", True
        write_list(workdir / path, entry)
    elif entry is None:
        path, is_file = "", False
    elif isinstance(entry, str):
        path, is_file = entry, _is_file(workdir, entry)
    else:
        path, is_file = json.dumps(entry), False
    identity = ""
    if by is not None and isinstance(entry, list):
        identity = list_identity(workdir, path, by)
    elif by is not None:
        identity = file_identity(workdir, path, by) if is_file else "text"
    return InputFile(path=path, identity=identity, is_file=is_file)


def _is_file(workdir: Path, entry: str) -> bool:
    """Tell whether an element is a file: it exists, or is named like one that should exist."""
    if Path(entry).suffix.lower() in FILE_SUFFIXES:
        return True
    try:
        return (workdir / entry).exists()
    except (OSError, ValueError):  # too long for a name, or no name at all
        return False
