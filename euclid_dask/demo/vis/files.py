"""Files that appear under their own names only when they are whole; lists of files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from program import VisError

JSON_LIST_OPENS: Final = b"["


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, and rename it to `path` when the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write a JSON file with sorted keys."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


# --- list files


def is_list_file(path: Path) -> bool:
    """Tell whether a file holds a JSON list, whatever its name says."""
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(JSON_LIST_OPENS)


def read_rows(path: Path, workdir: Path) -> list[Any]:
    """Read a list file; elements that name list files are replaced by what those hold.

    So a split in a split, whose join is a list of list files, reads as a list of lists.

    Raises:
        VisError: it is not a JSON list, or an element is not a file.
    """
    try:
        elements = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        raise VisError(f"'{path.name}' is not a JSON list file") from None
    if not isinstance(elements, list):
        raise VisError(f"'{path.name}' holds JSON, but no list")
    return [_element(element, path, workdir) for element in elements]


def _element(element: object, owner: Path, workdir: Path) -> Any:
    if isinstance(element, list):
        return [_element(inner, owner, workdir) for inner in element]
    if not isinstance(element, str):
        raise VisError(f"'{owner.name}' holds {element!r}, which is not a path")
    path = workdir / element
    if not path.is_file():
        raise VisError(f"'{owner.name}' names '{element}', which is not a file")
    return read_rows(path, workdir) if is_list_file(path) else path


def read_paths(path: Path, workdir: Path) -> list[Path]:
    """Read a list file, or lists of lists, as one flat list of at least one path."""
    paths = list(_flatten(read_rows(path, workdir)))
    if not paths:
        raise VisError(f"the list '{path.name}' is empty")
    return paths


def _flatten(rows: Iterable[Any]) -> Iterator[Path]:
    for row in rows:
        if isinstance(row, list):
            yield from _flatten(row)
        else:
            yield row


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """The files of one reduced detector frame."""

    frame: Path
    detections: Path
    psf: Path


def read_reduced(path: Path, workdir: Path) -> list[Reduced]:
    """Read the rows (frame, detections, psf) of all exposures and detectors, in their order.

    Raises:
        VisError: a row does not hold three files, or there is no row.
    """
    paths = read_paths(path, workdir)
    if len(paths) % 3:
        raise VisError(f"'{path.name}' has {len(paths)} files, not three for each frame")
    return [
        Reduced(frame=frame, detections=detections, psf=psf)
        for frame, detections, psf in zip(paths[::3], paths[1::3], paths[2::3], strict=True)
    ]
