"""Pilots that only speak, with the real scheduler: the run ends, whatever it took."""

import asyncio
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks import fake_pilots
from benchmarks.machine import ROOT


def test_every_pilot_sends_a_first_heartbeat_at_once(monkeypatch):
    heard = []

    class Comm:
        async def write(self, message):
            heard.append(message)

        async def read(self):
            return {"heartbeat-interval": 1e6}

    async def connect(address, **security):
        return Comm()

    async def beat():
        pilots = [SimpleNamespace(heartbeat=lambda number=number: number) for number in range(3)]
        crowd = SimpleNamespace(address="", security={})
        beating = asyncio.create_task(fake_pilots.Crowd._beat(crowd, pilots))
        for _ in range(100):
            await asyncio.sleep(0)
        beating.cancel()

    monkeypatch.setattr(fake_pilots, "connect", connect)
    asyncio.run(beat())
    assert heard[:3] == [0, 1, 2]


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
