"""Where in the author's files we are, and what we have to tell them.

Every message of this room begins with the file and line of the author's script or package
definition: the innermost frame that is theirs. Warnings and notices are collected while a
pipeline is loaded; outside of that a warning is an ordinary Python warning.
"""

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import CodeType, FrameType, TracebackType
from typing import Any

from euclid_dask.core.errors import PipelineError
from euclid_dask.dataflow.names import did_you_mean

OURS = ("euclid_dask.dsl", "euclid_dask.compat", "euclidwf")


@dataclass(slots=True)
class Remarks:
    """What the author should know about a pipeline that loads all the same."""

    warnings: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


_remarks: ContextVar[Remarks | None] = ContextVar("remarks", default=None)
_roots: ContextVar[tuple[str, ...]] = ContextVar("roots", default=())


@contextmanager
def collecting(*roots: str) -> Iterator[Remarks]:
    """Collect remarks; frames of files under `roots` are the author's before all others."""
    remarks = Remarks()
    tokens = _remarks.set(remarks), _roots.set(roots)
    try:
        yield remarks
    finally:
        _remarks.reset(tokens[0])
        _roots.reset(tokens[1])


def roots() -> tuple[str, ...]:
    """Return the directories of the pipeline being loaded."""
    return _roots.get()


def warn(text: str) -> None:
    """Tell the author of something that is probably a mistake."""
    remarks = _remarks.get()
    if remarks is None:
        warnings.warn(text, stacklevel=4)
    elif text not in remarks.warnings:
        remarks.warnings.append(text)


def notice(text: str) -> None:
    """Tell the author of something that may be meant."""
    remarks = _remarks.get()
    if remarks is not None and text not in remarks.notices:
        remarks.notices.append(text)


def user_frames() -> Iterator[FrameType]:
    """Yield the frames outside of this room, the innermost first."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no public way
    while frame is not None:
        if not _is_ours(frame):
            yield frame
        frame = frame.f_back


def user_line() -> str:
    """Return `file:line` of the innermost frame that is the author's, "" if there is none."""
    frames = list(user_frames())
    chosen = next((frame for frame in frames if _in_roots(frame)), None) or (
        frames[0] if frames else None
    )
    return f"{chosen.f_code.co_filename}:{chosen.f_lineno}" if chosen else ""


def line_of(error: BaseException) -> str:
    """Return `file:line` of the author's innermost frame in the traceback of `error`."""
    lines = list(_walk(error.__traceback__))
    theirs = [item for item in lines if _in_roots(item[0])] or lines
    if not theirs:
        return user_line()
    frame, number = theirs[-1]
    return f"{frame.f_code.co_filename}:{number}"


def line_of_code(code: CodeType) -> str:
    """Return `file:line` of the definition of a function, its decorator included."""
    return f"{code.co_filename}:{code.co_firstlineno}"


def at(where: str, text: str) -> str:
    """Return the message `text`, led by `where` if it is known."""
    return f"{where}: {text}" if where else text


def refuse_unknown(what: str, unknown: Iterable[str], known: tuple[str, ...]) -> None:
    """Refuse keywords that the definition `what` does not have."""
    for name in unknown:
        raise PipelineError(
            at(user_line(), f"{what} has no argument '{name}'"),
            hint=did_you_mean(name, known, "its arguments"),
        )


def _walk(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        if not _is_ours(traceback.tb_frame):
            yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _is_ours(frame: FrameType) -> bool:
    variables: dict[str, Any] = frame.f_globals
    name = str(variables.get("__name__", ""))
    return name.startswith(tuple(f"{ours}." for ours in OURS)) or (
        name in OURS or frame.f_code.co_filename.startswith("<frozen ")
    )


def _in_roots(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(tuple(f"{root}/" for root in _roots.get()))
