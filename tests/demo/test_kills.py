"""The real command, killed with -9 at random moments of the demo, and resumed to the same pixels.

`EUCLID_DASK_KILLS=20 pytest tests/demo/test_kills.py` kills it twenty times, as CI does; three are
usual.
Starts are counted outside the engine: every Python program of a task appends a line when it
starts, by a `sitecustomize` module on its path.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from euclid_dask.core.events import TaskSucceeded
from euclid_dask.runner.history import replay
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.workspace import Workspace

KILLS = int(os.environ.get("EUCLID_DASK_KILLS", "3"))
SLOTS = 2
SEED = 20261121

COUNTER = """
import os, time
task = os.environ.get("EUCLID_DASK_TASK")
if task:
    line = f"{task} {os.environ['EUCLID_DASK_ATTEMPT']} {time.time()}\\n".encode()
    file = os.open(os.environ["STARTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_killed_at_random_moments_ends_with_the_same_products(field, demo, tmp_path):
    (tmp_path / "counter").mkdir()
    (tmp_path / "counter" / "sitecustomize.py").write_text(COUNTER)
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    for workdir in (calm, wild):
        shutil.copytree(field.workdir, workdir)
    assert start(demo, calm, tmp_path).wait() == 0

    chance, kills = Random(SEED), 0
    while kills < KILLS:
        runner = start(demo, wild, tmp_path)
        try:
            code = runner.wait(0.4 + 2.6 * chance.random())
        except subprocess.TimeoutExpired:
            runner.send_signal(signal.SIGKILL)
            runner.wait()
            kills += 1
            continue
        assert code == 0
        if kills < KILLS:  # it ended before it was killed often enough: once more from the start
            check(wild, tmp_path, kills)
            shutil.rmtree(wild)
            shutil.copytree(field.workdir, wild)
            (tmp_path / "wild.starts").unlink()
    assert start(demo, wild, tmp_path).wait() == 0
    check(wild, tmp_path, kills)
    line = [sys.executable, str(demo / "compare.py"), "--all", str(calm), str(wild)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def start(demo: Path, workdir: Path, folder: Path) -> "subprocess.Popen[bytes]":
    """Start the run in its own process, or go on with it."""
    runs = Workspace(workdir).runs()
    script = str(demo / "pipelines" / "vis_python_pipeline.py")
    run = ["run", script, "--workdir", str(workdir), "--isf", str(workdir / "vis.isf")]
    words = ["resume", str(workdir)] if runs else run
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "counter"),
        "STARTS": str(folder / f"{workdir.name}.starts"),
    }
    line = [sys.executable, "-m", "euclid_dask", *words, "--quiet", f"--cores={SLOTS}"]
    return subprocess.Popen(
        line, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def check(workdir: Path, folder: Path, kills: int) -> None:
    """Assert that each task succeeded once, and that no finished one was started again."""
    workspace = Workspace(workdir)
    (run_id,) = workspace.runs()
    journal = workspace.files(run_id).journal
    run = replay(journal)
    assert run.state == "done"
    successes = [event for event in read_journal(journal) if isinstance(event, TaskSucceeded)]
    assert Counter(event.task for event in successes) == Counter(run.tasks.keys())
    finished_s = {event.task: event.at_s for event in successes}
    starts = Counter()
    for line in (folder / f"{workdir.name}.starts").read_text().splitlines():
        task, _, started_s = line.split()
        starts[task] += 1
        assert float(started_s) <= finished_s[task], f"{task} had finished and was started again"
    assert starts.keys() == run.tasks.keys()
    assert sum(starts.values()) <= len(run.tasks) + SLOTS * kills
