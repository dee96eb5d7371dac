"""Pipelines on pilots, by the command line: on this machine, on a real Slurm, by PBS commands.

The programs note each start, so starts are counted where they happen; while there is a file
`hold`, those whose turn it is wait.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from euclid_dask.core.events import (
    FleetOpened,
    PilotEvent,
    PilotJoined,
    PilotLeft,
    PilotSubmitted,
    RunEnded,
    RunEvent,
    TaskLost,
    TasksOrdered,
    TaskStarted,
    TaskSucceeded,
)
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.pilots.batch.systems import open_batch
from euclid_dask.pilots.names import job_names, runner_prefix
from euclid_dask.pilots.site import read_site
from euclid_dask.runner.journal import read_journal, read_pilots
from euclid_dask.runner.workspace import Workspace, is_locked

pytestmark = [pytest.mark.dask, pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE_S = 120.0
SITE = """\
workspace = "{folder}/ws"
batch = "{batch}"
[network]
interface = "lo"
[intervals]
poll = "2s"
submit = "0s"
[pilots]
scratch = "{scratch}"
margin = "5s"
idle_timeout = "10s"
[defaults]
walltime = "1h"
boot = "3s"
[templates.light]
cores = 1
ram = "400MB"
max_running = 3
[templates.medium]
cores = 1
ram = "1GB"
[templates.heavy]
cores = 2
ram = "3GB"
[runner]
ram = "500MB"
walltime = "10min"
"""
PROGRAM = """\
import sys, time
from pathlib import Path

here = Path(__file__).parent
options = dict(word[2:].split("=", 1) for word in sys.argv[2:])
with open(here / "starts", "a") as starts:
    starts.write(Path(options["logdir"]).name + "\\n")
while (here / "hold").exists():
    time.sleep(0.02)
Path(options["workdir"], options["out"]).write_text("<done/>")
"""
SCRIPT = """\
from euclidwf.framework.taskdefs import ComputingResources, Executable, Input, Output
from euclidwf.framework.workflow_dsl import pipeline

def program(name, cores, ram, inputs=()):
    return Executable("{python} {program} " + name, outputs=[Output("out")],
        inputs=[Input(port) for port in inputs],
        resources=ComputingResources(cores=cores, ram=ram, walltime=0.2))

small, medium = program("small", 1.0, 0.2), program("medium", 1.0, 0.8)
heavy = program("heavy", 2.0, 2.0, ["first"])

@pipeline(outputs=("a", "b", "c", "d", "e"))
def flow():
    a = small()
    return a, small(), small(), medium(), heavy(first=a)
"""
TASKS = {"small_1", "small_2", "small_3", "medium", "heavy"}


@dataclass
class Site:
    """A site on a batch system, a pipeline there, and the command line."""

    folder: Path
    batch: str
    scratch: Path
    environment: dict[str, str]
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "ws").mkdir()
        program = self.folder / "program.py"
        program.write_text(PROGRAM)
        self.script.write_text(SCRIPT.format(python=sys.executable, program=program))
        self.toml.write_text(
            SITE.format(folder=self.folder, batch=self.batch, scratch=self.scratch)
        )

    @property
    def script(self) -> Path:
        return self.folder / "flow.py"

    @property
    def toml(self) -> Path:
        return self.folder / "site.toml"

    @property
    def hold(self) -> Path:
        return self.folder / "hold"

    @property
    def workdir(self) -> Path:
        return self.folder / "ws" / "w"

    def start(self, *words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "euclid_dask", *words],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def run(self, attempts: int) -> "subprocess.Popen[str]":
        """Start a run, and wait until so many attempts do; they wait for the end of `hold`."""
        self.hold.touch()
        words = ("--site", str(self.toml), "--workdir", str(self.workdir))
        process = self.start("run", str(self.script), *words, "--json")
        wait_for(lambda: self.starts().total() >= attempts or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        return process

    def submit(self, *words: str) -> dict[str, Any]:
        """Submit a runner; return what was told of its job."""
        return finished(self.start("submit", "--json", *words))

    def starts(self) -> "Counter[str]":
        path = self.folder / "starts"
        return Counter(path.read_text().split()) if path.exists() else Counter()

    def events(self) -> list[RunEvent]:
        workspace = Workspace(self.workdir)
        return [
            event
            for run in workspace.runs()
            for event in read_journal(workspace.files(run).journal)
        ]

    def pilots(self) -> list[PilotEvent]:
        path = Workspace(self.workdir).records / "pilots.jsonl"
        return list(read_pilots(path)) if path.exists() else []

    def place_of(self, *, attempts: int) -> PilotId:
        """Wait until the runner knows so many attempts to run; return where one of them does."""
        wait_for(lambda: _count(self.events(), TaskStarted) >= attempts)
        started = next(event.task for event in self.events() if isinstance(event, TaskStarted))
        return next(
            event.pilot
            for event in self.events()
            if isinstance(event, TasksOrdered) and started in dict(event.tasks)
        )

    def job_of(self, pilot: PilotId) -> JobId:
        return next(
            event.job
            for event in self.pilots()
            if isinstance(event, PilotSubmitted) and event.pilot == pilot
        )

    def jobs(self) -> list[str]:
        """Return our jobs that live."""
        site = read_site(self.toml, {})
        folder = Workspace(self.workdir).records / "jobs"
        batch = open_batch(self.batch, prefix=job_names(site, self.workdir).prefix, folder=folder)
        return [job.name for job in batch.jobs() if job.state in {"queued", "running", "held"}]


def wait_for(condition: Callable[[], Any]) -> None:
    until_s = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < until_s, "not in time"
        sleep(0.05)


def finished(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for the end of a command; return what it told."""
    stdout, _ = process.communicate(timeout=PATIENCE_S)
    told = json.loads(stdout)
    assert process.returncode == 0, told
    assert isinstance(told, dict)
    return told


