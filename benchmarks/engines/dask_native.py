"""Dask alone on the graph that our engine lowers: what late binding and the journal cost.

The same script, command lines, checks and receipts, but Dask decides when and where tasks run. A
split over a list that a task makes cannot be lowered, so there is no scatter.
"""

import os
from pathlib import Path

from benchmarks.engines import ALL_KINDS, Engine, Job, arguments, as_module
from benchmarks.engines.ours import OURS, inputs, write_script
from benchmarks.mark import done


def main() -> None:
    """Lower the pipeline, compute it on a local cluster."""
    from distributed import Client, LocalCluster  # noqa: PLC0415 - only that environment has it

    from euclid_dask.api import to_dask  # noqa: PLC0415

    ports, job = arguments()
    given = dict(port.split("=") for port in ports.split(","))
    workers = min(job["slots"], os.cpu_count() or 1)
    workdir = Path(job["workdir"])
    lowered = to_dask(workdir / "pipeline.py", workdir=workdir, **given)
    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=max(1, job["slots"] // workers),
        dashboard_address=None,
        local_directory=job["workdir"],
    )
    with cluster, Client(cluster):
        lowered.all.compute()
        done()


def _prepare(job: Job) -> list[str]:
    write_script(job)
    ports = ",".join(f"{port}={file}" for port, file in inputs(job).items())
    return as_module(job, "dask_native", ports)


ENGINES = (
    Engine(
        name="ours-dask-native",
        title="Dask on euclid_dask's graph",
        duties="logs, rusage, checks, receipts",
        requirements=OURS,
        prepare=_prepare,
        kinds=ALL_KINDS - {"scatter"},
        shows=("dask", "distributed"),
    ),
)

if __name__ == "__main__":
    main()
