"""Slurm: `sbatch`, `squeue`, `scancel`.

One `squeue` lists all jobs of the user, also those that ended in the last `MinJobAge` seconds (five
minutes, unless the site says otherwise), with how they ended.

A job whose node failed is `ABANDONED` until Slurm forgets it: where only the node's network or its
`slurmd` hangs the processes still live. So may those of a job that was cancelled, or reached its
time limit, while its node did not answer. That its script has ended only the node can have told.

Source: squeue(1), "JOB STATE CODES" and "JOB REASON CODES".
"""

from collections.abc import Sequence
from typing import Final

from euclid_dask.core.ids import JobId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.pilots.batch.dialect import Dialect, JobFiles, pattern

# the reason is last: it is free text. A strange name of somebody else's job does no harm here
_FIELDS: Final = ("%i", "%T", "%B", "%S", "%e", "%j", "%r")
_LIST: Final = ("squeue", "--me", "--noheader", "--states=all", f"--format={'|'.join(_FIELDS)}")

_RUNNING: Final = frozenset(
    {"RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"}
    | {"RESIZING", "POWER_UP_NODE"}
)
_QUEUED: Final = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED"})
_HELD: Final = frozenset({"REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
_ENDED: Final = frozenset(
    {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "PREEMPTED", "BOOT_FAIL", "DEADLINE"}
    | {"OUT_OF_MEMORY", "LAUNCH_FAILED", "REVOKED"}
)
_ABANDONED: Final = frozenset({"NODE_FAIL"})
_EXIT: Final = pattern("^NonZeroExitCode", "^RaisedSignal", "^JobLaunchFailure")
"""Why a job failed of which the script has ended, in this order: with a code, by a signal, and by
one in the words of Slurm 22, which says that of scripts that never began, too."""
_HOPELESS: Final = pattern(
    "held",
    "^DependencyNeverSatisfied",
    "^BadConstraints",
    "^InvalidAccount",
    "^InvalidQOS",
    "^(Account|QOS)NotAllowed",
    "^Partition(Config|NodeLimit|TimeLimit)",
    "PerJobLimit$",
)
"""Reasons for which a job waits until somebody changes it."""


def _submit(name: str, files: JobFiles) -> list[str]:
    return [
        "sbatch",
        "--parsable",
        "--no-requeue",  # a pilot that is lost is replaced by another, under another name
        f"--job-name={name}",
        f"--output={files.stdout}",
        f"--error={files.stderr}",
        files.script,
    ]


def _parse_submit(output: str) -> JobId:
    job = output.strip().rpartition("\n")[2].partition(";")[0]  # after ";": the cluster's name
    if not job.isdecimal():
        raise ValueError(f"not a job id: {job!r}")
    return JobId(job)


def _parse_jobs(output: str) -> list[Job]:
    return [_job(line) for line in output.splitlines() if line]


def _job(line: str) -> Job:
    fields = line.split("|", len(_FIELDS) - 1)
    if len(fields) < len(_FIELDS):
        raise ValueError(f"{len(fields)} fields instead of {len(_FIELDS)}: {line!r}")
    job, word, host, start, end, name, reason = fields
    state = _state(word, reason)
    return Job(
        id=JobId(job),
        name=name,
        state=state,
        reason=_reason(state, word, reason),
        host="" if host == "n/a" else host,
        starts_s=_seconds(start),
        ends_s=_seconds(end),
        is_confirmed=word == "COMPLETED" or (word == "FAILED" and bool(_EXIT.search(reason))),
    )


def _state(word: str, reason: str) -> JobState:
    if word in _QUEUED:
        return JobState.HELD if _HOPELESS.search(reason) else JobState.QUEUED
    for state, words in (
        (JobState.RUNNING, _RUNNING),
        (JobState.ENDED, _ENDED),
        (JobState.HELD, _HELD),
        (JobState.ABANDONED, _ABANDONED),
    ):
        if word in words:
            return state
    return JobState.UNKNOWN


def _reason(state: JobState, word: str, reason: str) -> str:
    """Return why a job waits; of others, what is special about their state."""
    said = "" if reason in {"None", "(null)"} else reason
    if state in {JobState.QUEUED, JobState.HELD}:
        return said
    if word == "RUNNING":
        return ""
    return f"{word} ({said})" if said and word in {"FAILED", "NODE_FAIL"} else word


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0


def _cancel(jobs: Sequence[JobId]) -> list[str]:
    return ["scancel", *jobs]


SLURM: Final = Dialect(
    name="slurm",
    submit=_submit,
    parse_submit=_parse_submit,
    list_jobs=("env", "SLURM_TIME_FORMAT=%s", *_LIST),
    parse_jobs=_parse_jobs,
    cancel=_cancel,
    unreachable=pattern(
        r"unable to contact slurm controller",
        r"connection refused",
        r"unable to establish controller",
        r"slurm temporarily unable to accept job",
        r"resource temporarily unavailable",
        r"munge encode failed",
    ),
    unanswered=pattern(
        r"timed out on send/recv",
        r"zero bytes were transmitted",
        r"unexpected message",
        r"communication (connection )?failure",
    ),
    no_failure=pattern(r"invalid job id", r"already completing or completed"),
    hints=(
        (
            pattern("invalid partition"),
            "see `sinfo --summarize` for the partitions, and `queue` of the template",
        ),
        (
            pattern("invalid account"),
            "see `sacctmgr show associations user=$USER`, and `account` of the template",
        ),
        (
            pattern("invalid qos", "qos.*limit", "assoc.*limit", "accounting.*policy"),
            "a limit of your account: ask for less, or for fewer pilots (`max_running`)",
        ),
        (
            pattern("node configuration is not available", "memory specification"),
            "no node is so large, or is left (--exclude): see `sinfo --format='%P %c %m %l'`",
        ),
        (
            pattern("time limit"),
            "the partition allows less walltime: see `sinfo --format='%P %l'`",
        ),
    ),
)
