"""List files: JSON arrays of file names relative to the workdir."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from euclid_files.writing import write_whole


def read_list(path: str | Path) -> list[object]:
    """Return the elements of a list file; a list of lists of one element each is flattened.

    Raises:
        ValueError: It is no JSON array.
        OSError: It cannot be read.
    """
    elements = json.loads(Path(path).read_bytes())
    if not isinstance(elements, list):
        raise ValueError(f"{path} is no list file: it is not a JSON array")  # noqa: TRY004
    if elements and all(isinstance(one, list) and len(one) == 1 for one in elements):
        return [one[0] for one in elements]
    return elements


def write_list(elements: Iterable[object], path: str | Path) -> None:
    """Write a list file; it is there whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    write_whole(path, json.dumps(list(elements)).encode())
