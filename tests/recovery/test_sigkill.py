"""The real runner process, killed at any moment and resumed."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from textwrap import dedent

import pytest

from euclid_dask.core.events import TaskSucceeded
from euclid_dask.core.states import TaskState
from euclid_dask.runner.history import replay
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.workspace import Workspace

PROGRAM = """\
import json, os, sys, time
from pathlib import Path

options = dict(word[2:].split("=", 1) for word in sys.argv[2:])
workdir = Path(options["workdir"])
with open(os.environ["STARTS"], "a") as starts:
    starts.write(Path(options["logdir"]).name + "\\n")
time.sleep(0.05)
text = "".join((workdir / options[p]).read_text() for p in ("image", "all") if p in options)
if sys.argv[1] == "list":
    names = [f"data/{n}.txt" for n in range(8)]
    for name in names:
        (workdir / name).write_text(name)
    (workdir / options["items"]).write_text(json.dumps(names))
else:
    (workdir / options["out"]).write_text(f"<done>{len(text)}</done>")
"""
DEFINITIONS = """\
from euclidwf.framework.taskdefs import ComputingResources, Executable, Input, Output

small = ComputingResources(cores=1.0, ram=0.1, walltime=0.1)
make = Executable("{python} {program} list", inputs=[], resources=small,
                  outputs=[Output("items", mime_type="json", content_type="listfile")])
work = Executable("{python} {program} work", inputs=[Input("image")],
                  outputs=[Output("out", mime_type="xml")], resources=small)
check = Executable("{python} {program} work", inputs=[Input("image")],
                   outputs=[Output("out", mime_type="xml")], resources=small)
gather = Executable("{python} {program} work", inputs=[Input("all", content_type="listfile")],
                    outputs=[Output("out", mime_type="xml")], resources=small)
"""
SCRIPT = """\
from euclidwf.framework.workflow_dsl import parallel, pipeline
from definitions import check, gather, make, work

@parallel(iterable="image")
def each(image):
    return check(image=work(image=image))

@pipeline(outputs=("result",))
def flow():
    return gather(all=each(image=make()))
"""
RUNNER = """\
import sys
from euclid_dask import api
settings = api.Settings(executor="inline", cores=3, ram_bytes=8_000_000_000)
if sys.argv[1] == "run":
    result = api.run("flow.py", workdir="w", pkgrepo=".", settings=settings)
else:
    result = api.resume("w", settings=settings)
sys.exit(result.state != "done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_runner_is_resumed_and_repeats_only_what_was_in_flight(
    tmp_path: Path, seed: int
) -> None:
    write_pipeline(tmp_path)
    chance, kills, mode = Random(seed), 0, "run"
    while kills < 3:
        runner = start(tmp_path, mode)
        try:
            code = runner.wait(0.3 + 1.2 * chance.random())
        except subprocess.TimeoutExpired:
            os.kill(runner.pid, signal.SIGKILL)
            runner.wait()
            kills += 1
            if Workspace(tmp_path / "w").runs():
                mode = "resume"
            continue
        assert code == 0
        break
    else:
        assert start(tmp_path, mode).wait(100) == 0

    workspace = Workspace(tmp_path / "w")
    (run_id,) = workspace.runs()
    run = replay(workspace.files(run_id).journal)
    assert Counter(task.state for task in run.tasks.values()) == {TaskState.DONE: 18}
    events = list(read_journal(workspace.files(run_id).journal))
    successes = Counter(event.task for event in events if isinstance(event, TaskSucceeded))
    assert set(successes.values()) == {1}
    starts = Counter((tmp_path / "starts").read_text().split())
    assert starts.keys() == run.tasks.keys()
    assert sum(starts.values()) <= 18 + 3 * kills  # three cores: three attempts in flight
    for task, count in starts.items():
        assert count <= run.tasks[task].attempt
    assert (tmp_path / "w/gather/out.xml").read_text().startswith("<done>")


def write_pipeline(folder: Path) -> None:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    definitions = DEFINITIONS.format(python=sys.executable, program=program)
    (folder / "definitions.py").write_text(definitions)
    (folder / "flow.py").write_text(SCRIPT)
    (folder / "runner.py").write_text(dedent(RUNNER))


def start(folder: Path, mode: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "STARTS": str(folder / "starts")}
    return subprocess.Popen(
        [sys.executable, "runner.py", mode], cwd=folder, env=environment, stdin=subprocess.DEVNULL
    )
