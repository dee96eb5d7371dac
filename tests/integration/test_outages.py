"""Runs on a real Slurm, each with an outage in its middle: no task is lost, or done twice.

What each may cost, and what its user is told, is said in `benchmarks.outages.kinds`.

What `python -m benchmarks.outages` does at full size is done here with a few short tasks; the dial
EUCLID_DASK_OUTAGE_TASKS makes it larger. Most of the time is sleep, so some go on side by side.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from batch_clusters import need_slurm, skip_or_fail

from benchmarks.outages.kinds import OUTAGES

pytestmark = [pytest.mark.dask, pytest.mark.slow, pytest.mark.batch, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
TASKS = os.environ.get("EUCLID_DASK_OUTAGE_TASKS", "24")
OUTAGE_S = "8"
SIDE_BY_SIDE = 3


def _disturb(name: str) -> "subprocess.CompletedProcess[str]":
    size = ["--tasks", TASKS, "--seconds", OUTAGE_S, "--short", "--alone"]
    line = [sys.executable, "-m", "benchmarks.outages", "--json", "--only", name, *size]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def disturbed(
    request: pytest.FixtureRequest,
) -> "Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]":
    """Return the runs with the outages that are asked for, as they end."""
    need_slurm()
    wanted = {
        item.callspec.params["name"]
        for item in request.session.items
        if item.path == request.path and isinstance(item, pytest.Function)
    }
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {name: pool.submit(_disturb, name) for name in OUTAGES if name in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", OUTAGES)
def test_every_task_is_done_once_whatever_happens(disturbed: Any, name: str) -> None:
    if name == "network" and shutil.which("ip") is None:
        skip_or_fail("iproute2 is not installed")
    done = disturbed[name].result()
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = json.loads(done.stdout)
    assert told["verdict"]["wrong"] == []
