"""What a runner that came back must know: which attempts still live on this host, and which ended.

Processes are found by the markers in their environment (`procfs`), so this works whoever started
them and whatever became of their parents.
"""

import signal
from collections.abc import Mapping
from threading import Event
from time import monotonic

from euclid_dask.core.attempts import Receipt
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.worker import procfs, records
from euclid_dask.worker.procfs import Process

_LOOK_S = 0.02


def find_processes(
    run: RunId, task: TaskId | None = None, attempt: int | None = None
) -> list[Process]:
    """Return the living processes of a run on this host, or of one task or attempt of it."""
    return procfs.marked(_wanted(run, task, attempt))


def kill_processes(
    run: RunId,
    task: TaskId | None = None,
    attempt: int | None = None,
    *,
    grace_s: float = 0.0,
    timeout_s: float = 30.0,
) -> list[Process]:
    """Kill the processes that `find_processes` finds; return those that still live, if any.

    SIGTERM first if `grace_s` is more than 0, then SIGKILL, again and again until none is left
    or `timeout_s` is over. An empty answer means: they are provably dead.
    """
    wanted = _wanted(run, task, attempt)
    alive = procfs.marked(wanted)
    if alive and grace_s > 0:
        for process in alive:
            procfs.send(process, signal.SIGTERM)
        alive = _wait_until_none(wanted, grace_s, signal=None)
    return _wait_until_none(wanted, timeout_s, signal=signal.SIGKILL) if alive else []


def read_started(records_directory: str) -> dict[tuple[TaskId, int], records.Started]:
    """Return what was started according to a run's records, by task and attempt."""
    found = records.all_started(records_directory)
    return {(one.task, one.attempt): one for one in found}


def read_receipts(records_directory: str) -> dict[tuple[TaskId, int], Receipt]:
    """Return the receipts among a run's records, by task and attempt."""
    found = records.all_receipts(records_directory)
    return {(one.task, one.attempt): one for one in found}


def _wanted(run: RunId, task: TaskId | None, attempt: int | None) -> dict[str, str]:
    wanted: dict[str, str] = {procfs.RUN_MARKER: run}
    if task is not None:
        wanted[procfs.TASK_MARKER] = task
    if attempt is not None:
        wanted[procfs.ATTEMPT_MARKER] = str(attempt)
    return wanted


def _wait_until_none(
    wanted: Mapping[str, str], timeout_s: float, *, signal: signal.Signals | None
) -> list[Process]:
    until_s = monotonic() + timeout_s
    pause = Event()
    while alive := procfs.marked(wanted):
        if signal is not None:
            for process in alive:
                procfs.send(process, signal)
        if monotonic() >= until_s:
            break
        pause.wait(_LOOK_S)
    return alive
