"""Processes as Linux shows them in /proc: who they are, what they use, whose they are.

Every signal goes through a pidfd of a process whose start time was checked, so a recycled pid is
never hit.
"""

import os
import shlex
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
_NOTHING = b"\0\0"


class Process(NamedTuple):
    """A process; `started` is in clock ticks since boot and tells apart a recycled pid.

    `cpu_s` includes its children that ended and were waited for.
    """

    pid: int
    parent: int
    group: int
    session: int
    started: int
    cpu_s: float
    rss_bytes: int
    dead: bool
    """It has ended and was not waited for."""


def markers(run: RunId, task: TaskId, attempt: int) -> dict[str, str]:
    """Return the variables by which an attempt's processes are found."""
    return {RUN_MARKER: run, TASK_MARKER: task, ATTEMPT_MARKER: str(attempt)}


def read_any(pid: int) -> Process | None:
    """Return a process, dead or alive; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123
            text = file.read().decode("latin-1")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
        cpu_s=_TICK_S * sum(map(int, fields[11:15])),
        rss_bytes=_PAGE * int(fields[21]),
        dead=fields[0] in _DEAD,
    )


def read_process(pid: int) -> Process | None:
    """Return a process, None if it does not live (a zombie does not)."""
    process = read_any(pid)
    return None if process is None or process.dead else process


def lives(process: Process) -> bool:
    """Tell whether a process still lives."""
    now = read_process(process.pid)
    return now is not None and now.started == process.started


def living() -> Iterator[Process]:
    """Yield every living process of this host."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdecimal() and (process := read_process(int(name))) is not None:
            yield process


def trees(leaders: Iterable[int], processes: Mapping[int, Process]) -> dict[int, list[Process]]:
    """Return which of some processes are of each leader: its session, its descendants, itself."""
    found: dict[int, list[Process]] = {leader: [] for leader in leaders}
    for process in processes.values():
        owner = _owner(process, processes, found)
        if owner is not None:
            found[owner].append(process)
    return found


def adopted() -> list[int]:
    """Return the children of this process's main thread; those of lost parents are among them."""
    own = os.getpid()
    with suppress(OSError), open(f"/proc/{own}/task/{own}/children", "rb", buffering=0) as file:  # noqa: PTH123
        return [int(pid) for pid in file.read().split()]
    return []


def marked(wanted: Mapping[str, str]) -> list[Process]:
    """Return the living processes that carry all of these variables in their environment.

    A process that is about to become another program shows none: it is looked at once more.
    """
    found, silent = [], []
    for process in living():
        block = _environment(process.pid)
        if block == _NOTHING:
            silent.append(process)
        elif _has_all(block, wanted):
            found.append(process)
    return found + [process for process in silent if carries(process.pid, wanted)]


def carries(pid: int, wanted: Mapping[str, str]) -> bool:
    """Tell whether a process carries all of these variables in its environment."""
    return _has_all(_environment(pid), wanted)


def _has_all(block: bytes, wanted: Mapping[str, str]) -> bool:
    return all(f"\0{name}={value}\0".encode() in block for name, value in wanted.items())


def variable(pid: int, name: str) -> str:
    """Return a variable of a process's environment, "" if it has none of that name."""
    _, _, rest = _environment(pid).partition(f"\0{name}=".encode())
    return rest.partition(b"\0")[0].decode(errors="replace")


def command_line(pid: int) -> str:
    """Return the command line of a process as one would type it, "" if it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:  # noqa: PTH123
            words = file.read().split(b"\0")[:-1]
    except OSError:
        return ""
    return shlex.join(word.decode(errors="replace") for word in words)


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process, unless it has ended."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        if lives(process):
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
    import psutil  # noqa: PLC0415  fast start

    try:
        return int(psutil.Process(process.pid).memory_full_info().pss)
    except psutil.Error:
        return process.rss_bytes


def io_bytes(process: Process) -> tuple[int, int]:
    """Return the bytes that a process read from and wrote to storage."""
    import psutil  # noqa: PLC0415  fast start

    try:
        io = psutil.Process(process.pid).io_counters()
    except psutil.Error:
        return 0, 0
    return io.read_bytes, io.write_bytes


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


def _environment(pid: int) -> bytes:
    """Return the environment that a process was executed with, each variable between zeros."""
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb", buffering=0) as file:  # noqa: PTH123
        return b"\0" + file.read() + b"\0"
    return b""


def own_age_s() -> float:
    """Return the seconds since this process began, whatever it has executed since (`exec`)."""
    own = read_any(os.getpid())
    return (ticks_now() - own.started) * _TICK_S if own is not None else 0.0


def ticks_now() -> int:
    """Return the clock ticks since boot, on the scale of `Process.started`."""
    return int(clock_gettime(CLOCK_BOOTTIME) / _TICK_S)
