"""Command lines of batch systems, and what is read from their real output."""

from collections.abc import Callable
from pathlib import Path

import pytest

from euclid_dask.core.ids import JobId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.pilots.batch.dialect import Dialect, JobFiles
from euclid_dask.pilots.batch.htcondor import HTCONDOR
from euclid_dask.pilots.batch.pbs import PBS
from euclid_dask.pilots.batch.sge import SGE
from euclid_dask.pilots.batch.slurm import SLURM

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "batch"
FILES = JobFiles(script="/w/p.sh", stdout="/w/p.out", stderr="/w/p.err")
ALL = pytest.mark.parametrize("dialect", [SLURM, PBS, SGE, HTCONDOR], ids=lambda one: one.name)
QUEUED, HELD, RUNNING, ENDED, ABANDONED, UNKNOWN = JobState


def told(dialect: Dialect, file: str) -> dict[str, tuple[JobState, str, str]]:
    """Return the state, reason and host of each job in a golden file."""
    jobs = dialect.parse_jobs((GOLDEN / file).read_text())
    return {job.id: (job.state, job.reason, job.host) for job in jobs}


def test_squeue_says_where_each_job_stands_and_why() -> None:
    assert told(SLURM, "squeue.txt") == {
        "8": (ENDED, "CANCELLED", ""),
        "19": (ENDED, "CANCELLED", "n3"),
        "14": (ENDED, "COMPLETED", "n1"),
        "13": (ENDED, "FAILED (NonZeroExitCode)", "n1"),
        "16": (ABANDONED, "NODE_FAIL (NodeDown)", "n1"),
        "21": (QUEUED, "Resources", ""),
        "17": (HELD, "JobHeldUser", ""),
        "18": (RUNNING, "", "n2"),
        "20": (RUNNING, "", "n3"),
        "22": (ENDED, "TIMEOUT", "n1"),
    }


def test_squeue_says_when_a_queued_job_is_expected_to_start() -> None:
    jobs = {job.id: job for job in SLURM.parse_jobs((GOLDEN / "squeue.txt").read_text())}
    assert jobs[JobId("21")] == Job(
        id=JobId("21"),
        name="euclid-dask-t-b3",
        state=QUEUED,
        reason="Resources",
        starts_s=1795317699.0,
        ends_s=1795321299.0,
    )


@pytest.mark.parametrize(
    ("word", "reason", "state"),
    [
        ("PENDING", "Priority", QUEUED),
        ("PENDING", "QOSMaxJobsPerUserLimit", QUEUED),
        ("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", QUEUED),
        ("PENDING", "launch failed requeued held", HELD),
        ("PENDING", "JobHeldAdmin", HELD),
        ("PENDING", "PartitionTimeLimit", HELD),
        ("PENDING", "QOSMaxWallDurationPerJobLimit", HELD),
        ("PENDING", "DependencyNeverSatisfied", HELD),
        ("CONFIGURING", "None", RUNNING),
        ("COMPLETING", "None", RUNNING),
        ("SUSPENDED", "None", RUNNING),
        ("OUT_OF_MEMORY", "OutOfMemory", ENDED),
        ("A_STATE_OF_A_LATER_SLURM", "None", UNKNOWN),
    ],
)
def test_a_slurm_job_in_this_state(word: str, reason: str, state: JobState) -> None:
    (job,) = SLURM.parse_jobs(f"5|{word}|n/a|N/A|N/A|p|{reason}\n")
    assert job.state is state


@pytest.mark.parametrize(
    ("word", "reason", "is_confirmed"),
    [
        ("COMPLETED", "None", True),
        ("FAILED", "NonZeroExitCode", True),
        ("FAILED", "RaisedSignal:9(Killed)", True),
        ("FAILED", "JobLaunchFailure", True),
        ("FAILED", "None", False),
        ("CANCELLED", "None", False),
        ("TIMEOUT", "TimeLimit", False),
        ("PREEMPTED", "None", False),
        ("NODE_FAIL", "NodeDown", False),
        ("COMPLETING", "None", False),
    ],
)
def test_only_an_exit_of_the_script_is_told_by_the_node(
    word: str, reason: str, is_confirmed: bool
) -> None:
    (job,) = SLURM.parse_jobs(f"5|{word}|n1|N/A|N/A|p|{reason}\n")
    assert job.is_confirmed is is_confirmed


