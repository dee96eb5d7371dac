"""The scripts that stand for our engine are ones it accepts, and they run the workload's tasks."""

import subprocess
import sys

import pytest

from benchmarks.check import read_log, violations
from benchmarks.engines import Job
from benchmarks.engines.ours import inputs, write_script
from benchmarks.workloads import GENERATORS


@pytest.mark.parametrize("name", GENERATORS)
def test_our_engine_runs_each_workload_validly(name, tools, tmp_path, monkeypatch):
    workload = GENERATORS[name](scale=0.02, seed=1)
    job = Job(
        workload=workload,
        slots=workload.slots,
        workdir=tmp_path,
        tick=tools.tick,
        spawner=tools.spawner,
        python=sys.executable,
    )
    monkeypatch.setenv("TICK_LOG", str(tmp_path / "tick.log"))
    ports = [f"{port}={file}" for port, file in inputs(job).items()]
    options = ["--workdir", str(tmp_path), "--cores", str(job.slots), "--executor", "inline"]
    command = [sys.executable, "-m", "euclid_dask", "run", str(write_script(job)), *ports, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    assert violations(workload, read_log(tmp_path / "tick.log"), slots=job.slots) == []
