"""Which pilots may live, as far as their journal tells: not seen to end."""

from typing import Final

from euclid_dask.core.ids import PilotId
from euclid_dask.planner import Fleet
from euclid_dask.runner.journal import read_pilots
from euclid_dask.runner.workspace import Workspace

PILOTS: Final = "pilots.jsonl"
"""The journal of pilots, among the records of a workdir."""


def believed_pilots(workspace: Workspace) -> frozenset[PilotId]:
    """Return the pilots that may live.

    Raises:
        JournalError: The journal cannot be read, so nobody knows.
    """
    path = workspace.records / PILOTS
    fleet = Fleet()
    if path.exists():
        for event in read_pilots(path):
            fleet.apply(event)
    return frozenset(fleet.pilots)
