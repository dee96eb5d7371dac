"""What every batch system must do, on real ones; and what Slurm alone can show."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from batch_clusters import skip_or_fail

from euclid_dask.core.errors import BatchError, BatchUnreachableError, SubmitUnknownError
from euclid_dask.core.ids import JobId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import BatchSystem
from euclid_dask.pilots.batch.commands import Calls
from euclid_dask.pilots.batch.systems import open_batch
from euclid_dask.pilots.scripts import JobRequest, job_script

PATIENCE_S = 60.0
SMALL = Resources(cores=1, ram_bytes=100 * 2**20, walltime_s=600)
NUMBERS = count()
PID = os.getpid()


@dataclass
class Bench:
    """A batch system, and the words to give it jobs that run shell commands."""

    system: str
    folder: Path
    prefix: str = field(default_factory=lambda: f"euclid-dask-t{PID}-{next(NUMBERS)}-")

    def __post_init__(self) -> None:
        self.batch = self.again()

    def again(self, **changes: Any) -> BatchSystem:
        """Return the batch system as a restarted runner opens it."""
        calls = {"calls": Calls(**changes)} if changes else {}
        return open_batch(self.system, prefix=self.prefix, folder=self.folder, **calls)

    def name(self, pilot: str) -> str:
        return self.prefix + pilot

    def script(self, command: str, offer: Resources = SMALL, **more: Any) -> str:
        request = JobRequest(command=("sh", "-c", command), offer=offer, **more)
        return job_script(self.system, request)

    def submit(self, pilot: str, command: str, **more: Any) -> JobId:
        return self.batch.submit(self.script(command, **more), self.name(pilot))

    def job(self, pilot: str) -> Job | None:
        """Return a job, None if it is not listed (any more)."""
        found = [job for job in self.batch.jobs() if job.name == self.name(pilot)]
        assert len(found) < 2
        return found[0] if found else None

    def until(self, pilot: str, wanted: Callable[[Job | None], bool]) -> Job | None:
        until_s = monotonic() + PATIENCE_S
        while not wanted(job := self.job(pilot)):
            assert monotonic() < until_s, f"not in time: {job}"
            sleep(0.1)
        return job

    def until_running(self, pilot: str) -> Job:
        job = self.until(pilot, lambda job: job is not None and job.state is JobState.RUNNING)
        assert job is not None
        return job

    def until_ended(self, pilot: str) -> Job | None:
        return self.until(pilot, lambda job: job is None or job.state is JobState.ENDED)

    def until_dead(self, number: int) -> None:
        until_s = monotonic() + PATIENCE_S
        while self.living(number):
            assert monotonic() < until_s, f"sleep {number} lives"
            sleep(0.05)

    def living(self, number: int) -> bool:
        """Tell whether any `sleep NUMBER.PID` lives."""
        needle = f"sleep\0{number}.{PID}\0".encode()
        for directory in Path("/proc").iterdir():
            try:
                if directory.name.isdecimal() and (directory / "cmdline").read_bytes() == needle:
                    return True
            except OSError:
                continue
        return False


def opened(request: pytest.FixtureRequest, system: str, folder: Path) -> Bench:
    cluster = {"local": None, "sge": "sge_cluster"}.get(system, "slurm_cluster")
    if cluster is not None:
        patch = request.getfixturevalue("monkeypatch")
        for name, value in request.getfixturevalue(cluster).environment.items():
            patch.setenv(name, value)
    if system in {"openpbs", "torque"} and shutil.which("qsub") is None:
        skip_or_fail("qsub of slurm-wlm-torque is not installed")
    return Bench(system, folder)


def closed(bench: Bench) -> None:
    """Cancel what is left, and wait until it is gone."""
    until_s = monotonic() + PATIENCE_S
    gone = {JobState.ENDED, JobState.ABANDONED, JobState.UNKNOWN}
    while left := [one.id for one in bench.batch.jobs() if one.state not in gone]:
        assert monotonic() < until_s, f"still there: {left}"
        bench.batch.cancel(left)
        sleep(0.2)


@pytest.fixture(
    params=[
        "local",
        pytest.param("slurm", marks=pytest.mark.batch),
        pytest.param("openpbs", marks=pytest.mark.batch),
        pytest.param("torque", marks=pytest.mark.batch),
        pytest.param("sge", marks=[pytest.mark.batch, pytest.mark.slow]),
    ]
)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Return each batch system in turn; PBS is Slurm's wrappers, in both dialects."""
    bench = opened(request, request.param, tmp_path / "jobs")
    yield bench
    closed(bench)


