"""What a pilot's supervisor and its Dask worker say to each other: one line a message.

A line is the name of a message and its content as JSON. The worker brings bundles and requests;
the supervisor tells news, and that the pilot is there, with all that runs on it.
"""

from collections.abc import Callable
from typing import Final, Literal

from euclid_dask.core.events import PilotDraining, PilotJoined, PilotLeft
from euclid_dask.core.seams import (
    AttemptEnded,
    AttemptsLost,
    AttemptsReturned,
    AttemptStarted,
    BundleOrder,
    News,
)
from euclid_dask.core.values import Value, json_reader, to_json
from euclid_dask.worker.bundle import AttemptKey

SUPERVISOR: Final = "EUCLID_DASK_SUPERVISOR"
"""The variable that tells a Dask worker the socket of its supervisor."""


class Stop(Value, frozen=True, kw_only=True):
    """Request: end these attempts.

    `how` is "cancel" (on request), "withdraw" (the same, unless they have begun), "abandon" (as
    lost, for `reason`) or "expire" (the same, since the pilot has reached its walltime).
    """

    attempts: tuple[AttemptKey, ...]
    how: Literal["cancel", "withdraw", "abandon", "expire"]
    reason: str = ""


class Retire(Value, frozen=True, kw_only=True):
    """Request: take no more bundles, and leave when those that run have ended."""

    reason: str


Request = BundleOrder | Stop | Retire
"""What a Dask worker says to its supervisor. What a supervisor says is `News`."""

_KINDS: Final[tuple[type, ...]] = (
    *(BundleOrder, Stop, Retire),
    *(AttemptStarted, AttemptEnded, AttemptsReturned, AttemptsLost),
    *(PilotJoined, PilotDraining, PilotLeft),
)
_READERS: Final[dict[str, Callable[[bytes], Request | News]]] = {
    kind.__name__: json_reader(kind) for kind in _KINDS
}


def write_line(message: Request | News) -> bytes:
    """Return a message as one line, with its newline."""
    return type(message).__name__.encode() + b" " + to_json(message) + b"\n"


def read_line(line: bytes) -> Request | News:
    """Return the message that a line is.

    Raises:
        ValueError: It is none.
    """
    name, _, content = line.partition(b" ")
    reader = _READERS.get(name.decode(errors="replace"))
    if reader is None:
        raise ValueError(f"not a message: {line[:80]!r}")
    return reader(content)


def answered(news: News) -> list[AttemptKey]:
    """Return the attempts that news answers."""
    match news:
        case AttemptEnded(run=run, receipt=receipt):
            return [(run, receipt.task, receipt.attempt)]
        case (
            AttemptsReturned(run=run, attempts=attempts) | AttemptsLost(run=run, attempts=attempts)
        ):
            return [(run, task, attempt) for task, attempt in attempts]
        case _:
            return []


class Lines:
    """Bytes as they come in, cut into lines; the rest waits for its end."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, content: bytes) -> list[bytes]:
        """Return the lines that are whole now, without their newlines."""
        *lines, self._rest = (self._rest + content).split(b"\n")
        return lines
