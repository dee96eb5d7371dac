"""Ending what is left of attempts on this host, for a runner that came back or lost them.

Processes are found by the markers in their environment (`procfs`), so this works whoever started
them and whatever became of their parents.
"""

import logging
import signal
from collections.abc import Sequence
from threading import Event
from time import monotonic

from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.worker import procfs
from euclid_dask.worker.procfs import Process

_LOOK_S = 0.02
_PATIENCE_S = 30.0

log = logging.getLogger(__name__)


def kill_processes(
    run: RunId, task: TaskId | None = None, attempt: int | None = None
) -> Sequence[Process]:
    """Kill the processes of a run on this host, or of one attempt; return those that still live.

    They get SIGKILL, again and again until none is left or half a minute is over. An empty answer
    means: they are provably dead.
    """
    wanted = {procfs.RUN_MARKER: str(run)}
    if task is not None and attempt is not None:
        wanted = procfs.markers(run, task, attempt)
    until_s = monotonic() + _PATIENCE_S
    told: set[int] = set()
    while alive := procfs.marked(wanted):
        for process in alive:
            if process.pid not in told:
                told.add(process.pid)
                _tell(process)
            procfs.send(process, signal.SIGKILL)
        if monotonic() >= until_s:
            break
        Event().wait(_LOOK_S)
    return alive


def sentence(task: str, command: str) -> str:
    """Return what to say of a process that is killed; "" if nothing is known: it just died."""
    if not task and not command:
        return ""
    owner = f" of task '{task}'" if task else ""
    return f"a process{owner} still ran and is killed" + (f": {command}" if command else "")


def _tell(process: Process) -> None:
    task = procfs.variable(process.pid, procfs.TASK_MARKER)
    told = sentence(task, procfs.command_line(process.pid))
    if told:
        log.warning("%s", told)
