"""What the commands of a batch system look like, as values: no command is run here.

Rule 1: a parser reads the whole output or raises ValueError; half an answer would make jobs look
ended. Rule 2: a state that a parser does not know is `JobState.UNKNOWN`, never an end.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from euclid_dask.core.ids import JobId
from euclid_dask.core.pilots import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """The files of a job: its script, and where what it says goes. All names are absolute."""

    script: str
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The commands of one batch system and what they answer.

    `unreachable` finds, in what a failed command wrote, that the system could not be asked: nothing
    was done, and the same may succeed later. `unanswered` finds that it was asked but its answer
    did not come: it may have done it. `no_failure` finds the lines of a failed cancel that say of a
    job that it is no more, or is being ended. `hints` are pairs of what to find and what to do
    then. `no_jobs_code` is the exit code by which the list command says that there are no jobs.
    """

    name: str
    submit: Callable[[str, JobFiles], list[str]]
    """Return the command that submits a job of this name."""
    parse_submit: Callable[[str], JobId]
    """Return the job's id from the output of `submit`."""
    list_jobs: Sequence[str]
    """The command that lists the jobs of this user."""
    parse_jobs: Callable[[str], list[Job]]
    """Return the jobs from the output of `list_jobs`."""
    cancel: Callable[[Sequence[JobId]], list[str]]
    """Return the command that cancels jobs."""
    unreachable: re.Pattern[str]
    unanswered: re.Pattern[str]
    no_failure: re.Pattern[str]
    hints: Sequence[tuple[re.Pattern[str], str]] = ()
    no_jobs_code: int = 0


def last_word(output: str) -> JobId:
    """Return the id that is all, or the end, of what a submit command printed.

    Raises:
        ValueError: Nothing was printed.
    """
    words = output.split()
    if not words:
        raise ValueError("no job id was printed")
    return JobId(words[-1])


def pattern(*texts: str) -> re.Pattern[str]:
    """Return a pattern that finds any of these regular expressions, in any case."""
    return re.compile("|".join(texts), re.IGNORECASE)
