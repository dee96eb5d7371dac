"""`explain`, while a run of another process goes on, and afterwards."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

SCRIPT = """
from euclid_dask import ComputingResources, Executable, Input, Output, pipeline

one = ComputingResources(cores=2, ram=0.1)
long = Executable("sh -c 'sleep 300'", outputs=[Output("o", mime_type="txt")], resources=one)
next = Executable("sh -c 'exit 3'", outputs=[Output("o", mime_type="txt")], resources=one)
last = Executable("true", inputs=[Input("i")], outputs=[Output("o", mime_type="txt")])

@pipeline(outputs=("a", "b"))
def two():
    return long(), last(i=next())
"""
SITE = """
workspace = "{workspace}"
batch = "local"
[templates.small]
cores = 1
ram = "1GB"
walltime = "1h"
max_running = 1
"""


def explain(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "euclid_dask", "explain", str(folder / "w"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wait_until(condition: Callable[[], Any]) -> None:
    until_s = monotonic() + 100
    while not condition():
        assert monotonic() < until_s, "it never became true"
        sleep(0.05)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Return a runner in which one task runs, and another waits for its cores."""
    (tmp_path / "two.py").write_text(SCRIPT)
    words = ["run", "two.py", "--workdir", "w", "--cores", "2", "--executor", "inline", "-q"]
    with (tmp_path / "said").open("wb") as said:
        runner = subprocess.Popen(
            [sys.executable, "-m", "euclid_dask", *words], cwd=tmp_path, stdout=said, stderr=said
        )
    try:
        wait_until(lambda: "TaskStarted" in _journal(tmp_path))
        yield runner
    finally:
        runner.kill()
        runner.wait()


def _journal(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("w/.euclid-dask/*/journal.jsonl"))


def test_a_live_run_is_explained_from_outside(
    live: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    assert explain(tmp_path) == (
        "next: ready: local has 0 free cores of 2\nlast: waiting: waits for next (ready)\n"
    )
    assert explain(tmp_path, "long").startswith("long: running: runs on local for ")
    told = json.loads(explain(tmp_path, "next", "--json"))
    assert told["state"] == "active"
    assert told["tasks"] == [
        {
            "state": "ready",
            "count": 1,
            "reasons": [{"why": "cores", "text": "local has 0 free cores of 2"}],
            "tasks": ["next"],
        }
    ]


def test_a_run_without_a_runner_says_so(live: subprocess.Popen[bytes], tmp_path: Path) -> None:
    os.kill(live.pid, signal.SIGKILL)
    live.wait()
    said = explain(tmp_path)
    assert "its runner died; go on with it: euclid-dask resume" in said
    assert "next: ready: no runner is at work" in said


def test_a_run_that_ended_says_what_failed_and_why_the_rest_did_not_run(tmp_path: Path) -> None:
    script = SCRIPT.replace("sleep 300", "echo > long/o.txt")
    (tmp_path / "two.py").write_text(script)
    command = [sys.executable, "-m", "euclid_dask", "run", "two.py", "--workdir", "w", "-q"]
    subprocess.run([*command, "--executor", "inline"], cwd=tmp_path, check=False)
    why = "task 'next' ended with exit code 3; its stderr is in logs/next/stderr.log (empty)"
    assert explain(tmp_path) == (
        f"next: failed: {why}\nlast: blocked: needs what next would make: {why}\n"
    )


def test_the_templates_of_the_site_are_told(live: Any, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SITE.replace("{workspace}", str(tmp_path)))
    (journal,) = tmp_path.glob("w/.euclid-dask/*/journal.jsonl")
    first, rest = journal.read_text().split("\n", 1)
    started = json.loads(first)
    started.setdefault("options", {})["site"] = str(tmp_path / "site.toml")
    journal.write_text(json.dumps(started) + "\n" + rest)
    said = explain(tmp_path, "next")
    assert "no template holds it. Give 'small' cores 2 (now 1)" in said
    (tmp_path / "site.toml").unlink()
    assert "no pilot is there that holds 2 cores" in explain(tmp_path, "next")
