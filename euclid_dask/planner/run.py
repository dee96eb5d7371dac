"""A run: the fold of the events of its journal, and nothing else.

Rule 1: `apply` is the only method that changes a run. Live and replayed events go the same way.
Rule 2: what follows from a change of state is worked out on the `board`.
"""

from dataclasses import dataclass
from math import inf
from typing import Final, assert_never

from euclid_dask.core.attempts import Failure, FailureKind
from euclid_dask.core.errors import InternalError
from euclid_dask.core.events import (
    CancelRequested,
    ListJoined,
    OutputsMissed,
    OutputsRemoved,
    RunEnded,
    RunEvent,
    RunResumed,
    RunStarted,
    SplitExpanded,
    SplitFailed,
    TaskErred,
    TaskLost,
    TaskReturned,
    TaskReused,
    TasksOrdered,
    TaskStarted,
    TaskSucceeded,
    TaskUnplaceable,
)
from euclid_dask.core.ids import PilotId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.states import (
    RUN_ENDED,
    TASK_ACTIVE,
    RunCue,
    RunState,
    SplitCue,
    SplitState,
    TaskCue,
    TaskState,
    advance_run,
)
from euclid_dask.planner.board import Board
from euclid_dask.planner.estimates import NO_SAMPLES, Duration, Estimate, estimate
from euclid_dask.planner.nodes import Given, Joined, Made, Split, Task
from euclid_dask.planner.ready import Shape
from euclid_dask.planner.rooms import Usage

RETURNS_LIMIT: Final = 100
"""How often in a row a task may come back un-started; that costs none of its retries."""

EXPIRIES_LIMIT: Final = 5
"""How often a task may be lost to the walltime of its pilot; that costs none of its retries."""


@dataclass(slots=True)
class Bundle:
    """Attempts that share a place on a pilot until the last of them ends.

    `expected_s` is when that will probably be, inf if nothing is known.
    """

    pilot: PilotId
    needs: Resources
    remaining: set[TaskId]
    expected_s: float = inf


