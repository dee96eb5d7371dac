"""List files: JSON arrays of paths or values, and the pickled lists of old executables.

A pickle is read by an unpickler that refuses every global, so it can hold only lists, tuples,
texts and numbers.
"""

import io
import json
import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.texts import argument_problem

_START_BYTES: Final = 64
_KNOWN: Final = frozenset({".json", ".xml", ".fits"})
"""Suffixes that tell what a file is, so that it need not be opened."""


class _ValuesOnly(pickle.Unpickler):
    """An unpickler that builds plain values and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse the global that the pickle asks for."""
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """Refuse the object that the pickle keeps elsewhere."""
        raise pickle.UnpicklingError("it asks for a persistent object")


def read_list(path: str | Path) -> list[Any]:
    """Return the elements of a list file; a list of lists of one element each is flattened.

    Raises:
        InputError: if the file cannot be read or is not a list.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"list file {path} cannot be read: {error.strerror}") from error
    return parse_list(content, str(path))


def is_list_file(path: Path) -> bool:
    """Tell whether a file looks like a list: by its suffix, else by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in _KNOWN:
        return suffix == ".json"
    if not path.is_file():  # to open a pipe is to wait
        return False
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(_START_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"[", b"(l"))
    except OSError:
        return False


def parse_list(content: bytes, where: str) -> list[Any]:
    """Return the elements of a list file's content; `where` names it in errors.

    Raises:
        InputError: if the content is not a list, or no program can be given one of its texts.
    """
    values = _parse(content, where)
    if not isinstance(values, list):
        raise InputError(
            f"list file {where} holds {_kind(values)}, not a list",
            hint="a list file is a JSON array of paths relative to the workdir",
        )
    if not content.isascii() or b"\\" in content or b"\0" in content:  # else all texts are plain
        for problem in _problems(values):
            raise InputError(f"list file {where} has an element that {problem}")
    entries = [list(entry) if isinstance(entry, tuple) else entry for entry in values]
    if entries and all(isinstance(entry, list) and len(entry) == 1 for entry in entries):
        return [entry[0] for entry in entries]
    return entries


def _problems(value: object) -> Iterator[str]:
    """Yield why texts among the elements, of nested lists too, cannot be given to a program."""
    if isinstance(value, str):
        problem = argument_problem(value)
        if problem:
            yield f"{problem}: {value!r}"
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _problems(entry)


def write_list(path: str | Path, entries: Sequence[Any]) -> None:
    """Write a list file as JSON, so that it is there whole or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        half.write_bytes(json.dumps(list(entries)).encode())
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)


def _parse(content: bytes, where: str) -> Any:
    text = content.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text:
        raise InputError(f"list file {where} is empty", hint="an empty list is written []")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise InputError(f"list file {where} is not a list: it is nested too deeply") from error
    except ValueError as error:
        if text[:1] in (b"[", b"{", b"<", b'"'):
            raise InputError(f"list file {where} is not JSON: {_found(text, error)}") from error
        return _unpickle(content, where, error)


def _unpickle(content: bytes, where: str, json_error: ValueError) -> Any:
    try:
        return _ValuesOnly(io.BytesIO(content)).load()
    except pickle.UnpicklingError as error:
        if str(error).startswith("it asks"):
            raise InputError(f"list file {where} is a pickle that is refused: {error}") from error
    except (
        EOFError,
        ValueError,
        IndexError,
        KeyError,
        AttributeError,
        TypeError,
        ImportError,
        MemoryError,
        OverflowError,
    ):
        pass
    raise InputError(f"list file {where} is not JSON: {_found(content, json_error)}")


def _found(content: bytes, error: ValueError) -> str:
    if content.startswith(b"<"):
        return "it is XML"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} in line {error.lineno}, column {error.colno}"
    return "it is not text"


def _kind(value: object) -> str:
    names = {dict: "an object", str: "a text", int: "a number", float: "a number", bool: "a bool"}
    return names.get(type(value), "null" if value is None else f"a {type(value).__name__}")
