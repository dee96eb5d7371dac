"""Grid Engine: `qsub`, `qstat`, `qdel`, of SGE, Son of Grid Engine, Univa and Altair.

`qstat` lists the jobs of the user that have not ended, whatever a `sge_qstat` file says: `$user` is
its own word. `-r` gives their names in full.

Source: qstat(1), "OUTPUT FORMATS" and the XML schema qstat.xsd.
"""

from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from euclid_dask.core.ids import JobId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.pilots.batch.dialect import Dialect, JobFiles, last_word, pattern


def _submit(name: str, files: JobFiles) -> list[str]:
    # -r n: a pilot that is lost is replaced by another, under another name
    output = ["-j", "n", "-o", files.stdout, "-e", files.stderr]
    return ["qsub", "-terse", "-N", name, "-r", "n", *output, files.script]


def _parse_jobs(output: str) -> list[Job]:
    try:
        tree = ET.fromstring(output)  # noqa: S314 - the batch system's own, and stdlib's limits do
    except ET.ParseError as error:
        raise ValueError(f"not XML: {error}") from None
    return [_job(element) for element in tree.iter("job_list")]


def _job(element: ET.Element) -> Job:
    job, letters = element.findtext("JB_job_number"), element.findtext("state")
    if not job or not letters:
        raise ValueError("a job has no number or no state")
    return Job(
        id=JobId(job),
        name=element.findtext("full_job_name") or element.findtext("JB_name") or "",
        state=_state(letters),
        reason=_reason(job, letters),
        host=(element.findtext("queue_name") or "").partition("@")[2],
    )


def _state(letters: str) -> JobState:
    """Return the state of letters like `qw`, `hqw`, `Eqw`, `r`, `t`, `Rr`, `dr`, `s`."""
    if "q" in letters:
        return JobState.HELD if set(letters) & set("hE") else JobState.QUEUED
    if "w" in letters:
        return JobState.QUEUED
    return JobState.RUNNING if set(letters) & set("rtsSTNP") else JobState.UNKNOWN


def _reason(job: str, letters: str) -> str:
    if "E" in letters:
        return f"error ({letters}): see `qstat -j {job}`"
    if "h" in letters:
        return f"held ({letters})"
    return "" if letters in {"qw", "r"} else letters


def _cancel(jobs: Sequence[JobId]) -> list[str]:
    return ["qdel", *jobs]


SGE: Final = Dialect(
    name="sge",
    submit=_submit,
    parse_submit=last_word,
    list_jobs=("qstat", "-u", "$user", "-xml", "-r"),
    parse_jobs=_parse_jobs,
    cancel=_cancel,
    unreachable=pattern(
        r"unable to (contact|send message to) qmaster",
        r"connection refused",
        r"got select error",
        r"can't resolve hostname",
    ),
    unanswered=pattern(r"got (read|receive|send) (error|timeout)", r"failed receiving gdi request"),
    no_failure=pattern(
        r'job "[^"]*" does not exist',
        r"already in deletion",
        r"has (registered the|deleted) job",
    ),
    hints=(
        (
            pattern("unknown queue", "cannot run in queue"),
            "see `qconf -sql` for the queues, and `queue` of the template",
        ),
        (
            pattern("unknown parallel environment", "no suitable queues", "pe "),
            "cores are asked for by a directive of the template, `-pe NAME 4`: see `qconf -spl`",
        ),
        (pattern("unknown resource"), "see `qconf -sc` for the names of resources"),
    ),
)
