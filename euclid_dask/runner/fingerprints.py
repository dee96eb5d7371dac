"""The identity of files from outside: what a run compares to know that an input has changed.

By default a file is known by its size and mtime, which costs one stat; `content` reads it and
takes its SHA-256. A list file or product also stands for the files it names, so their
identities are part of its own.
"""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from euclid_dask.core.errors import EuclidDaskError
from euclid_dask.core.events import IdentityBy
from euclid_dask.core.flow import Flow
from euclid_dask.runner.products import file_names
from euclid_dask.worker.lists import read_list

_BLOCK: Final = 1 << 20
_PARSE_LIMIT: Final = 64 << 20
"""Larger files are not looked into for the files they name, in bytes."""


def file_identity(workdir: Path, path: str, by: IdentityBy = "mtime") -> str:
    """Return the identity of a file, or of a text that is no file.

    `path` is relative to the workdir.
    """
    parts = [_one(_join(workdir, path), by)]
    if _may_name(path):
        others = (name for name in closure(workdir, path) if name != path)
        parts += [_one(_join(workdir, name), by) for name in others]
    if len(parts) == 1:
        return parts[0]
    return "tree " + hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def list_identity(workdir: Path, path: str, by: IdentityBy = "mtime") -> str:
    """Return the identity of a list file that we wrote: its entries, and all files it names.

    When it was written says nothing: it is written again in every run.
    """
    parts = [same_text(read_list(workdir / path))]
    others = (name for name in closure(workdir, path) if name != path)
    parts += [_one(_join(workdir, name), by) for name in others]
    return "list " + hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def closure(workdir: Path, path: str) -> list[str]:
    """Return `path` and all files it names, directly or not: of lists, and of products."""
    found: dict[str, None] = {}
    work = [path]
    while work:
        name = work.pop()
        if name in found:
            continue
        found[name] = None
        work += named_by(workdir, name)
    return list(found)


def named_by(workdir: Path, path: str) -> list[str]:
    """Return the files that a list or product names, as paths relative to the workdir."""
    if not _may_name(path):
        return []
    file = workdir / path
    try:
        if file.stat().st_size > _PARSE_LIMIT:
            return []
        if file.suffix.lower() == ".xml":
            return [f"data/{name}" for name in file_names(file)]
        names = _texts(read_list(file))
        return [name for name in names if os.path.isfile(_join(workdir, name))]  # noqa: PTH113
    except (OSError, ValueError, EuclidDaskError):
        return []


def program_identity(command: tuple[str, ...], search_path: str | None = None) -> str:
    """Return the identity of the files among a command's words: its program and scripts.

    `search_path` is used for the first word, as PATH.
    """
    parts = []
    for number, word in enumerate(command):
        found = _which(word, search_path) if number == 0 else word if os.sep in word else None
        if found is not None and Path(found).is_file():
            parts.append(_one(found, "mtime"))
    return " ".join(parts)


def program_versions(flow: Flow, source: str) -> dict[str, str]:
    """Return the identity of each executable's program, in the environment of `source`."""
    return {
        key: " ".join(part for part in (program_identity(spec.command), source) if part)
        for key, spec in flow.executables.items()
    }


def _which(word: str, search_path: str | None) -> str | None:
    import shutil  # noqa: PLC0415  not needed by most callers

    return shutil.which(word, path=search_path)


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