def test_a_line_of_squeue_that_was_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="4 fields instead of 7"):
        SLURM.parse_jobs("5|RUNNING|n1|1795314099")


def test_sbatch_may_name_the_cluster_after_the_id() -> None:
    assert SLURM.parse_submit("4711;cluster\n") == "4711"
    assert SLURM.parse_submit("sbatch: a word of the site\n4711\n") == "4711"


def test_openpbs_says_where_a_job_runs() -> None:
    assert told(PBS, "qstat-openpbs.txt") == {"1.h1": (RUNNING, "", "h1")}


def test_the_wrappers_of_slurm_are_read_like_pbs() -> None:
    assert told(PBS, "qstat-wrappers.txt") == {
        "24": (RUNNING, "", "n2"),
        "25": (RUNNING, "", "n3"),
        "26": (QUEUED, "", ""),
        "27": (QUEUED, "", ""),
    }


PBS_JOB = """Job Id: 7.server
    Job_Name = euclid-dask-site-with-a-very-long-name-that-goes-on-light-abcd
\t12
    Job_Owner = root@h1
    job_state = {state}
    {more}
    Variable_List = PBS_O_HOME=/root,NAMES=a
    job_state = R,PBS_O_LANG=C
"""


@pytest.mark.parametrize(
    ("state", "more", "told"),
    [
        ("Q", "comment = Not Running: too small", (QUEUED, "Not Running: too small")),
        ("H", "Hold_Types = u", (HELD, "")),
        ("E", "substate = 50", (RUNNING, "exiting")),
        ("F", "Exit_status = -29", (ENDED, "exit status -29")),
        ("C", "exit_status = 271", (ENDED, "exit status 271")),
        ("U", "substate = 0", (UNKNOWN, "U")),
        ("M", "substate = 0", (UNKNOWN, "moved to another server")),
    ],
)  # fmt: skip
def test_a_pbs_job_in_this_state(state: str, more: str, told: tuple[JobState, str]) -> None:
    (job,) = PBS.parse_jobs(PBS_JOB.format(state=state, more=more))
    assert (job.state, job.reason) == told
    assert job.name == "euclid-dask-site-with-a-very-long-name-that-goes-on-light-abcd12"


def test_what_does_not_begin_with_a_pbs_job_is_refused() -> None:
    with pytest.raises(ValueError, match="no job before"):
        PBS.parse_jobs("qstat: something else\n")
    with pytest.raises(ValueError, match="has no 'job_state'"):
        PBS.parse_jobs("Job Id: 1.h1\n    Job_Name = p\n")


def test_grid_engine_says_that_jobs_wait_are_held_or_failed_to_start() -> None:
    found = told(SGE, "qstat-sge.xml")
    assert found["2"] == (QUEUED, "Rq", "")
    assert found["4"] == (HELD, "held (hqw)", "")
    assert found["7"] == (HELD, "error (Eqw): see `qstat -j 7`", "")
    assert found["8"] == (RUNNING, "", "vm")
    assert found["13"] == (QUEUED, "", "")


def test_grid_engine_gives_names_in_full() -> None:
    jobs = SGE.parse_jobs((GOLDEN / "qstat-sge.xml").read_text())
    assert "euclid-dask-x-light-waits" in {job.name for job in jobs}


def test_xml_that_was_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="not XML"):
        SGE.parse_jobs((GOLDEN / "qstat-sge.xml").read_text()[:500])


