"""HyperQueue in a job of its own: server and worker there, the client here.

Its automatic allocation starts `hq worker` in jobs, and that program is not in its Python package;
so the allocation is made by hand, one for all slots, which leaves out what its own would decide.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.engines import Engine, arguments, as_module
from benchmarks.engines.hyperqueue import PINNED, run_graph


def main() -> None:
    """Have a job serve a cluster, submit one graph of all tasks, wait for it."""
    variant, job = arguments()
    folder = Path(job["workdir"]) / "hq"
    if variant == "serve":
        serve(folder, job["slots"])
        return
    from hyperqueue import Client  # noqa: PLC0415 - only this engine's environment has it

    serving = [sys.executable, "-m", __spec__.name, "serve", sys.argv[2]]
    ask = ["-c", str(job["slots"]), "-t", "60", "-o", f"{job['workdir']}/job.out"]
    submitted = subprocess.run(
        ["sbatch", "--parsable", *ask, "--wrap", " ".join(serving)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    while not (folder / "ready").exists():
        time.sleep(0.01)
    run_graph(Client(folder), job)
    subprocess.run(["scancel", submitted.stdout.strip()], check=True)


def serve(folder: Path, slots: int) -> None:
    """Be a server and a worker, until the job is cancelled: then its shell, our parent, ends."""
    from hyperqueue import LocalCluster  # noqa: PLC0415
    from hyperqueue.cluster import WorkerConfig  # noqa: PLC0415

    with LocalCluster(server_dir=str(folder)) as cluster:
        cluster.start_worker(WorkerConfig(cores=slots))
        (folder / "ready").touch()
        shell = os.getppid()
        while os.getppid() == shell:
            time.sleep(0.1)


ENGINES = (
    Engine(
        name="hyperqueue",
        title="HyperQueue, one job made by hand",
        duties="logs",
        requirements=PINNED,
        prepare=lambda job: as_module(job, "slurm_hyperqueue", "submit"),
        shows=("hyperqueue",),
    ),
)

if __name__ == "__main__":
    main()
