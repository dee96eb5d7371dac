"""HyperQueue: server and worker as its Python package embeds them; `hq` itself is not on PyPI."""

from typing import Any

from benchmarks.engines import Engine, arguments, as_module
from benchmarks.mark import done

PINNED = ("hyperqueue==0.27.0",)


def run_graph(client: Any, job: dict[str, Any]) -> None:
    """Submit one graph of all tasks, and wait for it."""
    from hyperqueue import Job  # noqa: PLC0415 - only this engine's environment has it

    graph = Job(default_workdir=job["workdir"])
    tasks: dict[str, Any] = {}
    for task in job["tasks"]:
        out, err = task["logs"]
        before = [tasks[name] for name in task["after"]]
        tasks[task["id"]] = graph.program(task["argv"], stdout=out, stderr=err, deps=before)
    client.wait_for_jobs([client.submit(graph)])
    done()


def main() -> None:
    """Start a local cluster, submit one graph of all tasks, wait for it."""
    from hyperqueue import LocalCluster  # noqa: PLC0415 - only this engine's environment has it
    from hyperqueue.cluster import WorkerConfig  # noqa: PLC0415

    _, job = arguments()
    with LocalCluster(server_dir=f"{job['workdir']}/hq") as cluster:
        cluster.start_worker(WorkerConfig(cores=job["slots"]))
        run_graph(cluster.client(), job)


ENGINES = (
    Engine(
        name="hyperqueue",
        title="HyperQueue",
        duties="logs",
        requirements=PINNED,
        prepare=lambda job: as_module(job, "hyperqueue", "local"),
        shows=("hyperqueue",),
    ),
)

if __name__ == "__main__":
    main()
