"""Parsl with its high-throughput executor: an interchange and a pool of worker processes."""

import os

from benchmarks.engines import Engine, arguments, as_module
from benchmarks.engines.parsl_threads import PINNED, run_apps


def main() -> None:
    """Run the job on one local block."""
    from parsl import Config  # noqa: PLC0415 - only this engine's environment has it
    from parsl.executors import HighThroughputExecutor  # noqa: PLC0415
    from parsl.providers import LocalProvider  # noqa: PLC0415

    _, job = arguments()
    executor = HighThroughputExecutor(
        label="htex",
        address="127.0.0.1",
        max_workers_per_node=job["slots"],
        cores_per_worker=min(1.0, (os.cpu_count() or 1) / job["slots"]),  # else no more than cores
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    )
    run_apps(Config(executors=[executor], run_dir=f"{job['workdir']}/runinfo"), job)


ENGINES = (
    Engine(
        name="parsl-htex",
        title="Parsl, HTEX",
        duties="logs",
        requirements=PINNED,
        prepare=lambda job: as_module(job, "parsl_htex", "htex"),
        shows=("parsl",),
    ),
)

if __name__ == "__main__":
    main()
