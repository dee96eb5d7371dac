"""Pilots that only speak, with the real scheduler: the run ends, whatever it took."""

import json
import subprocess
import sys

import pytest

from benchmarks.machine import ROOT


@pytest.mark.dask
@pytest.mark.slow
def test_pilots_that_only_speak_carry_a_run_to_its_end():
    words = ["--tasks", "200", "--pilots", "10", "--cores", "4", "--seconds", "0.2", "--json"]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.crowd", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=200,
    )
    told = json.loads(ended.stdout)
    figures, targets = told["figures"], told["targets"]
    assert ended.returncode == any(figures[name] > most for name, most in targets.items())
    assert (figures["tasks"], figures["pilots"]) == (202, 10)
    assert 0 < figures["planner_ms"] < figures["runner_ms"]
    assert figures["scheduler_ms"] > 0
