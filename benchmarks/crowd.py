"""What do a hundred thousand tasks on a thousand pilots cost the runner, Dask included?

The real runner, planner, executor and Dask scheduler carry a split to pilots that only speak
(`benchmarks.fake_pilots`, another process): each has its own encrypted connection, says when
attempts start and end, and sends heartbeats. Prints, from the moment when the split is known, the
CPU time for each task: of all threads but the runner's, which are Dask's (scheduler, client,
encryption), of the runner's, and of the planner in it (placing, provisioning, and what it notes of
tasks, pilots and hosts); peak memory; and when the first task of the split was started. The exit
code is 1 if a target is missed.

    python -m benchmarks.crowd
    python -m benchmarks.crowd --tasks 5000 --pilots 100 --json
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import machine
from benchmarks.scale import Stopwatch, pipeline
from euclid_dask.core.events import RunOptions, TaskStarted
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.seams import Inbox
from euclid_dask.core.states import TaskState
from euclid_dask.executors.dask.executor import DaskExecutor
from euclid_dask.executors.server import Server
from euclid_dask.planner import Fleet, Provisioning, Run
from euclid_dask.planner.hosts import Hosts
from euclid_dask.runner import loop
from euclid_dask.runner.believed import PILOTS
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.loop import Runner
from euclid_dask.runner.pilots import PilotDesk
from euclid_dask.runner.start import RunRequest, start_run
from euclid_dask.runner.workspace import Workspace
from euclid_dask.worker.clock import SystemClock

TARGETS = {"scheduler_ms": 0.8, "planner_ms": 0.2, "peak_mb": 600.0, "first_start_s": 10.0}


class Meter:
    """Reads clocks when the split is known and when the run has ended."""

    def __init__(self) -> None:
        self.planner = Stopwatch(time.thread_time)
        self.began: dict[str, float] = {}
        self.fakes: subprocess.Popen[bytes] | None = None

    def time_planner(self) -> None:
        """Time all that the runner asks the planner, and has it note."""
        timed = self.planner.timed
        for name in ("decide", "is_due", "judged"):
            setattr(loop, name, timed(getattr(loop, name)))
        Run.apply = timed(Run.apply)  # type: ignore[method-assign]
        Fleet.apply = timed(Fleet.apply)  # type: ignore[method-assign]
        Provisioning.decide = timed(Provisioning.decide)  # type: ignore[method-assign]
        Hosts.learn = timed(Hosts.learn)  # type: ignore[method-assign]

    def watch(self, runner: Runner) -> None:
        """Note when the split is known; called after each turn of the runner."""
        assert self.fakes is None or self.fakes.poll() is None, "the pilots have ended"
        (active,) = runner.runs.values()
        if not self.began and len(active.run.tasks) > 2:
            self.began = self.read()

    def read(self) -> dict[str, float]:
        """Return what each part has taken so far, in seconds."""
        runner_s = time.thread_time()
        return {
            "wall": time.time(),
            "scheduler": time.process_time() - runner_s,
            "runner": runner_s,
            "planner": self.planner.spent_s,
        }


class Silent:
    """A supply whose batch system starts nothing: the pilots come on their own."""

    def open(self, inbox: Inbox, believed: Mapping[PilotId, JobId]) -> None:
        """Report nothing."""

    def request(self, pilot: PilotId, template: str, avoid: Sequence[str] = ()) -> None:
        """Leave a request in the queue for ever."""

    def retire(self, pilot: PilotId, reason: str, *, joined: bool) -> None:
        """Let it be."""

    def close(self, *, end_pilots: bool) -> None:
        """Do nothing."""


def desk(options: argparse.Namespace, workspace: Workspace) -> PilotDesk:
    """Return what would have the pilots come and go."""
    offer = Resources(cores=options.cores, ram_bytes=1000 * GB, walltime_s=86400.0)
    slots, most = 4 * options.cores, options.pilots
    template = PilotTemplate(name="fake", offer=offer, slots=slots, max_running=most)
    fleet = Fleet(templates={template.name: template})
    return PilotDesk(workspace.records / PILOTS, Silent(), fleet, SystemClock())


def measure(options: argparse.Namespace, workdir: Path) -> dict[str, Any]:
    """Run the split and return the figures."""
    meter = Meter()
    meter.time_planner()
    workspace = Workspace(workdir)
    begun_s = time.time()
    request = RunRequest(flow=pipeline(), inputs={}, workdir=workdir, options=RunOptions())
    active = start_run(request, SystemClock(), software="crowd")
    executor = DaskExecutor(server=Server(folder=workspace.records, host="127.0.0.1"))
    pilots = desk(options, workspace)
    runner = Runner(executor, SystemClock(), on_turn=meter.watch, pilots=pilots)
    runner.add(active)
    ended: dict[str, float] = {}
    close = executor.close

    def read_and_close(*, end_pilots: bool = True) -> None:
        ended.update(meter.read())
        close(end_pilots=end_pilots)

    executor.close = read_and_close  # type: ignore[method-assign]
    with fakes(options, workspace) as meter.fakes:
        runner.run_until_ended()
    tasks = len(active.run.tasks)
    assert active.run.count(TaskState.DONE) == tasks
    active.close()
    spent = {name: ended[name] - meter.began[name] for name in ended}
    return {
        "tasks": tasks,
        "pilots": options.pilots,
        "cores": options.cores,
        "task_s": options.seconds,
        **{f"{name}_ms": round(1e3 * spent[name] / tasks, 3) for name in spent},
        "tasks_per_s": round(tasks / spent["wall"], 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1),
        "first_start_s": round(first_start_s(workspace) - meter.began["wall"], 3),
        "joined_s": round(meter.began["wall"] - begun_s, 1),
    }


def first_start_s(workspace: Workspace) -> float:
    """Return when the first task of the split was started."""
    (run,) = workspace.runs()
    events = read_journal(workspace.files(run).journal)
    return next(
        event.at_s for event in events if isinstance(event, TaskStarted) and event.task != "make"
    )


@contextmanager
def fakes(options: argparse.Namespace, workspace: Workspace) -> "Iterator[subprocess.Popen[bytes]]":
    """Have pilots come that only speak."""
    words = {"pilots": options.pilots, "cores": options.cores, "entries": options.tasks}
    words |= {"seconds": options.seconds, "seed": options.seed}
    command = [sys.executable, "-m", "benchmarks.fake_pilots", str(workspace.records)]
    command += [word for name, value in words.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(command, cwd=machine.ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.crowd",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", type=int, default=100_000, help="of the split (default 100000)")
    parser.add_argument("--pilots", type=int, default=1000, help="that join (default 1000)")
    parser.add_argument("--cores", type=int, default=8, help="of each pilot (default 8)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a task (default 5)")
    parser.add_argument("--seed", type=int, default=1, help="of the durations (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as workdir:
        before = machine.load_average()
        found = measure(options, Path(workdir))
        about = {"machine": machine.describe(Path(workdir)), "load": before, "seed": options.seed}
    if options.json:
        print(json.dumps({**about, "figures": found, "targets": TARGETS}, indent=1))
    else:
        for name, value in found.items():
            most = f"  (target: at most {TARGETS[name]:g})" if name in TARGETS else ""
            print(f"{name:>14} {value:>10g}{most}")
    return int(any(found[name] > most for name, most in TARGETS.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
