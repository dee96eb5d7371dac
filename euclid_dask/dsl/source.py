"""From the text of a script or package definition to code.

A file that is Python 3 but for the block under `if __name__ == '__main__':` loads without that
block, with line numbers kept. Anything else that is not Python 3 is refused.
"""

import re
import warnings
from importlib.util import decode_source
from types import CodeType
from typing import Final

from euclid_dask.core.errors import PipelineError
from euclid_dask.dsl import place
from euclid_dask.dsl.mistakes import syntax_mistake

_MAIN: Final = r"['\"]__main__['\"]"
_TAIL: Final = re.compile(
    rf"^if\s*\(?\s*(__name__\s*==\s*{_MAIN}|{_MAIN}\s*==\s*__name__)\s*\)?\s*:", re.MULTILINE
)
_PIECE: Final = re.compile(
    r"\#[^\n]*"
    r"|(?P<quotes>\'\'\'|\"\"\")(?:\\.|.)*?(?P=quotes)"
    r"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\""
    r"|\\\n|(?P<open>[(\[{])|(?P<close>[)\]}])",
    re.DOTALL,
)
"""What may hold an end of line that ends no statement, in any Python."""


def compile_source(content: bytes, path: str) -> CodeType:
    """Return the code of a file; raise `PipelineError` with file and line if it is no Python 3."""
    try:
        text = decode_source(content)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise PipelineError(
            f"{path}:1: the file cannot be read as text: {error}",
            hint="save it as UTF-8, or name its encoding in the first line: # -*- coding: ... -*-",
        ) from error
    try:
        return _compiled(text, path)
    except (SyntaxError, ValueError, RecursionError) as error:
        first = error
    try:
        code = _compiled(without_tail(text), path)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise _refusal(error, text, path) from error
    line = getattr(first, "lineno", None)
    place.notice(
        f"{path}:{line}: the block under if __name__ == '__main__' is no Python 3 and is left out"
    )
    return code


def without_tail(text: str) -> str:
    """Return `text` with the body of its `__main__` block emptied, its lines kept."""
    lines = text.split("\n")
    going_on: set[int] = set()
    inside = False
    for number, line in enumerate(lines):
        if _TAIL.match(line) and number not in going_on:
            going_on = {number + later for later in _going_on("\n".join(lines[number:]))}
            lines[number], inside = "if False: pass", True
        elif inside and (not line.strip() or line[0] in " \t#" or number in going_on):
            lines[number] = ""
        else:
            inside = False
    return "\n".join(lines)


def _going_on(text: str) -> set[int]:
    """Return the numbers, from 0, of lines that go on with the statement of the line before."""
    numbers: set[int] = set()
    depth, line, end = 0, 0, 0
    for piece in _PIECE.finditer(text):
        between = text.count("\n", end, piece.start())
        within = piece[0].count("\n")
        if depth:
            numbers.update(range(line + 1, line + between + 1))
        line += between
        numbers.update(range(line + 1, line + within + 1))
        line, end = line + within, piece.end()
        depth = max(0, depth + bool(piece["open"]) - bool(piece["close"]))
    return numbers


def _compiled(text: str, path: str) -> CodeType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(text, path, "exec", dont_inherit=True)


def _refusal(error: Exception, text: str, path: str) -> PipelineError:
    line: int | None = getattr(error, "lineno", None)
    lines = text.split("\n")
    shown = lines[line - 1] if line and line <= len(lines) else ""
    return syntax_mistake(path, line, shown, getattr(error, "msg", "") or str(error))