CONDOR = """[
{"ClusterId":12,"ProcId":0,"JobStatus":2,"JobBatchName":"euclid-dask-s-light-abc123",
 "RemoteHost":"slot1_1@wn7.site","JobCurrentStartDate":1795314099},
{"ClusterId":13,"ProcId":0,"JobStatus":1,"JobBatchName":"euclid-dask-s-light-abc124"},
{"ClusterId":14,"ProcId":0,"JobStatus":5,"JobBatchName":"p","HoldReason":"via condor_hold"},
{"ClusterId":15,"ProcId":0,"JobStatus":9}
]
"""


def test_condor_q_says_where_each_job_stands_and_why() -> None:
    jobs = HTCONDOR.parse_jobs(CONDOR)
    assert [(job.id, job.state, job.reason, job.host, job.starts_s) for job in jobs] == [
        ("12.0", RUNNING, "", "wn7.site", 1795314099.0),
        ("13.0", QUEUED, "", "", 0.0),
        ("14.0", HELD, "via condor_hold", "", 0.0),
        ("15.0", UNKNOWN, "9", "", 0.0),
    ]


def test_condor_q_that_says_nothing_has_no_jobs() -> None:
    assert HTCONDOR.parse_jobs("") == []


def test_condor_submit_gives_a_range_of_ids() -> None:
    assert HTCONDOR.parse_submit("4711.0 - 4711.0\n") == "4711.0"


@ALL
def test_the_command_lines(dialect: Dialect) -> None:
    lines = [
        dialect.submit("euclid-dask-s-light-abc123", FILES),
        dialect.list_jobs,
        dialect.cancel([JobId("1"), JobId("2")]),
    ]
    text = "\n".join(" ".join(line) for line in lines) + "\n"
    assert text == (GOLDEN / f"commands-{dialect.name}.txt").read_text()


@ALL
@pytest.mark.parametrize("output", ["", "\n", "no"])
def test_no_id_is_read_from_what_is_none(dialect: Dialect, output: str) -> None:
    if output == "no" and dialect in {PBS, SGE}:
        return  # their ids may be any word
    with pytest.raises(ValueError, match="job id"):
        dialect.parse_submit(output)


@pytest.mark.parametrize(
    ("dialect", "said"),
    [
        (SLURM, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"),
        (PBS, "Problem loading jobs."),
        (PBS, "Connection refused\nqstat: cannot connect to server h1 (errno=15010)"),
        (SGE, 'error: unable to send message to qmaster using port 6444 on host "vm"'),
        (HTCONDOR, "Error: Can't find address of local schedd"),
    ],
)
def test_it_is_told_that_nobody_could_be_asked(dialect: Dialect, said: str) -> None:
    assert dialect.unreachable.search(said)
    assert not dialect.unanswered.search(said)


def test_slurm_that_took_too_long_may_have_done_it() -> None:
    said = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
    assert SLURM.unanswered.search(said)
    assert not SLURM.unreachable.search(said)


@pytest.mark.parametrize(
    ("dialect", "said"),
    [
        (SLURM, "scancel: error: Kill job error on job id 99: Invalid job id specified"),
        (PBS, "qdel: Unknown Job Id 99.h1"),
        (PBS, "qdel: Job has finished 1.h1"),
        (SGE, 'denied: job "99" does not exist'),
        (SGE, "root has registered the job 1 for deletion"),
        (HTCONDOR, "Couldn't find/remove all jobs in cluster 99"),
    ],
)
def test_a_cancel_of_what_is_gone_is_no_failure(dialect: Dialect, said: str) -> None:
    assert dialect.no_failure.search(said)


def test_every_hint_is_found_by_a_real_refusal() -> None:
    refusals: list[tuple[Dialect, str, Callable[[str], bool]]] = [
        (SLURM, "error: invalid partition specified: nope", lambda hint: "sinfo" in hint),
        (SLURM, "Requested node configuration is not available", lambda hint: "large" in hint),
        (SGE, 'job requests unknown queue "nope.q"', lambda hint: "qconf -sql" in hint),
        (PBS, "qsub: Unknown queue", lambda hint: "qstat -Q" in hint),
    ]
    for dialect, said, wanted in refusals:
        found = [hint for text, hint in dialect.hints if text.search(said)]
        assert any(map(wanted, found)), said
