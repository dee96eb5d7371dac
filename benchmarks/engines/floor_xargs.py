"""xargs -P: a bag of tasks as any shell user runs it; it knows no dependencies."""

import shutil

from benchmarks.engines import Engine, Job
from benchmarks.envs import UnavailableError


def _prepare(job: Job) -> list[str]:
    xargs = shutil.which("xargs")
    if xargs is None:
        raise UnavailableError("xargs is not installed")
    path = job.workdir / "lines.txt"
    path.write_text("".join(" ".join(job.argv(task)[1:]) + "\n" for task in job.workload.tasks))
    return [xargs, "-a", str(path), "-P", str(job.slots), "-L", "1", str(job.tick)]


ENGINES = (
    Engine(
        name="floor-xargs",
        title="xargs -P",
        duties="",
        prepare=_prepare,
        kinds=frozenset({"bag"}),
    ),
)
