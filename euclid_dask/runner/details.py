"""One task in full: its command, files, attempts and logs, read from the run and its records."""

from collections.abc import Iterator
from pathlib import Path

from euclid_dask.core.attempts import Profile
from euclid_dask.core.ids import RunId
from euclid_dask.core.values import Value, replace
from euclid_dask.planner.nodes import Given, Joined, Made, Resolved, Task
from euclid_dask.planner.orders import order
from euclid_dask.planner.run import Run
from euclid_dask.runner.views import command_of, tail
from euclid_dask.worker.attempt import log_paths
from euclid_dask.worker.environment import environment_of
from euclid_dask.worker.procfs import markers
from euclid_dask.worker.records import read_receipt, read_started


class FileView(Value, frozen=True, kw_only=True, omit_defaults=False):
    """An input or output: its path relative to the workdir, its size in bytes if it is there.

    `is_text` says that an input is no file but a text; `made_by` is the task or split it is from.
    `is_gone` says that a temporary output was removed, as nothing needed it any more.
    """

    port: str
    path: str
    size: int | None = None
    made_by: str = ""
    is_text: bool = False
    is_gone: bool = False


class AttemptView(Value, frozen=True, kw_only=True, omit_defaults=False):
    """An attempt of which there is a record. `outcome` is done, failed, or "no receipt"."""

    number: int
    outcome: str
    host: str = ""
    started_s: float = 0.0
    ended_s: float = 0.0
    wall_s: float = 0.0
    reason: str = ""
    profile: Profile = Profile()
    warnings: tuple[str, ...] = ()


class TaskView(Value, frozen=True, kw_only=True, omit_defaults=False):
    """A task in full. `environment` is what is added to the caller's; `logs` maps paths to ends."""

    task: str
    state: str
    blocked_by: str
    executable: str
    where: str
    needs: str
    command: str
    environment: dict[str, str]
    inputs: tuple[FileView, ...]
    outputs: tuple[FileView, ...]
    attempts: tuple[AttemptView, ...]
    logs: dict[str, str]


def view_of(run: Run, task: Task) -> TaskView:
    """Return a task in full."""
    return TaskView(
        task=task.id,
        state=str(task.state),
        blocked_by=task.blocked_by,
        executable=task.node.executable,
        where=task.spec.where,
        needs=_needs(task),
        command=command_of(run, task),
        environment=added_environment(run, task),
        inputs=tuple(_inputs(run, task)),
        outputs=tuple(_output(run, task, port.name) for port in task.spec.outputs),
        attempts=tuple(_attempts(run, task)),
        logs=dict(_logs(run, task)),
    )


def added_environment(run: Run, task: Task) -> dict[str, str]:
    """Return the variables that an attempt of `task` gets besides those of the caller."""
    markers_ = markers(RunId(run.id), task.id, max(1, task.attempt))
    return {**environment_of(run.place, task.needs.cores, {}), **markers_}


def _needs(task: Task) -> str:
    needs = task.needs
    cores = f"{needs.cores:g} core{'' if needs.cores == 1 else 's'}"
    return (
        f"{cores}, {needs.ram_bytes / 1e9:g} GB of RAM, {needs.walltime_s / 3600:g} h of walltime"
    )


def _inputs(run: Run, task: Task) -> Iterator[FileView]:
    for port, value in task.arguments():
        yield _input(run, port, value)


def _input(run: Run, port: str, value: Resolved) -> FileView:
    match value:
        case None:
            return FileView(port=port, path="", is_text=True)
        case Given(file=file, is_file=is_file):
            found = _file(run, port, file.path)
            return found if is_file else FileView(port=port, path=file.path, is_text=True)
        case Made(task=maker, port=out):
            return _file(run, port, maker.output_path(out), maker.id)
        case Joined(split=split):
            return _file(run, port, split.list_path, split.id)


def _output(run: Run, task: Task, port: str) -> FileView:
    found = _file(run, port, task.output_path(port))
    is_gone = found.size is None and any(file.path == found.path for file in task.removed)
    return replace(found, is_gone=is_gone)


def _file(run: Run, port: str, path: str, made_by: str = "") -> FileView:
    file = Path(run.place.workdir) / path
    size = file.stat().st_size if file.is_file() else None
    return FileView(port=port, path=path, size=size, made_by=made_by)


def _attempts(run: Run, task: Task) -> Iterator[AttemptView]:
    for number in range(1, task.attempt + 1):
        receipt = read_receipt(run.place.records, task.id, number)
        started = read_started(run.place.records, task.id, number)
        if receipt is not None:
            failure = receipt.failure
            yield AttemptView(
                number=number,
                outcome="done" if failure is None else f"failed ({failure.kind})",
                host=receipt.host,
                started_s=receipt.started_s,
                ended_s=receipt.ended_s,
                wall_s=receipt.profile.wall_s,
                reason="" if failure is None else failure.message,
                profile=receipt.profile,
                warnings=receipt.warnings,
            )
        elif started is not None:
            is_running = number == task.attempt and str(task.state) in {"ordered", "running"}
            yield AttemptView(
                number=number,
                outcome="running" if is_running else "lost: it left no receipt",
                host=started.host,
                started_s=started.at_s,
            )


def _logs(run: Run, task: Task) -> Iterator[tuple[str, str]]:
    if not task.attempt:
        return
    for path in log_paths(order(task, task.attempt), run.place):
        text = tail(Path(run.place.workdir) / path)
        if text:
            yield path, text
