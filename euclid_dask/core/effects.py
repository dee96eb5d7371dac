"""What is to be done: the planner's answers, in the imperative. Nothing here is written down."""

from euclid_dask.core.ids import PilotId, RunId, SplitId, TaskId
from euclid_dask.core.states import RunState
from euclid_dask.core.values import Value


class StartBundle(Value, frozen=True, kw_only=True):
    """Have a pilot run these attempts, one after the other."""

    run: RunId
    pilot: PilotId
    tasks: tuple[tuple[TaskId, int], ...]


class CancelAttempt(Value, frozen=True, kw_only=True):
    """End an attempt: its whole process tree. `only_waiting`: unless it has been started."""

    run: RunId
    task: TaskId
    attempt: int
    only_waiting: bool = False


class ReuseTask(Value, frozen=True, kw_only=True):
    """Skip a task whose work is known to be done (`identity` says which)."""

    run: RunId
    task: TaskId
    identity: str


class RefuseTask(Value, frozen=True, kw_only=True):
    """Fail a task that fits no pilot."""

    run: RunId
    task: TaskId
    reason: str


class ReadList(Value, frozen=True, kw_only=True):
    """Read the list that a split goes over. `path` is relative to the workdir."""

    run: RunId
    split: SplitId
    path: str


class WriteList(Value, frozen=True, kw_only=True):
    """Write the joined list of a split: one entry a branch, None for a failed one."""

    run: RunId
    split: SplitId
    path: str
    entries: tuple[str | tuple[str | None, ...] | None, ...]


class RemoveOutputs(Value, frozen=True, kw_only=True):
    """Remove the outputs of a task at these ports, which nothing needs any more."""

    run: RunId
    task: TaskId
    ports: tuple[str, ...]


class EndRun(Value, frozen=True, kw_only=True):
    """Close a run in this state."""

    run: RunId
    state: RunState


Effect = (
    StartBundle
    | CancelAttempt
    | ReuseTask
    | RefuseTask
    | ReadList
    | WriteList
    | RemoveOutputs
    | EndRun
)


class RequestPilot(Value, frozen=True, kw_only=True):
    """Ask for a pilot of this template."""

    template: str


class RetirePilot(Value, frozen=True, kw_only=True):
    """Have a pilot end: at once if it has not joined, else when nothing runs there any more."""

    pilot: PilotId
    reason: str


PilotEffect = RequestPilot | RetirePilot
"""What is to be done about pilots; it belongs to no run."""
