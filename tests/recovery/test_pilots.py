"""Runs on a supervised pilot whose runner or scheduler is killed; with real processes."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from euclid_dask.core.events import PilotRequested, RunEvent, RunResumed, TaskLost, TaskSucceeded
from euclid_dask.core.ids import PilotId
from euclid_dask.core.states import RunState
from euclid_dask.core.values import to_json
from euclid_dask.runner.history import replay
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.workspace import Workspace

PILOT = PilotId("light-000001")
PROGRAM = """\
import os, sys, time
from pathlib import Path

options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if "=" in word)
with open(os.environ["STARTS"], "a") as starts:
    starts.write(Path(options["logdir"]).name + "\\n")
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.02)
Path(options["workdir"], options["out"]).write_text("<done/>")
"""
SCRIPT = """\
from euclidwf.framework.taskdefs import ComputingResources, Executable, Output
from euclidwf.framework.workflow_dsl import pipeline

small = ComputingResources(cores=1.0, ram=0.1, walltime=0.1)
work = Executable("{python} {program}", inputs=[], outputs=[Output("out")], resources=small)

@pipeline(outputs=("a", "b", "c", "d"))
def flow():
    return work(), work(), work(), work()
"""
RUNNER = """\
import sys
from pathlib import Path
from euclid_dask.api.preparing import prepare
from euclid_dask.api.settings import Settings
from euclid_dask.core.states import RunState
from euclid_dask.executors.dask.executor import DaskExecutor
from euclid_dask.executors.server import Server
from euclid_dask.runner.loop import Runner
from euclid_dask.runner.recovery import resume_run
from euclid_dask.runner.start import start_run
from euclid_dask.runner.workspace import Workspace
from euclid_dask.worker.clock import SystemClock

workdir = Path("w").absolute()
workspace = Workspace(workdir)
if sys.argv[1] == "run":
    request, _ = prepare("flow.py", pkgrepo=None, workdir=workdir, isf=None,
                         settings=Settings(), given=None, inputs={})
    active = start_run(request, SystemClock(), software="")
else:
    active = resume_run(workspace, workspace.find(None), SystemClock())
server = Server(folder=workspace.records, host="127.0.0.1")
runner = Runner(DaskExecutor(server=server), SystemClock())
runner.add(active)
runner.run_until_ended()
sys.exit(active.run.state is not RunState.DONE)
"""


class Site:
    """A folder with a pipeline, a pilot that serves it, and runners to be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = Workspace(folder / "w")
        self.workspace.create()
        self.processes: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **os.environ,
            "STARTS": str(folder / "starts"),
            "GO": str(folder / "go"),
        }
        program = folder / "program.py"
        program.write_text(PROGRAM)
        (folder / "flow.py").write_text(SCRIPT.format(python=sys.executable, program=program))
        (folder / "runner.py").write_text(RUNNER)
        requested = PilotRequested(pilot=PILOT, template="light", at_s=0.0)
        (self.workspace.records / "pilots.jsonl").write_bytes(to_json(requested) + b"\n")

    def pilot(self) -> "subprocess.Popen[bytes]":
        words = ["--workspace", str(self.workspace.workdir), "--cores", "2", "--slots", "4"]
        return self._start("-m", "euclid_dask.pilots.supervisor", "--pilot", PILOT, *words,
                           "--ram", "4000000000")  # fmt: skip

    def runner(self, *words: str) -> "subprocess.Popen[bytes]":
        return self._start("runner.py", *words)

    def _start(self, *words: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, *words]
        process = subprocess.Popen(command, cwd=self.folder, env=self._environment)
        self.processes.append(process)
        return process

    def starts(self) -> "Counter[str]":
        path = self.folder / "starts"
        return Counter(path.read_text().split()) if path.exists() else Counter()

    def until_started(self, count: int) -> None:
        _wait_for(lambda: self.starts().total() >= count)

    def until_resumed(self, count: int) -> None:
        """Wait until the run was taken up again so many times."""
        _wait_for(lambda: sum(isinstance(one, RunResumed) for one in self.events()) >= count)

    def events(self) -> list[RunEvent]:
        (run_id,) = self.workspace.runs()
        return list(read_journal(self.workspace.files(run_id).journal))

    def go(self) -> None:
        (self.folder / "go").touch()


def _wait_for(condition: Callable[[], bool]) -> None:
    until_s = monotonic() + 100.0
    while not condition():
        assert monotonic() < until_s, "not in time"
        sleep(0.02)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    (tmp_path / "go").touch()
    for process in site.processes:
        if process.poll() is None:
            process.terminate()
        process.wait(100)


@pytest.mark.dask
@pytest.mark.slow
@pytest.mark.parametrize("end_before", [False, True])
def test_a_runner_killed_with_its_scheduler_costs_no_start(site: Site, end_before: bool) -> None:
    site.pilot()
    first = site.runner("run")
    site.until_started(2)
    first.kill()
    first.wait()
    if end_before:
        site.go()
    second = site.runner("resume")
    if not end_before:
        site.until_resumed(1)
        second.kill()
        second.wait()
        second = site.runner("resume")
        site.until_resumed(2)
        site.go()
    assert second.wait(100) == 0
    assert set(site.starts().values()) == {1}
    events = site.events()
    done = Counter(one.task for one in events if isinstance(one, TaskSucceeded))
    assert (len(done), set(done.values())) == (4, {1})
    assert not any(isinstance(one, TaskLost) for one in events)


SITE = """\
name = "here"
batch = "local"
workspace = "{workspace}"
[templates.light]
cores = 2
ram = "4GB"
walltime = "10m"
max_running = 1
"""
COMMAND = """\
import sys
from euclid_dask.cli import main
sys.exit(main())
"""


@pytest.mark.dask
@pytest.mark.slow
def test_a_run_that_has_changed_ends_on_its_pilots_before_another_takes_its_place(
    site: Site,
) -> None:
    (site.workspace.records / "pilots.jsonl").unlink()
    (site.folder / "site.toml").write_text(SITE.format(workspace=site.folder))
    (site.folder / "runner.py").write_text(COMMAND)
    first = site.runner("run", "flow.py", "--workdir", "w", "--site", "site.toml")
    site.until_started(2)
    first.kill()
    first.wait()
    flow = site.folder / "flow.py"
    flow.write_text(flow.read_text().replace("program.py", "program.py new"))
    second = site.runner("resume", "w")
    site.until_started(4)
    before, after = (replay(site.workspace.files(one).journal) for one in site.workspace.runs())
    assert (before.state, len(before.active)) == (RunState.CANCELLED, 0)
    assert after.state is RunState.ACTIVE
    site.go()
    assert second.wait(100) == 0
