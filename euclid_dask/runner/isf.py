"""The data file of a run (ISF): `key=value` lines that name the files of the input ports.

Source: the public prototype of the original and its users' wrappers; see docs/reference/files.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.texts import is_question
from euclid_dask.data.regular import regular

RESERVED: Final = frozenset({"workdir", "logdir", "pkgRepository", "pipelineDir", "edenVersion"})
"""Keys that are no ports."""
ABSENT: Final = frozenset({"", "None", "data/None", "data/"})
"""Values that mean: no file."""

_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True, slots=True)
class Isf:
    """What a data file says. `ports` maps a port to its value, None for no file."""

    path: Path
    ports: dict[str, str | None]
    settings: dict[str, str]
    lines: dict[str, int]

    def where(self, key: str) -> str:
        """Return `file:line` of a key."""
        return f"{self.path}:{self.lines[key]}"


def parse_isf(path: Path, environment: Mapping[str, str]) -> Isf:
    """Read a data file; `$VAR` and `${VAR}` are taken from `environment`.

    Only a question (`query: ...`) has a `=` in its value.

    Raises:
        InputError: The file cannot be read, a line is no `key=value`, a key is there twice, or a
            variable is not set. All wrong lines are named at once.
    """
    try:
        text = regular(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(
            f"cannot read the data file {path}: {reason}", hint="give one with --isf FILE"
        ) from error
    isf = Isf(path, {}, {}, {})
    problems: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw if not raw.lstrip().startswith("#") else ""
        line = re.sub(r"\s#.*$", "", line).strip()
        if line:
            problem = _take(isf, line, number, environment)
            if problem:
                problems.append(f"{path}:{number}: {problem}")
    if problems:
        raise InputError(
            "\n".join(problems), hint="a line is: port=file, or a comment that begins with #"
        )
    return isf


def is_absent(value: str) -> bool:
    """Tell whether a value means that there is no file."""
    return value in ABSENT


def _take(isf: Isf, line: str, number: int, environment: Mapping[str, str]) -> str:
    """Add one line; return what is wrong with it, "" for nothing."""
    key, equals, value = (part.strip() for part in line.partition("="))
    if not equals or not key or ("=" in value and not is_question(value)):
        return f"not a line of the form key=value: {line}"
    if key in isf.lines:
        return f"{key!r} was given before, in line {isf.lines[key]}"
    unset = [name for name in _names(value) if name not in environment]
    if unset:
        return f"the environment variable {unset[0]} is not set"
    value = _VARIABLE.sub(lambda found: environment[found[1] or found[2]], value)
    isf.lines[key] = number
    if key in RESERVED:
        isf.settings[key] = value
    else:
        isf.ports[key] = None if is_absent(value) else value
    return ""


def _names(value: str) -> list[str]:
    return [first or second for first, second in _VARIABLE.findall(value)]
