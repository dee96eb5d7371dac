"""PBS: `qsub`, `qstat`, `qdel`, as OpenPBS, PBS Pro, Torque and Slurm's wrappers have them.

The text of `qstat -f` is what all of them have in common. It lists the jobs that the user may see;
ours are told by their names. (With `-u` only the short form is printed, which cuts names off; with
the ids of jobs it fails as soon as one of them is forgotten.) OpenPBS and PBS Pro do not list jobs
that ended; Torque and the wrappers do for some time, as `C`.

The wrappers say less than a real PBS: not why a job waits, not that it is held, and a job that is
being killed, or whose node failed, is `C`, though its processes may still live.

Source: qstat(1B) of OpenPBS, "Job Status in long format" and "job_state"; qstat of Torque.
"""

import re
from collections.abc import Sequence
from typing import Final

from euclid_dask.core.ids import JobId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.pilots.batch.dialect import Dialect, JobFiles, last_word, pattern

_JOB: Final = re.compile(r"^Job Id:[ \t]*", re.MULTILINE)
_ATTRIBUTE: Final = re.compile(r"^[ \t]+([A-Za-z_][\w.]*) = (.*)$", re.MULTILINE)
_FOLD: Final = re.compile(r"\n[ \t]+(?![ \t]|[A-Za-z_][\w.]* = )")
"""Where a long line goes on in the next one."""

_STATES: Final = {
    "Q": JobState.QUEUED,
    "W": JobState.QUEUED,
    "T": JobState.QUEUED,
    "H": JobState.HELD,
    "R": JobState.RUNNING,
    "B": JobState.RUNNING,
    "E": JobState.RUNNING,
    "S": JobState.RUNNING,
    "C": JobState.ENDED,
    "F": JobState.ENDED,
    "X": JobState.ENDED,
}
_WORDS: Final = {"E": "exiting", "S": "suspended", "M": "moved to another server"}


def _submit(name: str, files: JobFiles) -> list[str]:
    # -r n: a pilot that is lost is replaced by another, under another name
    return [
        "qsub",
        "-N",
        name,
        "-r",
        "n",
        "-o",
        files.stdout,
        "-e",
        files.stderr,
        files.script,
    ]


def _parse_jobs(output: str) -> list[Job]:
    before, *blocks = _JOB.split(output)
    if before.strip():
        raise ValueError(f"no job before {before.strip()!r}")
    return [_job(block) for block in blocks]


def _job(block: str) -> Job:
    job, _, text = _FOLD.sub("", block).partition("\n")
    # the first of a name counts: a variable of the job's environment may look like an attribute
    attributes = dict(reversed(_ATTRIBUTE.findall(text)))
    try:
        name, letter = attributes["Job_Name"], attributes["job_state"]
    except KeyError as missing:
        raise ValueError(f"job {job} has no {missing}") from None
    state = _STATES.get(letter, JobState.UNKNOWN)
    return Job(
        id=JobId(job.strip()),
        name=name,
        state=state,
        reason=_reason(state, letter, attributes),
        host=attributes.get("exec_host", "").partition("/")[0].partition("+")[0],
    )


def _reason(state: JobState, letter: str, attributes: dict[str, str]) -> str:
    if state in {JobState.QUEUED, JobState.HELD}:
        return attributes.get("comment", "")
    if state is JobState.ENDED:
        code = attributes.get("Exit_status") or attributes.get("exit_status") or ""
        return attributes.get("comment", "") or (f"exit status {code}" if code else "")
    return _WORDS.get(letter, "" if state is JobState.RUNNING else letter)


def _cancel(jobs: Sequence[JobId]) -> list[str]:
    return ["qdel", *jobs]


PBS: Final = Dialect(
    name="pbs",
    submit=_submit,
    parse_submit=last_word,
    list_jobs=("qstat", "-f"),
    parse_jobs=_parse_jobs,
    cancel=_cancel,
    unreachable=pattern(
        r"cannot connect to (specified )?server",
        r"connection refused",
        r"no route to host",
        r"problem loading jobs",
        r"unable to contact slurm controller",
        r"server shutting down",
        r"server is busy",
    ),
    unanswered=pattern(
        r"timed out",
        r"communication failure",
        r"end of file",
        r"premature end of message",
        r"zero bytes were transmitted",
    ),
    no_failure=pattern(
        r"unknown job ?id", r"job has finished", r"invalid (state|job id)", r"request invalid for"
    ),
    hints=(
        (
            pattern("unknown queue", "invalid partition", "no default queue"),
            "see `qstat -Q` for the queues, and `queue` of the template",
        ),
        (
            pattern("exceed", "resource limits", "not available"),
            "the queue allows less: see `qstat -Qf`, and the template's sizes",
        ),
        (
            pattern("illegal -N", "illegal job name", "job name"),
            'names are shortest with `batch = "torque"`; else give the site a shorter name',
        ),
        (
            pattern("unauthorized", "not authorized", "permission denied"),
            "you may not use this queue from this host: see `qstat -Qf`",
        ),
    ),
    no_jobs_code=153,  # of Slurm's wrappers
)
