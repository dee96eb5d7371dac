"""What people and programs are told about a run: values, made from its state and its records."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.states import RunState, TaskState
from euclid_dask.core.values import Value
from euclid_dask.dataflow.names import nearest
from euclid_dask.planner.nodes import Task
from euclid_dask.planner.orders import order
from euclid_dask.planner.run import Run
from euclid_dask.worker.commands import pasteable, render
from euclid_dask.worker.records import read_receipt

TAIL_LINES: Final = 15
_TAIL_BYTES: Final = 8192


class TaskCounts(Value, frozen=True, kw_only=True, omit_defaults=False):
    """How many tasks a run has, and how they ended so far.

    `skipped` ones were done by an earlier run, `omitted` ones were left out on request.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    blocked: int = 0
    skipped: int = 0
    omitted: int = 0


class FailureView(Value, frozen=True, kw_only=True, omit_defaults=False):
    """A failed task or split: why, the command to run it by hand, and its log.

    `log` is relative to the workdir, "" if there is none; `tail` are its last lines.
    """

    task: str
    reason: str
    exit_code: int | None = None
    command: str = ""
    log: str = ""
    kind: str = ""
    blocks: int = 0
    tail: str = ""


class Summary(Value, frozen=True, kw_only=True, omit_defaults=False):
    """A run in one value: what `--json` prints. Paths are relative to the workdir."""

    run: str
    state: str
    tasks: TaskCounts
    outputs: dict[str, str]
    failures: tuple[FailureView, ...]
    wall_s: float
    warnings: tuple[str, ...]


class Progress(Value, frozen=True, kw_only=True):
    """A run at one moment. `eta_s` is a guess of the seconds that are left, None for no idea.

    `total` grows while splits open; tasks that were left out are not in it. `running` are ids.
    """

    state: RunState
    total: int
    done: int
    skipped: int
    failed: int
    blocked: int
    running: tuple[str, ...]
    waiting: int
    elapsed_s: float
    eta_s: float | None


def counts(run: Run) -> TaskCounts:
    """Return how many tasks there are, by how they ended."""
    by_state = run.board.counts.tasks
    return TaskCounts(
        total=len(run.tasks),
        done=by_state[TaskState.DONE],
        failed=by_state[TaskState.FAILED],
        blocked=by_state[TaskState.BLOCKED],
        skipped=by_state[TaskState.SKIPPED],
        omitted=by_state[TaskState.OMITTED],
    )


def summary(run: Run, warnings: tuple[str, ...] = ()) -> Summary:
    """Return a run in one value."""
    told = [f"{task.id}: {text}" for task in run.tasks.values() for text in task.warnings]
    told += [
        f"all {len(split.branches):,} branches of '{split.id}' failed, and its on_error puts up "
        "with that: what follows got a list of nothing"
        for split in run.splits.values()
        if split.is_finished and split.branches and split.failed == len(split.branches)
    ]
    return Summary(
        run=run.id,
        state=str(run.state),
        tasks=counts(run),
        outputs=run.outputs(),
        failures=tuple(failures(run)),
        wall_s=round(worked_s(run, run.ended_s or run.last_s), 3),
        warnings=(*warnings, *told),
    )


def progress(run: Run, now_s: float) -> Progress:
    """Return where a run stands now; its cost does not grow with the number of tasks."""
    tasks = counts(run)
    running = tuple(task.id for task in run.active if task.state is TaskState.RUNNING)
    return Progress(
        state=run.state,
        total=tasks.total - tasks.omitted,
        done=tasks.done,
        skipped=tasks.skipped,
        failed=tasks.failed,
        blocked=tasks.blocked,
        running=running,
        waiting=run.count(TaskState.WAITING) + run.count(TaskState.READY),
        elapsed_s=worked_s(run, now_s),
        eta_s=_eta_s(run, tasks, now_s),
    )


def worked_s(run: Run, until_s: float) -> float:
    """Return for how long runners were at work on a run: without the pauses between them."""
    return until_s - run.started_s - run.paused_s


