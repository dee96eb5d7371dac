"""The floor of pilots: one job that runs the C program around posix_spawn, in all the slots."""

import shlex

from benchmarks.engines import Engine, Job, floor_spawn

PILOT_CORES = 2


def pilots(slots: int) -> int:
    """How many pilots of two cores give so many slots."""
    return -(-slots // PILOT_CORES)


def _prepare(job: Job) -> list[str]:
    command = shlex.join(floor_spawn.ENGINES[0].prepare(job))
    ask = ["--wait", "--quiet", "-c", str(job.slots), "-o", f"{job.workdir}/job.out"]
    return ["sbatch", *ask, "--wrap", command]


ENGINES = (Engine(name="floor-job", title="floor, one job in C", duties="logs", prepare=_prepare),)
