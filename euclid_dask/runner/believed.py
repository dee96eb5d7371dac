"""Which pilots may live, as far as their journal tells: not seen to end.

Pilots that nobody asked for, as those of this machine, have none. Which of them are there is noted
beside the journal of their run, for who asks while it goes on.
"""

from contextlib import suppress
from typing import Final

from euclid_dask.core.events import PilotJoined
from euclid_dask.core.ids import PilotId
from euclid_dask.core.states import PilotState
from euclid_dask.core.values import to_json
from euclid_dask.planner import Fleet
from euclid_dask.runner.journal import read_pilots
from euclid_dask.runner.workspace import RunFiles, Workspace

PILOTS: Final = "pilots.jsonl"
"""The journal of pilots, among the records of a workdir."""


def known_fleet(workspace: Workspace, fleet: Fleet | None = None) -> Fleet:
    """Return the pilots as their journal tells, in `fleet` if there is one.

    Raises:
        JournalError: The journal cannot be read, so nobody knows.
    """
    fleet = Fleet() if fleet is None else fleet
    path = workspace.records / PILOTS
    if path.exists():
        for event in read_pilots(path):
            fleet.apply(event)
    return fleet


def believed_pilots(workspace: Workspace) -> frozenset[PilotId]:
    """Return the pilots that may live.

    Raises:
        JournalError: The journal cannot be read, so nobody knows.
    """
    return frozenset(known_fleet(workspace).pilots)


def note_pilots(files: RunFiles, fleet: Fleet) -> None:
    """Note which pilots take tasks of a run now; nothing depends on it but explanations."""
    lines = [
        to_json(
            PilotJoined(
                pilot=pilot.id,
                offer=pilot.offer,
                slots=pilot.slots,
                until_s=pilot.until_s,
                host=pilot.host,
                at_s=pilot.since_s,
            )
        )
        for pilot in fleet.pilots.values()
        if pilot.state is PilotState.UP
    ]
    with suppress(OSError):
        files.pilots.write_bytes(b"".join(line + b"\n" for line in lines))


def noted_pilots(files: RunFiles, fleet: Fleet) -> None:
    """Have the pilots that were noted join `fleet`."""
    with suppress(OSError):
        for event in read_pilots(files.pilots):
            fleet.apply(event)
