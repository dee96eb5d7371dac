"""The traces of attempts on this machine: their records in the workdir, and their processes."""

from collections.abc import Sequence
from typing import Final

from euclid_dask.core.attempts import Place, Receipt
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.core.seams import Traces
from euclid_dask.worker.leftovers import kill_processes
from euclid_dask.worker.records import read_receipt, read_started


class HostTraces:
    """Records on the disk, processes of this host."""

    def was_started(self, place: Place, task: TaskId, attempt: int) -> bool:
        """Tell whether there is a started record, whole or not."""
        return read_started(place.records, task, attempt) is not None

    def receipt(self, place: Place, task: TaskId, attempt: int) -> Receipt | None:
        """Return the receipt of an attempt, None if it left none that can be read."""
        return read_receipt(place.records, task, attempt)

    def kill(
        self, run: RunId, task: TaskId | None = None, attempt: int | None = None
    ) -> Sequence[int]:
        """Kill the process trees; return the ids of processes that do not die."""
        return [process.pid for process in kill_processes(run, task, attempt)]


HOST_TRACES: Final[Traces] = HostTraces()