def failures(run: Run) -> Iterator[FailureView]:
    """Yield the failed tasks and splits, in the order in which they were planted."""
    blocked: dict[str, int] = {}
    for task in run.tasks.values():
        if task.state is TaskState.BLOCKED:
            cause = _first_cause(run, task.blocked_by)
            blocked[cause] = blocked.get(cause, 0) + 1
    for task in sorted(run.failed.values(), key=lambda failed: failed.sequence):
        yield _failure(run, task, blocked.get(task.id, 0))
    for split in run.splits.values():
        if split.failure:
            yield FailureView(
                task=split.id, reason=split.failure, kind="split", blocks=blocked.get(split.id, 0)
            )


def _first_cause(run: Run, blocked_by: str) -> str:
    """Return the failed task behind a split that has no failure of its own, or `blocked_by`."""
    split = run.splits.get(blocked_by)
    if split is None or split.failure:
        return blocked_by
    inside = f"{blocked_by}.iterations."
    return next((task for task in run.failed if task.startswith(inside)), blocked_by)


def _failure(run: Run, task: Task, blocks: int) -> FailureView:
    assert task.failure is not None
    log = log_path(run, task, "stderr") or log_path(run, task, "stdout")
    return FailureView(
        task=task.id,
        reason=task.failure.message,
        exit_code=task.failure.exit_code,
        command=command_of(run, task),
        log=log,
        kind=str(task.failure.kind),
        blocks=blocks,
        tail=tail(Path(run.place.workdir) / log) if log else "",
    )


def find_task(run: Run, name: str) -> Task:
    """Return the task with that id, or the only one whose id ends in `name`.

    Raises:
        InputError: There is none, or there are several.
    """
    name = name.rstrip("/")
    if name in run.tasks:
        return run.tasks[name]
    matches = [task for task in run.tasks.values() if task.id.endswith(f".{name}")]
    if len(matches) == 1:
        return matches[0]
    if matches:
        some = _some((task.id for task in matches), 5)
        raise InputError(
            f"{len(matches)} tasks of {run.id} end in '{name}'", hint=f"give more of it: {some}"
        )
    if inside := [task_id for task_id in run.tasks if task_id.startswith(f"{name}.")]:
        raise InputError(
            f"'{name}' of {run.id} is no task, but a block of tasks",
            hint=f"name one: {_some(inside)}",
        )
    last = {task_id.rpartition(".")[2]: task_id for task_id in reversed(run.tasks)}
    best = nearest(name, [*run.tasks, *last])
    raise InputError(
        f"{run.id} has no task '{name}'",
        hint=f"did you mean '{last.get(best, best)}'?"
        if best
        else f"its tasks: {_some(run.tasks)}",
    )


def _some(names: Iterable[str], most: int = 10) -> str:
    told = list(islice(names, most + 1))
    return ", ".join(told[:most]) + (", ..." if len(told) > most else "")


def command_of(run: Run, task: Task) -> str:
    """Return the command of the latest attempt of `task`, to be pasted into a shell."""
    receipt = read_receipt(run.place.records, task.id, task.attempt)
    if receipt is not None and receipt.command:
        return pasteable(receipt.command, run.place)
    return pasteable(render(order(task, max(1, task.attempt)), run.place), run.place)


def log_path(run: Run, task: Task, stream: str) -> str:
    """Return the log of the latest attempt, relative to the workdir; "" if empty or missing.

    `stream` is "stdout" or "stderr".
    """
    number = "" if task.attempt <= 1 else f".{task.attempt}"
    path = f"{run.place.logdir}/{task.id}/{stream}{number}.log"
    try:
        return path if (Path(run.place.workdir) / path).stat().st_size else ""
    except OSError:
        return ""


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a text file, however large it is."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _eta_s(run: Run, tasks: TaskCounts, now_s: float) -> float | None:
    """Guess by the mean pace of this run's executables, or by its pace in all."""
    left = tasks.total - tasks.omitted - tasks.done - tasks.skipped - tasks.failed - tasks.blocked
    if not tasks.done or not left or run.board.counts.open_splits:
        return None
    return worked_s(run, now_s) / tasks.done * left
