"""HTCondor: `condor_submit`, `condor_q`, `condor_rm`.

`condor_q` lists the jobs of the user that are in the queue. A job that would be started a second
time, or longer than its walltime, removes itself (see `pilots.scripts`).

Source: the HTCondor manual, "Job ClassAd Attributes" (JobStatus) and condor_q(1).
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from euclid_dask.core.ids import JobId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.pilots.batch.dialect import Dialect, JobFiles, pattern

_ATTRIBUTES: Final = (
    "ClusterId,ProcId,JobBatchName,JobStatus,HoldReason,RemoteHost,JobCurrentStartDate"
)
_STATES: Final = {
    1: JobState.QUEUED,
    2: JobState.RUNNING,
    3: JobState.RUNNING,  # being removed
    4: JobState.ENDED,
    5: JobState.HELD,
    6: JobState.RUNNING,  # transferring output
    7: JobState.RUNNING,  # suspended
}
_WORDS: Final = {3: "being removed", 6: "transferring output", 7: "suspended"}


def _submit(name: str, files: JobFiles) -> list[str]:
    output = ["-append", f"output = {files.stdout}", "-append", f"error = {files.stderr}"]
    return ["condor_submit", "-terse", "-batch-name", name, *output, files.script]


def _parse_submit(output: str) -> JobId:
    """Return the first of the ids in `4711.0 - 4711.0`."""
    job = output.split(maxsplit=1)[0] if output.strip() else ""
    if not job.replace(".", "", 1).isdecimal():
        raise ValueError(f"not a job id: {output.strip()!r}")
    return JobId(job)


def _parse_jobs(output: str) -> list[Job]:
    if not output.strip():  # no jobs
        return []
    ads = msgspec.json.decode(output, type=list[dict[str, Any]])
    return [_job(ad) for ad in ads]


def _job(ad: dict[str, Any]) -> Job:
    try:
        job, status = f"{ad['ClusterId']}.{ad['ProcId']}", ad["JobStatus"]
    except KeyError as missing:
        raise ValueError(f"a job has no {missing}") from None
    state = _STATES.get(status, JobState.UNKNOWN)
    words = str(status) if state is JobState.UNKNOWN else _WORDS.get(status, "")
    return Job(
        id=JobId(job),
        name=str(ad.get("JobBatchName", "")),
        state=state,
        reason=str(ad.get("HoldReason", "")) if status == 5 else words,
        host=str(ad.get("RemoteHost", "")).rpartition("@")[2],
        starts_s=float(ad.get("JobCurrentStartDate", 0)),
    )


def _cancel(jobs: Sequence[JobId]) -> list[str]:
    return ["condor_rm", *jobs]


HTCONDOR: Final = Dialect(
    name="htcondor",
    submit=_submit,
    parse_submit=_parse_submit,
    list_jobs=("condor_q", "-json", "-attributes", _ATTRIBUTES),
    parse_jobs=_parse_jobs,
    cancel=_cancel,
    unreachable=pattern(
        r"can't find address of",
        r"failed to (connect|fetch ads)",
        r"unable to locate",
        r"connection refused",
    ),
    unanswered=pattern(r"failed to (end|commit|disconnect)", r"timed? ?out"),
    no_failure=pattern(
        r"couldn't find/(remove|act on)",
        r"not found",
        r"marked for removal",
    ),
    hints=((pattern("root", "super.?user"), "HTCondor takes no jobs of root"),),
)