def _count(events: "list[RunEvent] | list[PilotEvent]", kind: type) -> int:
    return sum(isinstance(event, kind) for event in events)


@pytest.fixture
def make_site(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Site]]:
    made: list[Site] = []

    def make(batch: str) -> Site:
        if batch != "local":
            for name, value in request.getfixturevalue("slurm_cluster").environment.items():
                monkeypatch.setenv(name, value)
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        made.append(Site(tmp_path, batch, scratch, dict(os.environ)))
        return made[-1]

    yield make
    for site in made:
        site.hold.unlink(missing_ok=True)
        for process in site.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        known = read_site(site.toml, {})
        prefixes = (runner_prefix(known, site.workdir), job_names(known, site.workdir).prefix)
        for prefix in prefixes if site.workdir.exists() else ():
            batch = open_batch(
                site.batch,
                prefix=prefix,
                folder=Workspace(site.workdir).records / "jobs",
            )
            batch.cancel([job.id for job in batch.jobs()])


BATCHES = (
    "local",
    pytest.param("slurm", marks=pytest.mark.batch),
    pytest.param("torque", marks=pytest.mark.batch),
)


@pytest.fixture
def slurm(make_site: Callable[[str], Site]) -> Site:
    return make_site("slurm")


@pytest.mark.parametrize("batch", BATCHES)
def test_a_pipeline_runs_on_pilots_of_three_sizes_that_end_with_it(
    make_site: Callable[[str], Site], batch: str
) -> None:
    site = make_site(batch)
    process = site.run(4)
    status = finished(site.start("status", str(site.workdir), "--json"))
    site.hold.unlink()
    told = finished(process)
    assert "up" in {pilot["state"] for pilot in status["pilots"]}
    assert told["tasks"]["done"] == len(TASKS)
    assert site.starts() == Counter(TASKS)
    joined = {event.template for event in site.pilots() if isinstance(event, PilotJoined)}
    assert joined == {"light", "medium", "heavy"}
    ordered = [event for event in site.events() if isinstance(event, TasksOrdered)]
    where = {task: event.pilot.rpartition("-")[0] for event in ordered for task, _ in event.tasks}
    assert (where["medium"] != "light", where["heavy"]) == (True, "heavy")
    wait_for(lambda: site.jobs() == [])


@pytest.mark.batch
def test_a_pilot_that_is_cancelled_costs_the_attempts_that_ran_there(
    slurm: Site, slurm_cluster: Any
) -> None:
    process = slurm.run(4)
    pilot = slurm.place_of(attempts=4)
    slurm_cluster.run("scancel", slurm.job_of(pilot))
    wait_for(lambda: _count(slurm.events(), TaskLost))
    slurm.hold.unlink()
    finished(process)
    left = {event.pilot for event in slurm.pilots() if isinstance(event, PilotLeft)}
    assert pilot in left
    lost = _count(slurm.events(), TaskLost)
    assert slurm.starts().total() == len(TASKS) + lost
    assert _count(slurm.events(), TaskSucceeded) == len(TASKS)


