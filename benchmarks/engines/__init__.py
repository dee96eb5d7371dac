"""The engines that are compared: one adapter file each.

An adapter module offers `ENGINES`. The driver imports it with the standard library alone, so it
imports its engine inside a function; the same file is what the engine's own Python runs.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.workloads import Task, Workload

ALL_KINDS = frozenset({"bag", "chains", "scatter", "graph"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run to prepare: files go to `workdir`, which is fresh and holds `out/` and `logs/`."""

    workload: Workload
    slots: int
    workdir: Path
    tick: Path
    spawner: Path
    python: Path

    def argv(self, task: Task) -> list[str]:
        """The command line of one task."""
        return [
            str(self.tick),
            f"--id={task.id}",
            f"--duration={task.duration_s:f}",
            f"--out={self.output(task.id)}",
        ]

    def output(self, task_id: str) -> Path:
        """The file that a task creates."""
        return self.workdir / "out" / f"{task_id}.txt"

    def logs(self, task_id: str) -> tuple[str, str]:
        """The files for a task's stdout and stderr."""
        base = self.workdir / "logs" / task_id
        return f"{base}.out", f"{base}.err"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One row of the table.

    `duties` says what it does for a task beside running it: logs, checks, journal.
    `prepare` writes what the engine reads (not timed) and returns the command that is timed.
    """

    name: str
    title: str
    duties: str
    prepare: Callable[[Job], list[str]]
    requirements: tuple[str, ...] = ()
    kinds: frozenset[str] = ALL_KINDS
    env: Mapping[str, str] = field(default_factory=dict)
    shows: tuple[str, ...] = ()


def as_module(job: Job, module: str, variant: str) -> list[str]:
    """Write the job for an adapter that runs inside its engine's Python, and return its command."""
    tasks = [
        {
            "id": task.id,
            "after": task.after,
            "argv": job.argv(task),
            "output": str(job.output(task.id)),
            "logs": job.logs(task.id),
        }
        for task in job.workload.tasks
    ]
    path = job.workdir / "job.json"
    path.write_text(json.dumps({"slots": job.slots, "workdir": str(job.workdir), "tasks": tasks}))
    return [str(job.python), "-m", f"benchmarks.engines.{module}", variant, str(path)]


def arguments() -> tuple[str, dict[str, Any]]:
    """The variant and the job that `as_module` passed on."""
    variant, path = sys.argv[1:]
    return variant, json.loads(Path(path).read_text())
