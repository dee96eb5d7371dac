"""A supervisor as a job of a real Slurm."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from euclid_dask.core.attempts import FailureKind
from euclid_dask.core.events import PilotLeft
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import AttemptEnded, AttemptStarted
from euclid_dask.core.values import replace
from euclid_dask.executors.dask.executor import DaskExecutor
from euclid_dask.executors.server import Server
from euclid_dask.pilots.scripts import JobRequest, job_script
from euclid_dask.worker.clock import now_s
from euclid_dask.worker.records import read_receipt

pytestmark = [pytest.mark.dask, pytest.mark.slow, pytest.mark.batch]

TRAPS = """trap 'touch told' TERM; touch trapped
while [ ! -e told ]; do sleep 0.1; done; sleep 0.3; exit 4"""


@pytest.fixture
def submit(bench: Any, slurm_cluster: Any) -> Callable[..., str]:
    """Return a function that serves pilots and submits a job that is one."""

    def submit(*words: str) -> str:
        folder = bench.workdir / ".euclid-dask"
        folder.mkdir()
        bench.open(DaskExecutor(server=Server(folder=folder, host="127.0.0.1")), pilots=0)
        command = (sys.executable, "-m", "euclid_dask.pilots.supervisor", "--pilot", "light-000001")
        command += ("--workspace", str(bench.workdir), "--cores", "1", "--ram", "100000000")
        offer = Resources(cores=1, ram_bytes=100_000_000, walltime_s=60.0)
        request = JobRequest(command=(*command, "--slots", "4", *words), offer=offer)
        script = bench.workdir / "job.sh"
        script.write_text(job_script("slurm", request))
        log = str(bench.workdir / "job.log")
        job: str = slurm_cluster.run("sbatch", "--parsable", "-o", log, str(script)).strip()
        bench.await_pilot()
        return job

    return submit


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda news: isinstance(news, kind)


@pytest.mark.parametrize("script", ["exec sleep 68", TRAPS], ids=["simple", "traps"])
def test_tasks_of_a_cancelled_job_are_lost_and_nothing_is_left(
    bench: Any,
    submit: Callable[..., str],
    slurm_cluster: Any,
    find_living: Callable[[str], list[int]],
    wait_until: Callable[..., None],
    script: str,
) -> None:
    job = submit()
    bundle = bench.bundle(bench.order("t", script))
    bench.start(replace(bundle, place=replace(bundle.place, grace_s=30.0)))
    bench.box.until(_is(AttemptStarted))
    if script == TRAPS:
        wait_until((bench.workdir / "trapped").exists)
    slurm_cluster.run("scancel", job)
    left = bench.box.until(_is(PilotLeft))
    assert isinstance(left, PilotLeft)
    assert left.reason == "the pilot was told to end"
    ended = bench.box.until(_is(AttemptEnded))
    assert isinstance(ended, AttemptEnded)
    receipt = read_receipt(bench.place.records, ended.receipt.task, 1)
    assert receipt is not None
    assert receipt.failure is not None
    assert receipt.failure.kind is FailureKind.LOST
    assert find_living("sleep\x0068") == []
    wait_until(lambda: not find_living(str(bench.workdir)))
    assert "left: the pilot was told to end" in Path(bench.workdir, "job.log").read_text()


def test_a_pilot_leaves_before_slurm_ends_it(
    bench: Any,
    submit: Callable[..., str],
    find_living: Callable[[str], list[int]],
    wait_until: Callable[..., None],
) -> None:
    submit("--walltime", "60", "--grace", "45")
    until_s = bench.pilots[0].until_s
    assert 0 < until_s - now_s() < 60.0
    bench.start(bench.bundle(bench.order("t", "exec sleep 69")))
    left = bench.box.until(_is(PilotLeft))
    assert isinstance(left, PilotLeft)
    assert left.reason == "the pilot has reached its walltime"
    assert bench.box.answers() == {"t": ["expired"]}
    wait_until(lambda: not find_living(str(bench.workdir)))
