"""What a user writes with dask-jobqueue alone: a cluster of jobs, delayed around subprocess."""

from benchmarks.engines import Engine, arguments, as_module
from benchmarks.engines.plain_dask import PINNED, compute
from benchmarks.engines.slurm_floor import PILOT_CORES, pilots

REQUIREMENTS = (*PINNED, "dask-jobqueue==0.9.0")


def main() -> None:
    """Build the graph, compute it on as many jobs as give the slots."""
    from dask_jobqueue import SLURMCluster  # noqa: PLC0415 - only this engine's environment has it
    from distributed import Client  # noqa: PLC0415

    variant, job = arguments()
    cluster = SLURMCluster(
        cores=PILOT_CORES,
        processes=1,
        memory="1GB",
        interface="lo",
        walltime="01:00:00",
        log_directory=f"{job['workdir']}/jobs",
        local_directory=job["workdir"],
        scheduler_options={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
    )
    cluster.scale(jobs=pilots(job["slots"]))
    with cluster, Client(cluster):
        compute(variant, job)


ENGINES = (
    Engine(
        name="dask-jobqueue",
        title="dask-jobqueue, delayed + subprocess",
        duties="",
        requirements=REQUIREMENTS,
        prepare=lambda job: as_module(job, "slurm_dask", "run"),
        shows=("dask-jobqueue", "distributed"),
    ),
    Engine(
        name="dask-jobqueue-checked",
        title="dask-jobqueue with log files and checks",
        duties="logs, rusage, checks",
        requirements=REQUIREMENTS,
        prepare=lambda job: as_module(job, "slurm_dask", "checked"),
        shows=("dask-jobqueue", "distributed"),
    ),
)

if __name__ == "__main__":
    main()
