"""Processes as Linux shows them in /proc: who they are, what they use, whose they are.

An attempt's processes are those of its session, the descendants of its first process, and those
that carry its markers in their environment. Every signal goes through a pidfd of a process whose
start time was checked, so a recycled pid is never hit.
"""

import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from time import CLOCK_BOOTTIME, clock_gettime
from typing import Final, NamedTuple

from euclid_dask.core.ids import RunId, TaskId

RUN_MARKER: Final = "EUCLID_DASK_RUN"
TASK_MARKER: Final = "EUCLID_DASK_TASK"
ATTEMPT_MARKER: Final = "EUCLID_DASK_ATTEMPT"

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_DEAD = frozenset("ZXx")


class Process(NamedTuple):
    """A living process; `started` is in clock ticks since boot and tells apart a recycled pid.

    `cpu_s` includes its children that ended and were waited for.
    """

    pid: int
    parent: int
    group: int
    session: int
    started: int
    cpu_s: float
    rss_bytes: int


def markers(run: RunId, task: TaskId, attempt: int) -> dict[str, str]:
    """Return the variables by which an attempt's processes are found."""
    return {RUN_MARKER: run, TASK_MARKER: task, ATTEMPT_MARKER: str(attempt)}


def read_process(pid: int) -> Process | None:
    """Return a process, None if it does not live (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123
            text = file.read().decode("latin-1")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in _DEAD:
        return None
    return Process(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
        cpu_s=_TICK_S * sum(map(int, fields[11:15])),
        rss_bytes=_PAGE * int(fields[21]),
    )


def living() -> Iterator[Process]:
    """Yield every living process of this host."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdecimal() and (process := read_process(int(name))) is not None:
            yield process


def trees(leaders: Iterable[int]) -> dict[int, list[Process]]:
    """Return the living processes of each leader: its session, its descendants, itself."""
    found: dict[int, list[Process]] = {leader: [] for leader in leaders}
    processes = {process.pid: process for process in living()}
    for process in processes.values():
        owner = _owner(process, processes, found)
        if owner is not None:
            found[owner].append(process)
    return found


def marked(wanted: Mapping[str, str]) -> list[Process]:
    """Return the living processes that carry all of these variables in their environment."""
    needles = [f"\0{name}={value}\0".encode() for name, value in wanted.items()]
    return [process for process in living() if _carries(process.pid, needles)]


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process, unless it has ended."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        now = read_process(process.pid)
        if now is not None and now.started == process.started:
            signal.pidfd_send_signal(handle, number)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        os.close(handle)


def family(leader: int) -> list[int]:
    """Return a process and its living descendants, without looking at any other process."""
    found = [leader]
    for pid in found:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
                with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:  # noqa: PTH123
                    found += map(int, file.read().split())
    return found


def peak_rss_bytes(pid: int) -> int:
    """Return the largest RAM that a process had since it was executed, 0 if it has ended."""
    with suppress(OSError), open(f"/proc/{pid}/status", "rb", buffering=0) as file:  # noqa: PTH123
        _, found, rest = file.read().partition(b"\nVmHWM:")
        if found:
            return 1024 * int(rest.split(None, 1)[0])
    return 0


def shared_ram_bytes(process: Process) -> int:
    """Return the proportional RAM of a process: shared pages divided among those who share."""
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", "rb") as file:  # noqa: PTH123
            for line in file:
                if line.startswith(b"Pss:"):
                    return 1024 * int(line.split()[1])
    except OSError:
        return process.rss_bytes
    return process.rss_bytes


def io_bytes(process: Process) -> tuple[int, int]:
    """Return the bytes that a process read from and wrote to storage."""
    try:
        with open(f"/proc/{process.pid}/io", "rb", buffering=0) as file:  # noqa: PTH123
            lines = dict(line.split(b": ") for line in file.read().splitlines())
    except (OSError, ValueError):
        return 0, 0
    return int(lines.get(b"read_bytes", 0)), int(lines.get(b"write_bytes", 0))


def _owner(
    process: Process, processes: Mapping[int, Process], leaders: Mapping[int, object]
) -> int | None:
    seen: Process | None = process
    for _ in range(len(processes)):
        if seen is None or seen.pid <= 1:
            return None
        for candidate in (seen.session, seen.pid):
            if candidate in leaders:
                return candidate
        seen = processes.get(seen.parent)
    return None


def _carries(pid: int, needles: Iterable[bytes]) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:  # noqa: PTH123
            block = b"\0" + file.read() + b"\0"
    except OSError:
        return False
    return all(needle in block for needle in needles)


def ticks_now() -> int:
    """Return the clock ticks since boot, on the scale of `Process.started`."""
    return int(clock_gettime(CLOCK_BOOTTIME) / _TICK_S)
