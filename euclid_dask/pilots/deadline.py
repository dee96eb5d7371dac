"""When the batch system will end this job, as far as the job itself can know."""

from collections.abc import Mapping
from typing import Final

from euclid_dask.core.errors import InputError

AUTO: Final = "auto"


def deadline(
    word: str, walltime_s: float, started_s: float, environment: Mapping[str, str]
) -> float | None:
    """Return the seconds since the epoch at which the job ends, None if nothing says so.

    `word` is that time, or "auto": what newer Slurms tell their jobs, else, after the job's start
    at `started_s`, the walltime that Torque tells or the job script knows (`walltime_s`, 0 for
    none).

    Raises:
        InputError: `word` is neither.
    """
    if word != AUTO:
        return _number(word, "--until")
    if end := environment.get("SLURM_JOB_END_TIME"):
        return _number(end, "SLURM_JOB_END_TIME")
    if walltime := environment.get("PBS_WALLTIME"):
        return started_s + _number(walltime, "PBS_WALLTIME")
    return started_s + walltime_s if walltime_s else None


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"{name} is not a time: {text!r}", hint='give seconds since the epoch, or "auto"'
        ) from None
