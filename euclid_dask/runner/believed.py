"""Which pilots may live, as far as their journal tells: not seen to end."""

from typing import Final

from euclid_dask.core.ids import PilotId
from euclid_dask.planner import Fleet
from euclid_dask.runner.journal import read_pilots
from euclid_dask.runner.workspace import Workspace

PILOTS: Final = "pilots.jsonl"
"""The journal of pilots, among the records of a workdir."""


def known_fleet(workspace: Workspace) -> Fleet:
    """Return the pilots as their journal tells, without the templates of their site.

    Raises:
        JournalError: The journal cannot be read, so nobody knows.
    """
    fleet = Fleet()
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