@pytest.fixture
def slurm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    bench = opened(request, "slurm", tmp_path / "jobs")
    yield bench
    closed(bench)


def test_a_job_runs_its_command_and_is_gone(bench: Bench, tmp_path: Path) -> None:
    job = bench.submit("p1", f"echo done > {tmp_path}/made", prologue=("export A=1",))
    assert job
    bench.until_ended("p1")
    assert (tmp_path / "made").read_text() == "done\n"


def test_a_job_gets_nothing_of_the_environment_of_its_submit(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bench.system == "local":
        pytest.skip("its jobs are processes of ours")
    monkeypatch.setenv("OF_THE_RUNNER", "secret")
    bench.submit("p1", f"env > {tmp_path}/half; mv {tmp_path}/half {tmp_path}/made")
    bench.until_ended("p1")
    made = dict(line.split("=", 1) for line in (tmp_path / "made").read_text().splitlines())
    assert "OF_THE_RUNNER" not in made
    assert {"HOME", "PATH"} <= made.keys()
    if bench.system == "slurm":
        assert "SLURM_EXPORT_ENV" not in made, "steps of the job get nothing of its environment"


@pytest.mark.batch
def test_a_site_may_give_its_jobs_the_environment_of_the_submit(
    slurm: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_RUNNER", "here")
    slurm.submit("p1", f"echo $OF_THE_RUNNER > {tmp_path}/made", directives=("--export=ALL",))
    slurm.until_ended("p1")
    assert (tmp_path / "made").read_text() == "here\n"


def test_a_job_is_listed_under_its_name_and_id_while_it_runs(bench: Bench) -> None:
    job = bench.submit("p1", f"sleep 601.{PID}")
    running = bench.until_running("p1")
    assert (running.id, running.name) == (job, bench.name("p1"))
    assert running.host


def test_a_job_is_found_again_after_a_restart(bench: Bench) -> None:
    job = bench.submit("p1", f"sleep 602.{PID}")
    assert [(one.id, one.name) for one in bench.again().jobs()] == [(job, bench.name("p1"))]


def test_jobs_of_others_are_not_listed(bench: Bench, tmp_path: Path) -> None:
    bench.submit("p1", f"sleep 603.{PID}")
    assert Bench(bench.system, bench.folder).batch.jobs() == []


def test_a_cancelled_job_ends_with_its_processes(bench: Bench) -> None:
    job = bench.submit("p1", f"sleep 604.{PID} & wait")
    bench.until_running("p1")
    bench.until("p1", lambda _: bench.living(604))
    bench.batch.cancel([job])
    bench.until_ended("p1")
    bench.until_dead(604)  # Slurm's wrappers call a job ended while it is


def test_a_local_job_is_cancelled_with_processes_that_left_its_session(tmp_path: Path) -> None:
    bench = Bench("local", tmp_path / "jobs")
    job = bench.submit("p1", f"setsid sh -c 'setsid sleep 605.{PID} & exit' & exit")
    bench.until("p1", lambda _: bench.living(605))
    assert bench.until_running("p1").id == job
    bench.batch.cancel([job])
    assert not bench.living(605)
    ended = bench.job("p1")
    assert ended is not None
    assert ended.state is JobState.ENDED
    assert bench.job("p1") is None


def test_several_jobs_are_cancelled_at_once(bench: Bench) -> None:
    jobs = [bench.submit(f"p{number}", f"sleep 606.{PID}") for number in (1, 2, 3)]
    bench.batch.cancel(jobs)
    for number in (1, 2, 3):
        bench.until_ended(f"p{number}")


def test_what_has_ended_may_be_cancelled(bench: Bench) -> None:
    gone, lives = bench.submit("p1", "true"), bench.submit("p2", f"sleep 607.{PID}")
    bench.until_ended("p1")
    bench.batch.cancel([gone])
    bench.batch.cancel([gone, lives])
    bench.until_ended("p2")
    bench.batch.cancel([])


def test_the_last_words_of_a_failed_job_are_its_stderr(bench: Bench) -> None:
    bench.submit("p1", "echo to stdout; echo no such module: euclid_dask >&2; exit 3")
    bench.until_ended("p1")
    # some copy it when the job has ended
    bench.until("p1", lambda _: bench.batch.last_words(bench.name("p1")) != "")
    assert bench.batch.last_words(bench.name("p1")) == "no such module: euclid_dask"


def test_the_command_gets_signals_as_the_job(bench: Bench, tmp_path: Path) -> None:
    """A pilot says good-bye when it is cancelled."""
    told = tmp_path / "told"
    command = (
        f"trap 'echo term > {told}; exit 0' TERM; touch {told}.ready; while :; do sleep 0.1; done"
    )
    job = bench.submit("p1", command)
    bench.until("p1", lambda _: Path(f"{told}.ready").exists())
    bench.batch.cancel([job])
    bench.until_ended("p1")
    if bench.system in {"local", "slurm"}:  # Slurm's wrappers of PBS and Grid Engine just kill
        assert told.read_text() == "term\n"


def test_a_refused_job_is_told_with_the_systems_own_words(bench: Bench) -> None:
    if bench.system == "local":
        pytest.skip("nothing is refused")
    with pytest.raises(BatchError) as caught:
        bench.submit("p1", "true", queue="no-such-queue")
    assert type(caught.value) is BatchError
    assert caught.value.hint
    assert bench.job("p1") is None


@pytest.mark.batch
@pytest.mark.parametrize("system", ["slurm", "openpbs", "sge"])
def test_a_submit_that_did_not_answer_in_time_is_looked_up_by_name(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    bench = opened(request, system, tmp_path / "jobs")
    program = "sbatch" if system == "slurm" else "qsub"
    real = shutil.which(program)
    slow = tmp_path / "bin" / program
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\n{real} "$@" >{tmp_path}/answer\nsleep 60\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    with pytest.raises(SubmitUnknownError):
        bench.again(timeout_s=3.0).submit(bench.script(f"sleep 608.{PID}"), bench.name("p1"))
    job = bench.job("p1")
    assert job is not None
    assert job.id in (tmp_path / "answer").read_text()
    closed(bench)


@pytest.mark.batch
def test_a_slurm_job_runs_on_none_of_the_hosts_that_it_avoids(slurm: Bench) -> None:
    slurm.submit("p1", f"sleep 613.{PID}", avoid=("n1", "n2"))
    assert slurm.until_running("p1").host == "n3"


@pytest.mark.batch
@pytest.mark.slow
def test_a_job_of_grid_engine_does_not_run_on_the_host_that_it_avoids(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    bench = opened(request, "sge", tmp_path / "jobs")
    bench.submit("p1", f"sleep 614.{PID}")
    host = bench.until_running("p1").host
    bench.submit("p2", "true", avoid=(host, "other"))
    bench.submit("p3", f"sleep 614.{PID}", avoid=("other",))
    bench.until_running("p3")  # it is there alone
    job = bench.job("p2")
    assert job is not None
    assert job.state is JobState.QUEUED
    closed(bench)


@pytest.mark.batch
def test_a_poll_of_a_slurm_that_is_down_is_an_error_and_jobs_go_on(
    slurm: Bench, slurm_cluster: Any
) -> None:
    slurm.submit("p1", f"sleep 609.{PID}")
    slurm.until("p1", lambda _: slurm.living(609))
    slurm_cluster.act("stop-controller")
    try:
        impatient = slurm.again(tries=1)
        with pytest.raises(BatchUnreachableError, match="Unable to contact slurm controller"):
            impatient.jobs()
        with pytest.raises(BatchUnreachableError):
            impatient.submit(slurm.script("true"), slurm.name("p2"))
        with pytest.raises(BatchUnreachableError):
            impatient.cancel([JobId("1")])
        assert slurm.living(609)
    finally:
        slurm_cluster.act("start-controller")
    assert slurm.until_running("p1").name == slurm.name("p1")
    assert slurm.job("p2") is None


@pytest.mark.batch
def test_a_poll_of_pbs_that_is_down_is_an_error(
    request: pytest.FixtureRequest, slurm_cluster: Any, tmp_path: Path
) -> None:
    pbs = opened(request, "openpbs", tmp_path / "jobs")
    slurm_cluster.act("stop-controller")
    try:
        with pytest.raises(BatchUnreachableError, match="Problem loading jobs"):
            pbs.again(tries=1).jobs()
    finally:
        slurm_cluster.act("start-controller")
    assert pbs.batch.jobs() == []


@pytest.mark.batch
def test_a_held_job_says_that_it_is_held(slurm: Bench) -> None:
    slurm.submit("p1", "true", directives=("--hold",))
    job = slurm.job("p1")
    assert job is not None
    assert (job.state, job.reason) == (JobState.HELD, "JobHeldUser")


@pytest.mark.batch
def test_a_job_that_waits_for_cores_says_so(slurm: Bench) -> None:
    whole = Resources(cores=2, ram_bytes=2**20, walltime_s=600)
    for number in range(4):  # on three nodes
        slurm.submit(f"p{number}", f"sleep 610.{PID}", offer=whole)
    job = slurm.until("p3", lambda job: job is not None and job.reason == "Resources")
    assert job is not None
    assert job.state is JobState.QUEUED
    job = slurm.until("p3", lambda job: job is not None and job.starts_s > 0)
    assert job is not None
    assert job.starts_s > slurm.until_running("p0").starts_s > 0


@pytest.mark.batch
def test_a_job_that_is_too_large_for_every_node_is_refused(slurm: Bench) -> None:
    with pytest.raises(BatchError, match="node configuration is not available") as caught:
        slurm.submit("p1", "true", offer=Resources(cores=3, walltime_s=600))
    assert "no node is so large" in caught.value.hint


@pytest.mark.batch
def test_a_job_that_is_larger_than_the_partition_waits_for_ever(slurm: Bench) -> None:
    slurm.submit("p1", "true", offer=Resources(cores=999, walltime_s=600))
    job = slurm.job("p1")
    assert job is not None
    assert (job.state, job.reason) == (JobState.HELD, "PartitionConfig")


@pytest.mark.batch
@pytest.mark.slow
def test_a_job_that_reached_its_walltime_says_so(slurm: Bench, slurm_cluster: Any) -> None:
    job = slurm.submit("p1", f"sleep 611.{PID}")
    slurm.until_running("p1")
    slurm_cluster.run("scontrol", "update", f"jobid={job}", "EndTime=now+1")
    ended = slurm.until_ended("p1")
    assert ended is not None
    assert ended.reason == "TIMEOUT"


@pytest.mark.batch
@pytest.mark.parametrize("command", ["exit 0", "exit 3", "kill -9 $$"])
def test_slurm_knows_of_an_exit_from_the_node(slurm: Bench, command: str) -> None:
    slurm.submit("p1", command)
    ended = slurm.until_ended("p1")
    assert ended is not None
    assert ended.is_confirmed, ended.reason


@pytest.mark.batch
def test_a_job_that_is_cancelled_on_a_node_that_hangs_is_not_known_to_be_dead(
    slurm: Bench, slurm_cluster: Any
) -> None:
    job = slurm.submit("p1", f"sleep 640.{PID}")
    node = slurm.until_running("p1").host
    slurm.until("p1", lambda _: slurm.living(640))
    slurm_cluster.act("hang-node", node)
    try:
        slurm.batch.cancel([job])
        slurm_cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        ended = slurm.until_ended("p1")
        assert ended is not None
        assert ended.reason == "CANCELLED"
        assert not ended.is_confirmed
        assert slurm.living(640)
    finally:
        slurm_cluster.act("cont-node", node)
    slurm.until_dead(640)


@pytest.mark.batch
def test_a_job_whose_node_is_down_is_not_known_to_be_dead(slurm: Bench, slurm_cluster: Any) -> None:
    slurm.submit("p1", f"sleep 612.{PID}")
    node = slurm.until_running("p1").host
    slurm.until("p1", lambda _: slurm.living(612))
    slurm_cluster.act("hang-node", node)
    try:
        slurm_cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        job = slurm.until("p1", lambda job: job is not None and job.state is JobState.ABANDONED)
        assert job is not None
        assert job.reason == "NODE_FAIL (NodeDown)"
        assert slurm.living(612)
    finally:
        slurm_cluster.act("cont-node", node)
    slurm.until_dead(612)  # when the node is back
