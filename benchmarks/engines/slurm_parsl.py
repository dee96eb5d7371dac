"""Parsl with its high-throughput executor on blocks of its Slurm provider."""

from benchmarks.engines import Engine, arguments, as_module
from benchmarks.engines.parsl_threads import PINNED, run_apps
from benchmarks.engines.slurm_floor import PILOT_CORES, pilots


def main() -> None:
    """Run the job on as many blocks as give the slots."""
    from parsl import Config  # noqa: PLC0415 - only this engine's environment has it
    from parsl.executors import HighThroughputExecutor  # noqa: PLC0415
    from parsl.launchers import SimpleLauncher  # noqa: PLC0415
    from parsl.providers import SlurmProvider  # noqa: PLC0415

    _, job = arguments()
    blocks = pilots(job["slots"])
    provider = SlurmProvider(
        cores_per_node=PILOT_CORES,
        mem_per_node=1,
        exclusive=False,
        walltime="01:00:00",
        init_blocks=blocks,
        min_blocks=blocks,
        max_blocks=blocks,
        launcher=SimpleLauncher(),
    )
    executor = HighThroughputExecutor(
        label="htex",
        address="127.0.0.1",
        max_workers_per_node=PILOT_CORES,
        cores_per_worker=1.0,
        provider=provider,
    )
    run_apps(Config(executors=[executor], run_dir=f"{job['workdir']}/runinfo"), job)


ENGINES = (
    Engine(
        name="parsl-slurm",
        title="Parsl, HTEX on its Slurm provider",
        duties="logs",
        requirements=PINNED,
        prepare=lambda job: as_module(job, "slurm_parsl", "htex"),
        shows=("parsl",),
    ),
)

if __name__ == "__main__":
    main()
