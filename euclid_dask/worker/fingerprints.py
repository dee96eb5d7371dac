"""The identity of files: what a run compares to know that an input or output has changed.

By default a file is known by its size and mtime, which costs one stat; `content` reads it and
takes its SHA-256. A list file or product also stands for the files it names, so their
identities are part of its own.
"""

import hashlib
import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from euclid_dask.core.attempts import Fingerprint
from euclid_dask.core.errors import EuclidDaskError
from euclid_dask.core.events import IdentityBy
from euclid_dask.worker.lists import is_list_file, read_list
from euclid_dask.worker.products import file_names

_BLOCK: Final = 1 << 20
_PARSE_LIMIT: Final = 64 << 20
"""Larger files are not looked into for the files they name, in bytes."""


def file_identity(workdir: Path, path: str, by: IdentityBy = "mtime") -> str:
    """Return the identity of a file, or of a text that is no file.

    `path` is relative to the workdir.
    """
    own = _one(_join(workdir, path), by)
    named = _named(workdir, path, by)
    return f"tree {_digest([own, *named], 16)}" if named else own


def list_identity(workdir: Path, path: str, by: IdentityBy = "mtime") -> str:
    """Return the identity of a list file that we wrote: its entries, and all files it names.

    When it was written says nothing: it is written again in every run.
    """
    entries = same_text(read_list(workdir / path))
    return f"list {_digest([entries, *_named(workdir, path, by)], 16)}"


def fingerprint(workdir: Path, path: str, found: os.stat_result, *, digest: bool) -> Fingerprint:
    """Return how a file stands, of which `found` is known; with `digest`, by content too."""
    return Fingerprint(
        path=path,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        named=named_identity(workdir, path),
        content=file_identity(workdir, path, "content") if digest else "",
    )


def named_identity(workdir: Path, path: str) -> str:
    """Return the identity of all files that a list or product names, "" if it names none."""
    named = _named(workdir, path, "mtime")
    return _digest(named, 8) if named else ""


def stat_identity(file: str) -> str:
    """Return the size and mtime of a file, as a text; a text too if it is no file."""
    return _one(file, "mtime")


def closure(workdir: Path, path: str) -> list[str]:
    """Return `path` and all files it names, directly or not: of lists, and of products."""
    found: dict[str, None] = {}
    work = [path]
    while work:
        name = work.pop()
        if name in found:
            continue
        found[name] = None
        work += named_by(workdir, name, look=name == path)
    return list(found)


def named_by(workdir: Path, path: str, *, look: bool = True) -> list[str]:
    """Return the files that a list or product names, as paths relative to the workdir.

    A list may have any name, which takes a look into it; without, its suffix is `.json`.
    """
    file = workdir / path
    if not _may_name(path) and not (look and is_list_file(file)):
        return []
    try:
        if file.stat().st_size > _PARSE_LIMIT:
            return []
        if file.suffix.lower() == ".xml":
            return [f"data/{name}" for name in file_names(file)]
        names = _texts(read_list(file))
        return [name for name in names if os.path.isfile(_join(workdir, name))]  # noqa: PTH113
    except (OSError, ValueError, EuclidDaskError):
        return []


def _named(workdir: Path, path: str, by: IdentityBy) -> list[str]:
    """Return the identities of the files that `path` names, directly or not."""
    return [_one(_join(workdir, name), by) for name in closure(workdir, path) if name != path]


def _digest(parts: Sequence[str], size: int) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=size).hexdigest()


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for entry in value for text in _texts(entry)]
    return []


def _may_name(path: str) -> bool:
    """Tell whether a file may name others, by its suffix: a list or a product."""
    return path[-5:].lower() == ".json" or path[-4:].lower() == ".xml"


def _join(workdir: Path, name: str) -> str:
    """Join paths as texts: there is one for each element of a list."""
    return os.path.join(workdir, name)  # noqa: PTH118


def _one(file: str, by: IdentityBy) -> str:
    try:
        found = os.stat(file)  # noqa: PTH116
        if not stat.S_ISREG(found.st_mode):
            return "no file"
        if by == "mtime":
            return f"{found.st_size}:{found.st_mtime_ns}"
        digest = hashlib.sha256()
        with open(file, "rb") as stream:  # noqa: PTH123
            while block := stream.read(_BLOCK):
                digest.update(block)
    except (OSError, ValueError):
        return "no file"
    return f"sha256:{digest.hexdigest()}"


def same_text(value: object) -> str:
    """Return a text for any JSON value, the same for equal values."""
    return json.dumps(value, sort_keys=True)
