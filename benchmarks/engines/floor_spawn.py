"""The floor: a C program that starts each task when its predecessors are done, and nothing else."""

from benchmarks.engines import Engine, Job


def _prepare(job: Job, *, logs: bool) -> list[str]:
    line_of = {task.id: i for i, task in enumerate(job.workload.tasks)}
    lines = (
        " ".join(
            [task.id, f"{task.duration_s:f}", str(len(task.after))]
            + [str(line_of[before]) for before in task.after]
        )
        for task in job.workload.tasks
    )
    path = job.workdir / "tasks.txt"
    path.write_text("\n".join(lines) + "\n")
    command = [job.spawner, path, job.slots, job.tick, job.workdir / "out"]
    return [str(word) for word in (*command, job.workdir / "logs")[: 6 if logs else 5]]


ENGINES = (
    Engine(
        name="floor-spawn",
        title="floor, in C",
        duties="logs",
        prepare=lambda job: _prepare(job, logs=True),
    ),
    Engine(
        name="floor-bare",
        title="floor in C, no log files",
        duties="",
        prepare=lambda job: _prepare(job, logs=False),
    ),
)