@pytest.mark.parametrize("batch", BATCHES)
def test_a_killed_runner_finds_its_pilots_and_their_tasks_again(
    make_site: Callable[[str], Site], batch: str
) -> None:
    site = make_site(batch)
    process = site.run(4)
    site.place_of(attempts=4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    elsewhere = site.start("resume", str(site.workdir), "--executor", "inline", "--json")
    assert "may still run on pilots" in elsewhere.communicate(timeout=PATIENCE_S)[0]
    again = site.start("resume", str(site.workdir), "--json")  # the run knows its site
    wait_for(lambda: _carried_after_restart(site.pilots()) >= 4)
    site.hold.unlink()
    finished(again)
    assert site.starts() == Counter(TASKS)
    assert _count(site.events(), TaskLost) == 0
    wait_for(lambda: site.jobs() == [])


def _carried_after_restart(events: list[PilotEvent]) -> int:
    """Return how many attempts pilots brought with them when they joined the second runner."""
    opened = [number for number, event in enumerate(events) if isinstance(event, FleetOpened)]
    if len(opened) < 2:
        return 0
    later = events[opened[1] :]
    return sum(len(event.carrying) for event in later if isinstance(event, PilotJoined))


@pytest.mark.batch
def test_a_pilot_that_reaches_its_walltime_costs_no_science_retry(
    slurm: Site, slurm_cluster: Any
) -> None:
    process = slurm.run(4)
    job = slurm.job_of(slurm.place_of(attempts=4))
    slurm_cluster.run("scontrol", "update", f"jobid={job}", "EndTime=now+1")
    wait_for(lambda: _count(slurm.events(), TaskLost))
    slurm.hold.unlink()
    told = finished(process)
    assert told["tasks"]["done"] == len(TASKS)
    assert slurm.starts().total() == len(TASKS) + _count(slurm.events(), TaskLost)


@pytest.mark.parametrize("batch", BATCHES[:2])
def test_a_submitted_runner_that_is_told_to_end_spares_its_pilots_for_the_next(
    make_site: Callable[[str], Site], batch: str, request: pytest.FixtureRequest
) -> None:
    site = make_site(batch)
    site.hold.touch()
    where = ("--site", str(site.toml), "--workdir", str(site.workdir))
    first = site.submit(*where, str(site.script))
    site.place_of(attempts=4)
    too_early = site.start("submit", "--resume", str(site.workdir), "--json")
    assert "another runner works in" in too_early.communicate(timeout=PATIENCE_S)[0]
    if batch == "slurm":  # its walltime comes
        cluster = request.getfixturevalue("slurm_cluster")
        cluster.run("scontrol", "update", f"jobid={first['job']}", "EndTime=now+1")
    else:
        subprocess.run(first["cancel"], shell=True, check=True)
    progress = Path(first["stderr"])
    wait_for(lambda: "the runner was stopped: SIGTERM was received" in progress.read_text())
    wait_for(lambda: not is_locked(Workspace(site.workdir)))
    assert _count(site.events(), RunEnded) == 0
    again = site.submit("--resume", str(site.workdir))  # the run knows its site
    wait_for(lambda: _carried_after_restart(site.pilots()) >= 4)
    site.hold.unlink()
    outcome = Path(again["stdout"])
    wait_for(lambda: outcome.exists() and "5 of 5 tasks done" in outcome.read_text())
    assert site.starts() == Counter(TASKS)
    assert _count(site.events(), TaskLost) == 0
    wait_for(lambda: site.jobs() == [])


SMALL = ("--size", "256", "--exposures", "1", "--detectors", "1", "--json")


@pytest.fixture(scope="module")
def demo_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the workdir of a demo that ran on this machine, without pilots."""
    pytest.importorskip("astropy")
    workdir = tmp_path_factory.mktemp("demo") / "here"
    line = [sys.executable, "-m", "euclid_dask", "demo", "--workdir", str(workdir), *SMALL]
    subprocess.run(line, check=True, capture_output=True)
    return workdir


def _products(workdir: Path) -> set[str]:
    """Return where the files of a demo are that can be compared; each run names one by an id."""
    found = (path for path in workdir.rglob("*.*") if path.suffix in {".xml", ".fits", ".json"})
    names = {str(path.relative_to(workdir)) for path in found}
    made = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    return {re.sub(made, "ID", name) for name in names if not name.startswith(".")}


@pytest.mark.parametrize("batch", BATCHES[1:])
def test_the_demo_makes_on_pilots_of_three_sizes_what_it_makes_here(
    make_site: Callable[[str], Site], batch: str, demo_here: Path
) -> None:
    site = make_site(batch)
    site.toml.write_text(site.toml.read_text().replace('"1GB"', '"800MB"'))  # for all but one task
    there = ("--workdir", str(site.workdir), "--site", str(site.toml))
    finished(site.start("demo", *there, *SMALL))
    compare = Path(str(files("euclid_dask.demo") / "compare.py"))
    line = [sys.executable, str(compare), "--all", str(demo_here), str(site.workdir)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _products(site.workdir) == _products(demo_here)
    joined = {event.template for event in site.pilots() if isinstance(event, PilotJoined)}
    assert joined == {"light", "medium", "heavy"}