class Run:
    """The state of one run. Made from `RunStarted`, changed by `apply`.

    `missed` says which output of a task was needed and not as it was made.
    """

    def __init__(self, started: RunStarted) -> None:
        self.id = started.run
        self.flow = started.flow
        self.options = started.options
        self.place = started.place
        self.software = started.software
        self.started_s = started.at_s
        self.last_s = started.at_s
        self.paused_s = 0.0
        self.ended_s: float | None = None
        self.state = RunState.ACTIVE
        self.cancel_now = False
        self.cancel_reason = ""
        self.usage: dict[PilotId, Usage] = {}
        self.touched: set[PilotId] = set()
        self.bundles: dict[int, Bundle] = {}
        self.on_pilot: dict[PilotId, set[int]] = {}
        self.durations: dict[str, Duration] = {}
        self.missed: dict[TaskId, str] = {}
        self.board = Board(started)
        self._bundle_count = 0

    # ---- what others ask

    @property
    def tasks(self) -> dict[str, Task]:
        """All tasks planted so far, by id, in the order of planting."""
        return self.board.facts.tasks

    @property
    def splits(self) -> dict[str, Split]:
        """All splits planted so far, by id."""
        return self.board.facts.splits

    @property
    def failed(self) -> dict[TaskId, Task]:
        """The tasks that failed, by id."""
        return self.board.failed

    @property
    def active(self) -> list[Task]:
        """Tasks that hold a place on a pilot."""
        return [self.tasks[task] for b in self.bundles.values() for task in b.remaining]

    def estimate(self, shape: Shape) -> Estimate | None:
        """Return how long a task of `shape` will probably take; None if nothing is known."""
        if shape.careful:
            return Estimate(shape.needs.walltime_s, shape.needs.walltime_s, 0)
        duration = self.durations.get(self.duration_key(shape.executable), NO_SAMPLES)
        return estimate(duration, shape.needs.walltime_s)

    def duration_key(self, executable: str) -> str:
        """Return by what the durations of an executable are known: its name and version."""
        version = self.options.versions.get(executable)
        return f"{executable} {version}" if version else executable

    def share(self, durations: dict[str, Duration]) -> None:
        """Learn durations together with others: from now on in `durations`."""
        for key, own in self.durations.items():
            known = durations.setdefault(key, own)
            if known is not own:
                known.merge(own)
        self.durations = durations

    def count(self, state: TaskState) -> int:
        """Return how many tasks are in `state`."""
        return self.board.counts.tasks[state]

    def outputs(self) -> dict[str, str]:
        """Return the outputs of the pipeline that exist: name and path relative to the workdir."""
        found: dict[str, str] = {}
        for out in self.flow.body.outputs:
            match self.board.root.resolve(out.source):
                case Given(file=file, is_file=True):
                    found[out.name] = file.path
                case Made(task=task, port=port) if task.is_made:
                    found[out.name] = task.output_path(port)
                case Joined(split=split) if split.is_finished and not split.partial:
                    found[out.name] = split.list_path
                case _:
                    pass
        return found

    def has_failed(self) -> bool:
        """Tell whether something failed that no `on_error` puts up with."""
        return any(not task.tolerated for task in self.failed.values()) or any(
            split.state is SplitState.BLOCKED and not split.tolerated and split.failure
            for split in self.splits.values()
        )

    # ---- the fold

    def apply(self, event: RunEvent) -> None:
        """Change by what happened.

        Raises:
            InternalError: The event cannot follow what happened before.
        """
        self.board.now_s = event.at_s
        match event:
            case TasksOrdered():
                self._order(event)
            case TaskStarted():
                self._start(event)
            case TaskSucceeded():
                self._succeed(event)
            case TaskErred():
                self._err(event)
            case TaskLost():
                self._lose(event)
            case TaskReturned():
                self._return(event)
            case _:
                self._apply_rare(event)
        self.last_s = event.at_s

    def _apply_rare(
        self,
        event: TaskReused
        | OutputsMissed
        | OutputsRemoved
        | TaskUnplaceable
        | SplitExpanded
        | SplitFailed
        | ListJoined
        | RunStarted
        | RunResumed
        | CancelRequested
        | RunEnded,
    ) -> None:
        board = self.board
        match event:
            case TaskReused():
                self._reuse(event)
            case OutputsMissed() | OutputsRemoved():
                self._part_with(event)
            case TaskUnplaceable(task=task_id, reason=reason):
                task = self.tasks[task_id]
                task.failure = Failure(kind=FailureKind.UNPLACEABLE, message=reason)
                board.fail(task)
            case SplitExpanded(split=split_id, items=items):
                board.expand(self.splits[split_id], items)
            case SplitFailed(split=split_id, reason=reason):
                board.fail_split(self.splits[split_id], reason)
            case ListJoined(split=split_id):
                board.move_split(self.splits[split_id], SplitCue.JOIN)
                board.finished(self.splits[split_id])
            case _:
                self._apply_to_run(event)

    def _apply_to_run(self, event: RunStarted | RunResumed | CancelRequested | RunEnded) -> None:
        match event:
            case CancelRequested(reason=reason, now=now):
                if self.state not in RUN_ENDED:
                    self.state = advance_run(self.state, RunCue.CANCEL)
                    self.cancel_now = self.cancel_now or now
                    self.cancel_reason = reason
            case RunResumed(again=again, at_s=at_s):
                self.paused_s += max(0.0, at_s - self.last_s)
                self.state = advance_run(self.state, RunCue.REVIVE)
                self.cancel_now, self.cancel_reason, self.ended_s = False, "", None
                self.board.revive(again)
            case RunEnded():
                self._end(event)
            case RunStarted():
                raise InternalError(f"a second start in the journal of {self.id}")
            case _:
                assert_never(event)

    def _order(self, event: TasksOrdered) -> None:
        number, self._bundle_count = self._bundle_count, self._bundle_count + 1
        needs = _largest([self.tasks[task_id].needs for task_id, _ in event.tasks])
        expected_s = event.at_s
        for task_id, _ in event.tasks:
            task = self.tasks[task_id]
            found = self.estimate(task.shape)
            expected_s += found.q90_s if found else inf
        self.bundles[number] = Bundle(event.pilot, needs, {t for t, _ in event.tasks}, expected_s)
        self.on_pilot.setdefault(event.pilot, set()).add(number)
        self.touched.add(event.pilot)
        self.usage.setdefault(event.pilot, Usage()).add(needs)
        for task_id, attempt in event.tasks:
            task = self.tasks[task_id]
            if task.state is TaskState.READY:
                self.board.unready(task)
            self.board.move(task, TaskCue.ORDER)
            task.attempt, task.pilot, task.bundle = attempt, event.pilot, number
            task.removed = ()

    def _start(self, event: TaskStarted) -> None:
        task = self._current(event.task, event.attempt)
        if task is not None and task.state is TaskState.ORDERED:
            self.board.move(task, TaskCue.START)
            task.started_s = event.at_s

    def _succeed(self, event: TaskSucceeded) -> None:
        task = self._current(event.task, event.attempt)
        if task is None:
            return
        self._leave_bundle(task)
        task.outputs, task.profile, task.failure = event.outputs, event.profile, None
        task.started_s, task.ended_s = event.started_s or task.started_s, event.at_s
        task.identity = event.identity or task.identity
        task.warnings = event.warnings
        key = self.duration_key(task.node.executable)
        self.durations.setdefault(key, Duration()).add(event.profile.wall_s)
        self.board.move(task, TaskCue.SUCCEED)
        self.board.finished(task)

    def _err(self, event: TaskErred) -> None:
        task = self._current(event.task, event.attempt)
        if task is None:
            return
        self._leave_bundle(task)
        task.failure, task.profile = event.failure, event.profile
        task.started_s, task.ended_s = event.started_s or task.started_s, event.at_s
        if event.failure.kind is FailureKind.CANCELLED:
            self._stop(task)
            return
        self._avoid(task, event.host)
        if event.host or event.excused:
            task.losses += 1
            self._try_again(task, left=task.losses <= self.options.lost_retries)
            return
        if event.larger is not None:
            task.enlargements += 1
            task.careful = task.careful or event.larger.walltime_s > task.needs.walltime_s
            task.asked = event.larger
            self._try_again(task, left=True)
            return
        task.science_failures += 1
        left = task.science_failures <= self.options.science_retries and not event.final
        self._try_again(task, left=left)

    def _stop(self, task: Task) -> None:
        """Cancel a task; if nobody asked for that, it was killed from outside: a loss."""
        if self.state is RunState.CANCELLING:
            self.board.move(task, TaskCue.CANCEL)
        else:
            task.losses += 1
            self._try_again(task, left=task.losses <= self.options.lost_retries)

    def _lose(self, event: TaskLost) -> None:
        task = self._current(event.task, event.attempt)
        if task is None:
            return
        self._leave_bundle(task)
        self._avoid(task, event.host)
        if event.expired and task.expiries < EXPIRIES_LIMIT:
            task.expiries += 1
            task.careful = task.needs.walltime_s > 0
        else:
            task.losses += 1
        task.ended_s = event.at_s
        task.failure = Failure(kind=FailureKind.LOST, message=event.reason)
        self._try_again(task, left=task.losses <= self.options.lost_retries)

    def _avoid(self, task: Task, host: str) -> None:
        """Have the next attempt of a task avoid a host."""
        if host and host not in task.avoids:
            task.avoids = (*task.avoids, host)

    def _try_again(self, task: Task, *, left: bool) -> None:
        task.returns = 0
        if left and task.missing:  # an input is being made anew
            self.board.move(task, TaskCue.RETURN)
            self.board.reconsider(task)
        elif left:
            self.board.move(task, TaskCue.RETRY)
            self.board.make_ready(task)
        else:
            self.board.fail(task)

    def _return(self, event: TaskReturned) -> None:
        task = self._current(event.task, event.attempt)
        if task is None:
            return
        self._leave_bundle(task)
        task.returns += bool(event.reason)
        if task.returns > RETURNS_LIMIT:
            reason = f"task '{task.id}' could not be started {task.returns} times: {event.reason}"
            task.failure = Failure(kind=FailureKind.LOST, message=reason)
            self.board.fail(task)
            return
        self.board.move(task, TaskCue.RETURN)
        self.board.reconsider(task)

    def _part_with(self, event: OutputsMissed | OutputsRemoved) -> None:
        task = self.tasks[event.task]
        if isinstance(event, OutputsRemoved):
            task.removed += event.files
            return
        self.missed[task.id] = event.reason
        if task.state is TaskState.OMITTED:
            task.failure = Failure(kind=FailureKind.OMITTED, message=event.reason)
            self.board.fail_omitted(task)
        elif task.is_finished:
            self.board.unmake(task)

    def _reuse(self, event: TaskReused) -> None:
        task = self.tasks[event.task]
        self.board.unready(task)
        self.board.move(task, TaskCue.REUSE)
        task.outputs, task.identity = event.outputs, event.identity
        task.ended_s = event.at_s
        self.board.finished(task)

    def _current(self, task_id: TaskId, attempt: int) -> Task | None:
        """Return the task if `attempt` is its current, active one; late news is dropped."""
        task = self.tasks[task_id]
        return task if task.attempt == attempt and task.state in TASK_ACTIVE else None

    def _leave_bundle(self, task: Task) -> None:
        bundle = self.bundles[task.bundle]
        bundle.remaining.discard(task.id)
        if not bundle.remaining:
            del self.bundles[task.bundle]
            self.on_pilot[bundle.pilot].discard(task.bundle)
            self.touched.add(bundle.pilot)
            self.usage[bundle.pilot].add(bundle.needs, -1)
        task.bundle = -1

    def _end(self, event: RunEnded) -> None:
        cues = {
            RunState.DONE: RunCue.FINISH,
            RunState.FAILED: RunCue.FAIL,
            RunState.CANCELLED: RunCue.STOP,
        }
        self.state = advance_run(self.state, cues[event.state])
        self.ended_s = event.at_s
        if self.state is RunState.CANCELLED:
            self.board.cancel()


def _largest(needs: list[Resources]) -> Resources:
    if len(needs) == 1:
        return needs[0]
    return Resources(
        cores=max(n.cores for n in needs),
        ram_bytes=max(n.ram_bytes for n in needs),
        walltime_s=sum(n.walltime_s for n in needs),
        disk_bytes=max(n.disk_bytes for n in needs),
    )
