"""Run one engine once on one workload and take its figures.

Clock: CLOCK_MONOTONIC, which tasks, adapters and this driver share.
CPU: the driver makes itself the reaper of orphans, so that what the engine's processes used, tasks
included, reaches it by wait4; each task logs what it used itself, and that is taken off.
Memory: the proportional set size (PSS) of the engine's processes, tasks excluded, sampled every
50 ms. Sampling costs CPU, so it is done in a run of its own whose times are not used.
"""

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.check import Record, read_log, violations
from benchmarks.workloads import Workload

PR_SET_CHILD_SUBREAPER = 36
SAMPLE_S = 0.05
STRAGGLER_GRACE_S = 15.0
CLOCK_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
NS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One engine process to start."""

    command: Sequence[str]
    env: Mapping[str, str]
    workdir: Path
    log: Path
    timeout_s: float
    sample_memory: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run of an engine took; seconds, milliseconds and MB as the names say.

    `whole_s` goes from the start of the engine's process until it says done, `exit_s` until the
    process has ended. `span_s` goes from the first task's start to the last task's end.
    """

    whole_s: float
    exit_s: float
    first_task_s: float
    span_s: float
    steady_ms: float
    engine_cpu_ms: float
    task_cpu_ms: float
    other_load: float
    peak_mb: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Figures, or what is wrong with the run; figures of an invalid run are for reading only."""

    figures: Figures | None
    wrong: tuple[str, ...]


def become_reaper() -> None:
    """Let orphaned descendants become children of this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def run_once(workload: Workload, slots: int, launch: Launch) -> Outcome:
    """Start the engine, wait for it, check what the tasks say, and do the sums."""
    launch.log.touch()
    busy_before_s = _machine_busy_s()
    output = launch.workdir / "engine.out"
    with output.open("wb") as stream:
        started_ns = time.monotonic_ns()
        process = subprocess.Popen(  # reaped by wait4 below
            launch.command,
            cwd=launch.workdir,
            env=dict(launch.env),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        sampler = _Sampler() if launch.sample_memory else None
        killer = threading.Timer(launch.timeout_s, _kill_descendants)
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        exit_ns = time.monotonic_ns()
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    busy_s = _machine_busy_s() - busy_before_s
    peak_mb = sampler.stop() if sampler else None
    cpu_s = usage.ru_utime + usage.ru_stime + _reap_orphans_s()
    if exit_ns - started_ns > launch.timeout_s * NS:
        return Outcome(figures=None, wrong=(f"not done after {launch.timeout_s:.0f} s",))
    if process.returncode != 0:
        lines = output.read_text(errors="replace").split("\n")
        last = " / ".join([line.strip() for line in lines if line.strip()][-3:])
        return Outcome(figures=None, wrong=(f"exit code {process.returncode}: {last[-400:]}",))
    try:
        records = read_log(launch.log)
    except ValueError as error:
        return Outcome(figures=None, wrong=(str(error),))
    wrong = violations(workload, records, slots=slots)
    if wrong:
        return Outcome(figures=None, wrong=tuple(wrong))
    figures = _figures(records, started_ns, exit_ns, cpu_s=cpu_s, busy_s=busy_s, peak_mb=peak_mb)
    return Outcome(figures=figures, wrong=())


def _figures(
    records: Sequence[Record],
    started_ns: int,
    exit_ns: int,
    *,
    cpu_s: float,
    busy_s: float,
    peak_mb: float | None,
) -> Figures:
    starts = [r.at_ns for r in records if r.kind == "start"]
    ends = [r.at_ns for r in records if r.kind == "end"]
    done_ns = min([r.at_ns for r in records if r.kind == "done"], default=exit_ns)
    task_cpu_s = sum(r.cpu_us for r in records) / 1e6
    exit_s = (exit_ns - started_ns) / NS
    return Figures(
        whole_s=(done_ns - started_ns) / NS,
        exit_s=exit_s,
        first_task_s=(min(starts) - started_ns) / NS,
        span_s=(max(ends) - min(starts)) / NS,
        steady_ms=(max(ends) - min(starts)) / 1e6 / len(ends),
        engine_cpu_ms=(cpu_s - task_cpu_s) * 1e3 / len(ends),
        task_cpu_ms=task_cpu_s * 1e3 / len(ends),
        other_load=max(0.0, busy_s - cpu_s) / exit_s / (os.cpu_count() or 1),
        peak_mb=peak_mb,
    )


def _machine_busy_s() -> float:
    """CPU time this machine has spent on anything at all, stolen time included."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, fields)
    return (user + nice + system + irq + softirq + steal) * CLOCK_TICK_S


def _reap_orphans_s() -> float:
    """Wait for what the engine left behind, end it if it stays, and return its CPU seconds."""
    cpu_s, deadline = 0.0, time.monotonic() + STRAGGLER_GRACE_S
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu_s
        if pid:
            cpu_s += usage.ru_utime + usage.ru_stime
        elif time.monotonic() > deadline:
            _kill_descendants()
        else:
            time.sleep(0.01)


def _kill_descendants() -> None:
    for pid in _descendants():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _descendants() -> list[int]:
    """All processes below this one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third (state) on; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


class _Sampler(threading.Thread):
    """Samples the engine's memory until stopped.

    A process counts once it has lived for a sampling interval: younger ones may be a child between
    vfork and exec, which shares its parent's memory and would count it twice.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._halt = threading.Event()
        self._peak_kb = 0
        self.start()

    def stop(self) -> float:
        self._halt.set()
        self.join()
        return self._peak_kb / 1024

    def run(self) -> None:
        while not self._halt.wait(SAMPLE_S):
            uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME)
            self._peak_kb = max(self._peak_kb, sum(_pss_kb(p, uptime_s) for p in _descendants()))


def _pss_kb(pid: int, uptime_s: float) -> int:
    stat = _stat(pid)
    try:
        task = Path(f"/proc/{pid}/comm").read_text().strip() == "tick"
        if not stat or task or uptime_s - int(stat[19]) * CLOCK_TICK_S < SAMPLE_S:
            return 0
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except (OSError, ValueError):
        return 0  # it ended meanwhile
    return 0
