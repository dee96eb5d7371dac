"""The task program, the spawner and the driver, run for real on tiny workloads."""

import json
import subprocess
import sys

import pytest

from benchmarks.check import read_log
from benchmarks.run import ROOT

DRIVER = [sys.executable, "-m", "benchmarks"]


def tick(tools, workdir, *options, log="tick.log"):
    command = [str(tools.tick), f"--workdir={workdir}", *options]
    subprocess.run(command, check=True, env={"TICK_LOG": str(workdir / log)}, timeout=250)
    return read_log(workdir / log)


def test_a_task_logs_its_start_and_its_end_and_writes_its_output(tools, tmp_path):
    start, end = tick(tools, tmp_path, "--id=t1", "--duration=0.02", "--out=made.txt")
    assert (start.kind, start.task, end.kind, end.task) == ("start", "t1", "end", "t1")
    assert end.at_ns - start.at_ns >= 20_000_000
    assert start.pid == end.pid
    assert (tmp_path / "made.txt").read_text() == "t1\n"


def test_a_task_takes_its_id_and_duration_from_the_element(tools, tmp_path):
    start, end = tick(tools, tmp_path, "--item=c03:0.01", "--step=s017", "--out", "made.txt")
    assert start.task == "c03.s017"
    assert end.at_ns - start.at_ns >= 10_000_000


def test_a_task_takes_its_id_from_the_file_that_the_element_names(tools, tmp_path):
    (tmp_path / "element.txt").write_text("b0042:0.001\nanything\n")
    assert tick(tools, tmp_path, "--item=element.txt")[0].task == "b0042"


def test_a_task_ignores_logdir_and_input_ports(tools, tmp_path):
    records = tick(tools, tmp_path, "--logdir=logs", "--before=x.txt", "--id=t", "--from_x1=y")
    assert [record.task for record in records] == ["t", "t"]


def test_a_list_output_is_a_json_list(tools, tmp_path):
    tick(tools, tmp_path, "--id=source", "--count=2", "--prefix=b", "--suffix=.txt", "--outlist=l")
    assert json.loads((tmp_path / "l").read_text()) == ["b0000.txt", "b0001.txt"]


def test_a_task_that_cannot_write_its_output_fails_and_logs_no_end(tools, tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        tick(tools, tmp_path, "--id=t", "--out=no/such/directory")
    assert [record.kind for record in read_log(tmp_path / "tick.log")] == ["start"]


def run(tmp_path, *options):
    places = ["--results", str(tmp_path / "results"), "--scratch", str(tmp_path)]
    command = [*DRIVER, "run", "--cache", str(tmp_path / "cache"), *places, *options]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=250
    )


@pytest.mark.usefixtures("tools")
def test_the_floors_run_every_workload_validly(tmp_path):
    engines = ("-e", "floor-spawn", "floor-bare", "floor-python", "floor-xargs")
    workloads = ("-w", "bag", "chains", "scatter", "montage", "mixed")
    done = run(tmp_path, *engines, *workloads, "--scale=0.02", "-r1", "--name=floors")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "results" / "floors.json").read_text())
    assert len(document["runs"]) == 2 * (5 * 3 + 1)
    assert all(run["wrong"] == [] for run in document["runs"])
    assert "| floor, in C | 1.0 (1.0" in done.stdout


@pytest.mark.usefixtures("tools")
def test_the_checker_ends_with_exit_code_1_when_every_task_ran_twice(tmp_path):
    options = ("--keep", "--scale=0.02", "-r0", "-w", "mixed", "-e", "floor-spawn")
    assert run(tmp_path, *options).returncode == 0
    (log,) = tmp_path.glob("bench-*/floor-spawn-mixed-0/tick.log")
    check = [*DRIVER, "check", str(log.parent / "workload.json"), str(log)]
    assert subprocess.run(check, cwd=ROOT, check=False, timeout=250).returncode == 0
    log.write_text(2 * log.read_text())
    assert subprocess.run(check, cwd=ROOT, check=False, timeout=250).returncode == 1


@pytest.mark.usefixtures("tools")
def test_an_engine_that_fails_makes_the_exit_code_1(tmp_path):
    done = run(tmp_path, "-e", "floor-spawn", "-w", "mixed", "-r0", "--timeout=0.05")
    assert done.returncode == 1
    assert "not done after" in done.stdout


def test_help_teaches_how_to_begin():
    text = subprocess.run([*DRIVER, "--help"], cwd=ROOT, capture_output=True, check=True).stdout
    assert b"examples:" in text
