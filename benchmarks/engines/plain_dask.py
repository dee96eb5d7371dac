"""What a user writes with Dask alone: dask.delayed around subprocess.

`run` starts the command; `checked` also keeps logs, takes the resource usage and checks the output,
which is the least that a pipeline user needs.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.engines import Engine, arguments, as_module
from benchmarks.mark import done

PINNED = ("dask==2026.8.0", "distributed==2026.8.0")


def run(argv: list[str], *_before: object) -> None:
    """Run the command."""
    subprocess.run(argv, check=True)


def checked(task: dict[str, Any], *_before: object) -> float:
    """Run the command with log files, see that it made its output, and return its CPU seconds."""
    out, err = task["logs"]
    with Path(out).open("wb") as stdout, Path(err).open("wb") as stderr:
        process = subprocess.Popen(task["argv"], stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or not Path(task["output"]).stat().st_size:
        raise RuntimeError(f"{task['id']} failed")
    return usage.ru_utime + usage.ru_stime


def compute(variant: str, job: dict[str, Any]) -> None:
    """Build the graph and compute it with the client that there is."""
    import dask  # noqa: PLC0415 - only this engine's environment has it

    call = dask.delayed(run if variant == "run" else checked, pure=False)
    results: dict[str, Any] = {}
    for task in job["tasks"]:
        what = task["argv"] if variant == "run" else task
        results[task["id"]] = call(what, *(results[before] for before in task["after"]))
    dask.compute(*results.values())
    done()


def main() -> None:
    """Run the job on a local cluster."""
    from distributed import Client, LocalCluster  # noqa: PLC0415 - as above

    variant, job = arguments()
    workers = min(job["slots"], os.cpu_count() or 1)
    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=max(1, job["slots"] // workers),
        dashboard_address=None,
        local_directory=job["workdir"],
    )
    with cluster, Client(cluster):
        compute(variant, job)


ENGINES = (
    Engine(
        name="plain-dask",
        title="Dask, delayed + subprocess",
        duties="",
        requirements=PINNED,
        prepare=lambda job: as_module(job, "plain_dask", "run"),
        shows=("dask", "distributed"),
    ),
    Engine(
        name="plain-dask-checked",
        title="Dask with log files and checks",
        duties="logs, rusage, checks",
        requirements=PINNED,
        prepare=lambda job: as_module(job, "plain_dask", "checked"),
        shows=("dask", "distributed"),
    ),
)

if __name__ == "__main__":
    main()
