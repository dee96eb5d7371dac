"""Parsl with its thread executor: bash apps in one process."""

from collections.abc import Callable
from typing import Any

from benchmarks.engines import Engine, arguments, as_module
from benchmarks.mark import done

PINNED = ("parsl==2026.10.26",)


def run_apps(config: Any, job: dict[str, Any]) -> None:
    """Start Parsl, submit every task with its predecessors' futures as inputs, wait for all."""
    import parsl  # noqa: PLC0415 - only this engine's environment has it

    with parsl.load(config):
        app: Callable[..., Any] = parsl.bash_app(shell)
        futures: dict[str, Any] = {}
        for task in job["tasks"]:
            out, err = task["logs"]
            before = [futures[name] for name in task["after"]]
            futures[task["id"]] = app(" ".join(task["argv"]), inputs=before, stdout=out, stderr=err)
        for future in futures.values():
            future.result()
        done()


def shell(command: str, inputs: object = (), stdout: str = "", stderr: str = "") -> str:  # noqa: ARG001
    """Parsl runs the line that a bash app returns; it reads the other arguments itself."""
    return command


def main() -> None:
    """Run the job on threads."""
    from parsl import Config  # noqa: PLC0415
    from parsl.executors import ThreadPoolExecutor  # noqa: PLC0415

    _, job = arguments()
    executor = ThreadPoolExecutor(max_threads=job["slots"])
    run_apps(Config(executors=[executor], run_dir=f"{job['workdir']}/runinfo"), job)


ENGINES = (
    Engine(
        name="parsl-threads",
        title="Parsl, threads",
        duties="logs",
        requirements=PINNED,
        prepare=lambda job: as_module(job, "parsl_threads", "threads"),
        shows=("parsl",),
    ),
)

if __name__ == "__main__":
    main()
