"""The floor of anything in Python: one loop of posix_spawn and wait4 that keeps logs and checks."""

import os
import sys
from collections import deque
from pathlib import Path
from typing import Any

from benchmarks.engines import Engine, arguments, as_module
from benchmarks.mark import done

CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def start(task: dict[str, Any]) -> int:
    """Start a task with its log files and return its process id."""
    out, err = task["logs"]
    opens = [(os.POSIX_SPAWN_OPEN, 1, out, CREATE, 0o644)]
    opens += [(os.POSIX_SPAWN_OPEN, 2, err, CREATE, 0o644)]
    return os.posix_spawn(task["argv"][0], task["argv"], os.environ, file_actions=opens)


def main() -> None:
    """Start ready tasks first come, first served."""
    _, job = arguments()
    waits_for = {task["id"]: len(task["after"]) for task in job["tasks"]}
    followers: dict[str, list[dict[str, Any]]] = {name: [] for name in waits_for}
    for task in job["tasks"]:
        for before in task["after"]:
            followers[before].append(task)
    ready = deque(task for task in job["tasks"] if not task["after"])
    running: dict[int, dict[str, Any]] = {}
    while ready or running:
        while ready and len(running) < job["slots"]:
            task = ready.popleft()
            running[start(task)] = task
        pid, status, _usage = os.wait4(-1, 0)
        task = running.pop(pid)
        if status != 0 or not Path(task["output"]).stat().st_size:
            sys.exit(f"{task['id']} failed")
        for follower in followers[task["id"]]:
            waits_for[follower["id"]] -= 1
            if waits_for[follower["id"]] == 0:
                ready.append(follower)
    done()


ENGINES = (
    Engine(
        name="floor-python",
        title="floor, in Python",
        duties="logs, rusage, checks",
        prepare=lambda job: as_module(job, "floor_python", "loop"),
    ),
)

if __name__ == "__main__":
    main()
