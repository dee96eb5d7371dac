"""Which pilots may live, as far as the journal of pilots tells: asked for, and not seen to end."""

from collections.abc import Callable
from typing import Final

from euclid_dask.core.errors import JournalError
from euclid_dask.core.events import PilotEvent, PilotLeft, PilotRequested, PilotSubmitted
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.values import json_reader
from euclid_dask.runner.workspace import Workspace

PILOTS: Final = "pilots.jsonl"

_read_event: Callable[[bytes], PilotEvent] = json_reader(PilotEvent)  # type: ignore[arg-type]


def believed_pilots(workspace: Workspace) -> dict[PilotId, JobId]:
    """Return the pilots that may live, with their jobs ("" if none is known).

    Raises:
        JournalError: A line cannot be read, so nobody knows.
    """
    path = workspace.records / PILOTS
    believed: dict[PilotId, JobId] = {}
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return believed
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            event = _read_event(line)
        except ValueError as error:
            raise JournalError(
                f"{path}:{number}: not an event of a pilot: {error}",
                hint="see that no pilot of this workdir runs, then remove the file",
            ) from error
        match event:
            case PilotRequested(pilot=pilot):
                believed[pilot] = JobId("")
            case PilotSubmitted(pilot=pilot, job=job):
                believed[pilot] = job
            case PilotLeft(pilot=pilot):
                believed.pop(pilot, None)
            case _:
                pass
    return believed
