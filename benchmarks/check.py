"""The outside checker: what the tasks say about themselves, against the workload.

Rule 1: it believes the log that the tasks wrote, never the engine.
Rule 2: one violation makes the run invalid.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workloads import Task, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the log: a task starts or ends, or an adapter says `done`."""

    kind: str
    task: str
    at_ns: int
    pid: int
    cpu_us: int = 0


def read_log(path: Path) -> tuple[Record, ...]:
    """Read the log that the tasks wrote, in the order in which its lines were appended.

    Raises:
        ValueError: a line is torn or strange.
    """
    if not path.exists():
        return ()
    return tuple(_record(line) for line in path.read_text().splitlines())


def _record(line: str) -> Record:
    try:
        kind, task, at_ns, pid, *rest = line.split(" ")
        cpu_us = int(rest[0]) if rest else 0
        return Record(kind=kind, task=task, at_ns=int(at_ns), pid=int(pid), cpu_us=cpu_us)
    except ValueError as error:
        raise ValueError(f"not a line of the task log: {line!r}") from error


def violations(workload: Workload, records: Sequence[Record], *, slots: int) -> list[str]:
    """Say what is wrong; an empty list proves the run.

    Proved are: each task ran exactly once, in one process, for at least its duration, after every
    task it depends on, never with more than `slots` at once, and nothing else ran.
    """
    starts, ends = _by_task(records, "start"), _by_task(records, "end")
    known = {task.id for task in workload.tasks}
    found = [f"{name}: not a task of {workload.name}" for name in sorted(set(starts) - known)]
    for task in workload.tasks:
        found += _count_violations(task, starts[task.id], ends[task.id])
    if not found:
        begin = {name: one[0] for name, one in starts.items()}
        end = {name: one[0] for name, one in ends.items()}
        for task in workload.tasks:
            found += _order_violations(task, begin, end)
        found += _slot_violations(records, slots)
        found += _done_violations(records)
    return found


def _by_task(records: Sequence[Record], kind: str) -> defaultdict[str, list[Record]]:
    grouped: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.kind == kind:
            grouped[record.task].append(record)
    return grouped


def _count_violations(
    task: Task, starts: Sequence[Record], ends: Sequence[Record]
) -> Iterator[str]:
    if len(starts) != 1:
        yield f"{task.id}: started {len(starts)} times"
    if len(ends) != 1:
        yield f"{task.id}: ended {len(ends)} times"


def _order_violations(
    task: Task, begin: dict[str, Record], end: dict[str, Record]
) -> Iterator[str]:
    start, stop = begin[task.id], end[task.id]
    if start.pid != stop.pid:
        yield f"{task.id}: started in process {start.pid}, ended in process {stop.pid}"
    if stop.at_ns - start.at_ns < task.duration_s * 1e9:
        yield f"{task.id}: took less than its {task.duration_s} s"
    for before in task.after:
        if end[before].at_ns > start.at_ns:
            early_ms = (end[before].at_ns - start.at_ns) / 1e6
            yield f"{task.id}: started {early_ms:.3f} ms before {before} ended"


def _slot_violations(records: Sequence[Record], slots: int) -> Iterator[str]:
    running = peak = 0
    for record in sorted(records, key=lambda r: (r.at_ns, r.kind)):  # an end before a start
        running += {"start": 1, "end": -1}.get(record.kind, 0)
        peak = max(peak, running)
    if peak > slots:
        yield f"{peak} tasks ran at once in {slots} slots"


def _done_violations(records: Sequence[Record]) -> Iterator[str]:
    last_ns = max((r.at_ns for r in records if r.kind == "end"), default=0)
    for record in records:
        if record.kind == "done" and record.at_ns < last_ns:
            yield "the engine said done before the last task ended"
