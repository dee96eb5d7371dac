"""The scene of an outage: a Slurm of our own, a site on it, and a run of many short tasks."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from benchmarks.outages.check import (
    Attempt,
    Blow,
    Mark,
    Verdict,
    judge,
    read_events,
    read_marks,
)

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "tools"))

from clusters import Cluster, running, slurm  # noqa: E402 - it is no package

PATIENCE_S = 120.0
CORES = 2
"""Of a pilot: so many tasks run there at once."""
TICK_S = 0.05
LONG = "nap_1"
NODE = {"CPUS": "4", "MEM": "4000"}
"""More than the machine has: tasks only sleep."""

SITE = """\
workspace = "{workspace}"
batch = "slurm"
[network]
interface = "{interface}"
[intervals]
poll = "2s"
submit = "0s"
[pilots]
scratch = "{scratch}"
margin = "1s"
idle_timeout = "30s"
{pilots}
[defaults]
boot = "3s"
[templates.pilot]
cores = {cores}
ram = "500MB"
walltime = "{walltime}"
max_running = {most}
max_queued = {most}
"""
PROGRAM = """\
import os, sys, time
from pathlib import Path

options = dict(word[2:].split("=", 1) for word in sys.argv[1:])
task = Path(options["logdir"]).name
number = int(task.rpartition("_")[2] or 0)
least, most = {seconds}
marks = os.open("{marks}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def mark(what):
    words = (what, task, os.environ["EUCLID_DASK_ATTEMPT"], repr(time.time()))
    os.write(marks, (" ".join(words) + "\\n").encode())

mark("start")
seconds = least + (most - least) * (number * 0.618034 % 1)
if task == "{long}" and os.environ["EUCLID_DASK_ATTEMPT"] == "1":
    seconds = max(seconds, {long_s})
for _ in range(round(seconds / {tick_s})):
    time.sleep({tick_s})
    mark("tick")
with open(Path(options["workdir"], options["out"]), "w") as output:
    output.write("<done/>" + 4096 * " ")
mark("end")
"""
SCRIPT = """\
from euclidwf.framework.taskdefs import ComputingResources, Executable, Output
from euclidwf.framework.workflow_dsl import pipeline

nap = Executable(
    "{python} -I -S {program}",
    inputs=[],
    outputs=[Output("out")],
    resources=ComputingResources(cores=1.0, ram=0.1, walltime={declared_s} / 3600),
)

@pipeline(outputs=tuple(f"o{{n}}" for n in range({tasks})))
def flow():
    return tuple(nap() for _ in range({tasks}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is run, and how long an outage lasts that is to end again."""

    tasks: int = 200
    seconds: tuple[float, float] = (1.0, 5.0)
    outage_s: float = 60.0
    pilots: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What an outage needs of the site: values of its file, and where Slurm and runner are.

    `settings` are those of the cluster's script. The first attempt of the task LONG takes at least
    `long_s`.
    """

    walltime: str = "1h"
    pilots: str = ""
    interface: str = "lo"
    workspace: Path | None = None
    cluster: Callable[[str], Cluster] = slurm
    settings: Mapping[str, str] = field(default_factory=dict)
    runner_host: tuple[str, ...] = ()
    long_s: float = 0.0


@dataclass
class Scene:
    """A run on the pilots of a Slurm, to be disturbed; `struck_s` is when it was."""

    folder: Path
    cluster: Cluster
    size: Size
    stage: Stage
    runners: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    began_s: float = 0.0
    struck_s: float = 0.0
    ended_s: float = 0.0

    def __post_init__(self) -> None:
        self.workspace.mkdir(exist_ok=True)
        scratch = self.folder / "scratch"
        scratch.mkdir()
        program = self.folder / "program.py"
        program.write_text(
            PROGRAM.format(
                seconds=self.size.seconds,
                long=LONG,
                long_s=self.stage.long_s,
                tick_s=TICK_S,
                marks=self.folder / "marks",
            )
        )
        (self.folder / "flow.py").write_text(
            SCRIPT.format(
                python=sys.executable,
                program=program,
                tasks=self.size.tasks,
                declared_s=2 * max(self.size.seconds[1], self.stage.long_s),
            )
        )
        (self.folder / "site.toml").write_text(
            SITE.format(
                workspace=self.workspace,
                scratch=scratch,
                cores=CORES,
                walltime=self.stage.walltime,
                pilots=self.stage.pilots,
                interface=self.stage.interface,
                most=self.size.pilots,
            )
        )

    @property
    def workspace(self) -> Path:
        """Where the runs work."""
        return self.stage.workspace or self.folder / "ws"

    @property
    def workdir(self) -> Path:
        """The workdir of the run."""
        return self.workspace / "w"

    @property
    def runner(self) -> "subprocess.Popen[bytes]":
        """The last runner."""
        return self.runners[-1]

    # ---- the run

    def run(self) -> None:
        """Start the run."""
        self.began_s = monotonic()
        site = str(self.folder / "site.toml")
        self._start("run", "flow.py", "--site", site, "--workdir", str(self.workdir))

    def resume(self) -> None:
        """Take the run up again."""
        self._start("resume", str(self.workdir))

    def kill_runner(self) -> None:
        """Kill runner and scheduler outright."""
        self.runner.send_signal(signal.SIGKILL)
        self.runner.wait()

    def _start(self, *words: str) -> None:
        number = len(self.runners) + 1
        environment = {**os.environ, **self.cluster.environment, "COLUMNS": "200"}
        line = [*self.stage.runner_host, sys.executable, "-m", "euclid_dask", *words]
        with (
            (self.folder / f"stdout.{number}").open("wb") as stdout,
            (self.folder / f"stderr.{number}").open("wb") as stderr,
        ):
            self.runners.append(
                subprocess.Popen(
                    line, cwd=self.folder, env=environment, stdout=stdout, stderr=stderr
                )
            )

    def wait(self) -> float:
        """Wait for the end of the run; return how long it all has taken."""
        most_s = PATIENCE_S + 3 * self.size.outage_s + 2 * self.size.tasks * self.size.seconds[1]
        self.runner.wait(most_s)
        self.ended_s = self.ended_s or monotonic()
        return self.ended_s - self.began_s

    def end(self) -> None:
        """End what is left."""
        for runner in self.runners:
            if runner.poll() is None:
                runner.kill()
                runner.wait()

    # ---- what there is to see

    def marks(self) -> list[Mark]:
        """Return what the tasks wrote."""
        return read_marks(self.folder / "marks")

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return the journal's events, of one kind or all."""
        journals = list(self.workdir.glob(".euclid-dask/*/journal.jsonl"))
        found = [event for journal in journals for event in read_events(journal)]
        return [event for event in found if not name or event["event"] == name]

    def pilots(self, name: str) -> list[dict[str, Any]]:
        """Return the events of pilots of one kind."""
        journal = self.workdir / ".euclid-dask" / "pilots.jsonl"
        events = read_events(journal) if journal.exists() else []
        return [event for event in events if event["event"] == name]

    def said(self) -> list[str]:
        """Return what the runners told their user."""
        texts = (path.read_text() for path in sorted(self.folder.glob("std*.?")))
        return [line for text in texts for line in text.splitlines()]

    def verdict(self, blow: Blow, *, runners: int = 1) -> Verdict:
        """Return what the run came to; it is to have taken so many runners."""
        found = judge(self.size.tasks, self.marks(), self.events(), blow)
        if self.runner.returncode:
            found.wrong.append(f"the runner ended with exit code {self.runner.returncode}")
        if len(self.runners) != runners:
            found.wrong.append(f"it took {len(self.runners)} runners")
        return found

    def until_under_way(self) -> None:
        """Wait until all pilots have joined and some tasks are done."""
        wait_for(lambda: len(self.pilots("PilotJoined")) >= self.size.pilots, self.runner)
        wait_for(lambda: len(self.events("TaskSucceeded")) >= self.size.tasks // 10, self.runner)

    # ---- what there is to disturb

    def busy_pilot(self) -> str:
        """Return a pilot on which a task runs, as soon as one does."""
        running: list[Attempt] = []

        def looked() -> bool:
            marks = self.marks()
            ended = {mark.attempt for mark in marks if mark.what == "end"}
            running.extend(mark.attempt for mark in marks if mark.attempt not in ended)
            return bool(running)

        wait_for(looked, self.runner)
        return self.pilot_of(*running[-1])

    def pilot_of(self, task: str, attempt: int) -> str:
        """Return the pilot that an attempt was given to."""
        ordered = self.events("TasksOrdered")
        return next(str(one["pilot"]) for one in ordered if [task, attempt] in one["tasks"])

    def pilots_on(self, node: str) -> frozenset[str]:
        """Return the pilots that are on a node."""
        lines = self.cluster.run("squeue", "-h", "-w", node, "-o", "%i").split()
        events = self.pilots("PilotSubmitted")
        return frozenset(str(event["pilot"]) for event in events if event["job"] in lines)

    def job_of(self, pilot: str) -> str:
        """Return the job that a pilot is."""
        events = self.pilots("PilotSubmitted")
        return next(str(event["job"]) for event in events if event["pilot"] == pilot)

    def joined(self) -> frozenset[str]:
        """Return the pilots that have joined so far."""
        return frozenset(str(event["pilot"]) for event in self.pilots("PilotJoined"))

    def node_of(self, pilot: str) -> str:
        """Return the node that a pilot is on."""
        return self.cluster.run("squeue", "-h", "-o", "%B", "-j", self.job_of(pilot)).strip()

    def process_of(self, pilot: str, module: str) -> int:
        """Return the process of a pilot that runs this module."""
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                try:
                    words = (folder / "cmdline").read_bytes().decode().split("\0")
                except OSError:
                    continue
                if module in words and pilot in words and "--pilot" in words:
                    return int(folder.name)
        raise AssertionError(f"no {module} of {pilot}")


def wait_for(condition: Callable[[], Any], runner: "subprocess.Popen[bytes]") -> None:
    """Wait until a condition holds; the runner is to live meanwhile."""
    until_s = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < until_s, "not in time"
        assert runner.poll() is None, "the runner has ended"
        sleep(0.1)


@contextmanager
def opened(folder: Path, size: Size, stage: Stage) -> Iterator[Scene]:
    """Have a scene, with a Slurm of its own."""

    def cluster(at: str) -> Cluster:
        plain = stage.cluster(at)
        settings = {**plain.settings, **NODE, **stage.settings}
        return Cluster(plain.script, settings, plain.environment, plain.host)

    with running(cluster) as slurm_cluster:
        scene = Scene(folder, slurm_cluster, size, stage)
        try:
            yield scene
        finally:
            scene.end()


def call(*words: str | Path) -> None:
    """Run a command of this machine."""
    subprocess.run(words, check=True)
