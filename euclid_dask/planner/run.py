"""A run: the fold of the events of its journal, and nothing else.

Rule 1: `apply` is the only method that changes a run. Live and replayed events go the same way.
Rule 2: what follows from an event (what is ready, blocked, to be read or joined) is worked out
here, in time proportional to what the event touches.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import assert_never

from sortedcontainers import SortedList

from euclid_dask.core.attempts import Failure, FailureKind
from euclid_dask.core.errors import InternalError
from euclid_dask.core.events import (
    CancelRequested,
    InputFile,
    ListJoined,
    OutputsMissed,
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
from euclid_dask.core.ids import PilotId, SplitId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.states import (
    RUN_ENDED,
    TASK_ACTIVE,
    TASK_DEAD,
    TASK_FINISHED,
    RunCue,
    RunState,
    SplitCue,
    SplitState,
    TaskCue,
    TaskState,
    advance_run,
    advance_split,
    advance_task,
)
from euclid_dask.planner.fleet import Usage
from euclid_dask.planner.identity import item_identity
from euclid_dask.planner.nodes import (
    Branch,
    Consumer,
    Facts,
    Given,
    Joined,
    Made,
    Scope,
    Split,
    Task,
    exported_nodes,
)
from euclid_dask.planner.plant import Selection, plant
from euclid_dask.planner.policies import policy_named


@dataclass(slots=True)
class Bundle:
    """Attempts that share a place on a pilot until the last of them ends."""

    pilot: PilotId
    needs: Resources
    remaining: set[TaskId]


@dataclass(slots=True)
class Duration:
    """Wall seconds of the attempts of one executable so far: how many, and their mean."""

    count: int = 0
    mean_s: float = 0.0

    def add(self, wall_s: float) -> None:
        """Take one more attempt into account."""
        self.count += 1
        self.mean_s += (wall_s - self.mean_s) / self.count


@dataclass(slots=True)
class Counts:
    """How many tasks are in each state, and how many splits are not at their end."""

    tasks: Counter[TaskState] = field(default_factory=Counter)
    open_splits: int = 0


class Run:
    """The state of one run. Made from `RunStarted`, changed by `apply`."""

    def __init__(self, started: RunStarted) -> None:
        self.id = started.run
        self.flow = started.flow
        self.options = started.options
        self.place = started.place
        self.software = started.software
        self.started_s = started.at_s
        self.ended_s: float | None = None
        self.last_s = started.at_s
        self.state = RunState.ACTIVE
        self.cancel_now = False
        self.cancel_reason = ""
        self.facts = Facts(
            executables=started.flow.executables,
            inputs=started.inputs,
            given=started.options.given,
        )
        self.counts = Counts()
        self.ready: dict[Resources, SortedList] = {}
        self.reading: dict[SplitId, Split] = {}
        self.joining: dict[SplitId, Split] = {}
        self.usage: dict[PilotId, Usage] = {}
        self.bundles: dict[int, Bundle] = {}
        self.durations: dict[str, Duration] = {}
        self.newly_ready: list[Task] = []
        self.failed: dict[TaskId, Task] = {}
        self.warnings: list[str] = []
        self.reused = 0
        self._ready_count = 0
        self._bundle_count = 0
        self._rank = policy_named(started.options.policy)(started.flow)
        self._selection = Selection.of(started.flow, started.options)
        root = Scope(self.facts, self.flow.body, exported_nodes(self.flow.body))
        self.root = root
        self._plant(root)

    # ---- what others ask

    @property
    def tasks(self) -> dict[str, Task]:
        """All tasks planted so far, by id."""
        return self.facts.tasks

    @property
    def splits(self) -> dict[str, Split]:
        """All splits planted so far, by id."""
        return self.facts.splits

    @property
    def active(self) -> list[Task]:
        """Tasks that hold a place on a pilot."""
        return [self.tasks[task] for b in self.bundles.values() for task in b.remaining]

    def outputs(self) -> dict[str, str]:
        """Return the outputs of the pipeline that exist: name and path relative to the workdir."""
        found: dict[str, str] = {}
        for out in self.flow.body.outputs:
            match self.root.resolve(out.source):
                case Given(file=file, is_file=True):
                    found[out.name] = file.path
                case Made(task=task, port=port) if task.is_finished:
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

    def apply(self, event: RunEvent) -> None:  # noqa: C901, PLR0912  one arm an event
        """Change by what happened.

        Raises:
            InternalError: The event cannot follow what happened before.
        """
        self.last_s = event.at_s
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
            case TaskReused():
                self._reuse(event)
            case SplitExpanded():
                self._expand(event)
            case SplitFailed(split=split_id, reason=reason):
                self._fail_split(self.splits[split_id], reason)
            case ListJoined(split=split_id):
                split = self.splits[split_id]
                self._move_split(split, SplitCue.JOIN)
                self._finished(split)
            case OutputsMissed(task=task_id):
                self._unmake(self.tasks[task_id])
            case TaskUnplaceable(task=task_id, reason=reason):
                task = self.tasks[task_id]
                task.failure = Failure(kind=FailureKind.UNPLACEABLE, message=reason)
                self._fail(task)
            case CancelRequested(reason=reason, now=now):
                if self.state not in RUN_ENDED:
                    self.state = advance_run(self.state, RunCue.CANCEL)
                    self.cancel_now = self.cancel_now or now
                    self.cancel_reason = reason
            case RunResumed():
                self._resume(event)
            case RunEnded():
                self._end(event)
            case RunStarted():
                raise InternalError(f"a second start in the journal of {self.id}")
            case _:
                assert_never(event)

    # ---- attempts

    def _order(self, event: TasksOrdered) -> None:
        number, self._bundle_count = self._bundle_count, self._bundle_count + 1
        needs = _largest([self.tasks[task_id].spec.needs for task_id, _ in event.tasks])
        bundle = Bundle(event.pilot, needs, {task_id for task_id, _ in event.tasks})
        self.bundles[number] = bundle
        self.usage.setdefault(event.pilot, Usage()).add(needs)
        for task_id, attempt in event.tasks:
            task = self.tasks[task_id]
            if task.state is TaskState.READY:
                self._unready(task)
            self._move(task, TaskCue.ORDER)
            task.attempt, task.pilot, task.bundle = attempt, event.pilot, number

    def _start(self, event: TaskStarted) -> None:
        task = self._current(event.task, event.attempt)
        if task is not None and task.state is TaskState.ORDERED:
            self._move(task, TaskCue.START)
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
        self.durations.setdefault(task.node.executable, Duration()).add(event.profile.wall_s)
        self._move(task, TaskCue.SUCCEED)
        self._finished(task)

    def _err(self, event: TaskErred) -> None:
        task = self._current(event.task, event.attempt)
        if task is None:
            return
        self._leave_bundle(task)
        task.failure, task.profile = event.failure, event.profile
        task.started_s, task.ended_s = event.started_s or task.started_s, event.at_s
        if event.failure.kind is FailureKind.CANCELLED:
            self._move(task, TaskCue.CANCEL)
            return
        task.science_failures += 1
        self._try_again(task, left=task.science_failures <= self.options.science_retries)

    def _lose(self, event: TaskLost) -> None:
        task = self._current(event.task, event.attempt)
        if task is None:
            return
        self._leave_bundle(task)
        task.losses += 1
        task.ended_s = event.at_s
        task.failure = Failure(kind=FailureKind.LOST, message=event.reason)
        self._try_again(task, left=task.losses <= self.options.lost_retries)

    def _try_again(self, task: Task, *, left: bool) -> None:
        if left:
            self._move(task, TaskCue.RETRY)
            self._make_ready(task)
        else:
            self._fail(task)

    def _return(self, event: TaskReturned) -> None:
        task = self._current(event.task, event.attempt)
        if task is None:
            return
        self._leave_bundle(task)
        self._move(task, TaskCue.RETURN)
        self._reconsider(task)

    def _reuse(self, event: TaskReused) -> None:
        task = self.tasks[event.task]
        self._unready(task)
        self._move(task, TaskCue.REUSE)
        task.outputs, task.identity = event.outputs, event.identity
        task.ended_s = event.at_s
        self.reused += 1
        self._finished(task)

    def _current(self, task_id: TaskId, attempt: int) -> Task | None:
        """Return the task if `attempt` is its current, active one; late news is dropped."""
        task = self.tasks[task_id]
        return task if task.attempt == attempt and task.state in TASK_ACTIVE else None

    def _leave_bundle(self, task: Task) -> None:
        bundle = self.bundles[task.bundle]
        bundle.remaining.discard(task.id)
        if not bundle.remaining:
            del self.bundles[task.bundle]
            self.usage[bundle.pilot].add(bundle.needs, -1)
        task.bundle = -1

    # ---- states

    def _move(self, task: Task, cue: TaskCue) -> None:
        after = advance_task(task.state, cue)
        self.counts.tasks[task.state] -= 1
        self.counts.tasks[after] += 1
        task.state = after

    def _move_split(self, split: Split, cue: SplitCue) -> None:
        ended = (SplitState.DONE, SplitState.BLOCKED)
        after = advance_split(split.state, cue)
        self.counts.open_splits += (after not in ended) - (split.state not in ended)
        self.reading.pop(split.id, None)
        self.joining.pop(split.id, None)
        if after is SplitState.READING:
            self.reading[split.id] = split
        elif after is SplitState.JOINING:
            self.joining[split.id] = split
        split.state = after

    def _make_ready(self, task: Task) -> None:
        task.ready_key = self._rank(task, self._ready_count)
        self._ready_count += 1
        shape = self.ready.get(task.spec.needs)
        if shape is None:
            shape = self.ready[task.spec.needs] = SortedList()
        shape.add((task.ready_key, task.id))
        self.newly_ready.append(task)

    def _unready(self, task: Task) -> None:
        self.ready[task.spec.needs].remove((task.ready_key, task.id))

    def _reconsider(self, task: Task) -> None:
        """Settle a waiting task by the state of its producers."""
        dead = next((p for p in task.producers() if p.is_dead), None)
        if dead is not None:
            self._block(task, dead)
            self._died(task)
        elif task.missing == 0:
            self._move(task, TaskCue.INPUTS)
            self._make_ready(task)

    def _block(self, task: Task, cause: Task | Split) -> None:
        self._move(task, TaskCue.BLOCK)
        task.blocked_by = getattr(cause, "blocked_by", "") or cause.id

    def _fail(self, task: Task) -> None:
        if task.state is TaskState.READY:
            self._unready(task)
        self._move(task, TaskCue.FAIL)
        self.failed[task.id] = task
        self._died(task)

    def _fail_split(self, split: Split, reason: str) -> None:
        split.failure = reason
        self._move_split(split, SplitCue.BLOCK)
        self._died(split)

    # ---- consequences

    def _finished(self, maker: Task | Split) -> None:
        """Tell the consumers of `maker` that its outputs exist."""
        for consumer in maker.consumers:
            consumer.missing -= 1
            if consumer.missing == 0:
                self._inputs_there(consumer)

    def _inputs_there(self, consumer: Consumer) -> None:
        match consumer:
            case Task(state=TaskState.WAITING):
                self._move(consumer, TaskCue.INPUTS)
                self._make_ready(consumer)
            case Split(state=SplitState.WAITING):
                self._move_split(consumer, SplitCue.INPUTS)
                if consumer.expanded:
                    self._reopen(consumer)
            case Branch(failed=False):
                consumer.split.pending -= 1
                if self._judge(consumer.split):
                    self._died(consumer.split)
            case _:
                pass

    def _died(self, maker: Task | Split) -> None:
        """Tell all that depends on `maker` that its outputs will not exist."""
        work: list[Task | Split] = [maker]
        while work:
            cause = work.pop()
            for consumer in cause.consumers:
                match consumer:
                    case Task(state=TaskState.WAITING):
                        self._block(consumer, cause)
                        work.append(consumer)
                    case Split(state=SplitState.WAITING):
                        self._move_split(consumer, SplitCue.BLOCK)
                        work.append(consumer)
                    case Branch(failed=False):
                        consumer.failed = True
                        consumer.split.failed += 1
                        consumer.split.pending -= 1
                        if self._judge(consumer.split):
                            work.append(consumer.split)
                    case _:
                        pass

    def _judge(self, split: Split) -> bool:
        """Join or fail `split` if its branches decide it; return whether it failed."""
        if split.state is not SplitState.OPEN:
            return False
        count, node = len(split.branches), split.node
        if split.failed and node.on_error == "fail":
            self._move_split(split, SplitCue.BLOCK)
            return True
        if split.pending:
            return False
        if split.failed > node.max_failed_fraction * count:
            split.failure = (
                f"{split.failed} of {count} branches failed; "
                f"max_failed_fraction is {node.max_failed_fraction:g}"
            )
            self._move_split(split, SplitCue.BLOCK)
            return True
        self._move_split(split, SplitCue.BRANCHES)
        if split.partial:
            self._move_split(split, SplitCue.JOIN)
        return False

    def _unmake(self, task: Task) -> None:
        """Take back that the outputs of `task` exist, and have it run again."""
        work: list[Task | Split] = [task]
        while work:
            for consumer in work.pop().consumers:
                consumer.missing += 1
                match consumer:
                    case Task(state=TaskState.READY):
                        self._unready(consumer)
                        self._move(consumer, TaskCue.UNMAKE)
                    case Split(state=SplitState.READING):
                        self._move_split(consumer, SplitCue.UNMAKE)
                    case Branch(failed=False, missing=1):
                        split = consumer.split
                        split.pending += 1
                        if split.state is SplitState.DONE:
                            work.append(split)
                        if split.state in {SplitState.DONE, SplitState.JOINING}:
                            self._move_split(split, SplitCue.UNMAKE)
                    case _:
                        pass
        self._move(task, TaskCue.UNMAKE)
        task.no_reuse = True
        self._reconsider(task)

    # ---- splits

    def _plant(self, scope: Scope) -> None:
        tasks, splits = plant(scope, self._selection)
        self.counts.open_splits += len(splits)
        for task in tasks:
            self.counts.tasks[task.state] += 1
        for split in splits:
            if split.missing == 0:
                self._inputs_there(split)
            elif any(p.is_dead for p in split.producers()):
                self._move_split(split, SplitCue.BLOCK)
                self._died(split)
        for task in tasks:
            if task.state is TaskState.WAITING and (task.missing == 0 or self._any_dead()):
                self._reconsider(task)

    def _any_dead(self) -> bool:
        counts = self.counts.tasks
        return any(counts[state] for state in TASK_DEAD)

    def _expand(self, event: SplitExpanded) -> None:
        split = self.splits[event.split]
        split.expanded = True
        node, parent = split.node, split.scope
        exported = exported_nodes(node.body) if node.name in parent.exported else frozenset()
        template = f"{parent.template}{node.name}.iterations.*."
        for index, item in enumerate(event.items):
            identity = item.identity or item_identity(
                split, index, item.path, self.options.versions
            )
            scope = Scope(
                self.facts,
                node.body,
                exported,
                prefix=f"{split.id}.iterations.{index + 1}.",
                template=template,
                parent=parent,
                arguments=node.arguments,
                split=split,
                index=index + 1,
                item=InputFile(path=item.path, identity=identity),
            )
            self._plant(scope)
            split.branches.append(Branch(split, scope))
        for branch in split.branches:
            for maker in branch.producers():
                maker.consumers.append(branch)
        self._reopen(split)

    def _reopen(self, split: Split) -> None:
        """Count the branches of `split` afresh and open it."""
        split.identity = ""
        split.pending = split.failed = 0
        for branch in split.branches:
            makers = branch.producers()
            branch.missing = sum(not maker.is_finished for maker in makers)
            branch.failed = any(maker.is_dead for maker in makers)
            split.failed += branch.failed
            split.pending += branch.missing > 0 and not branch.failed
        self._move_split(split, SplitCue.EXPAND)
        if self._judge(split):
            self._died(split)

    # ---- the end, and a new beginning

    def _end(self, event: RunEnded) -> None:
        cues = {
            RunState.DONE: RunCue.FINISH,
            RunState.FAILED: RunCue.FAIL,
            RunState.CANCELLED: RunCue.STOP,
        }
        self.state = advance_run(self.state, cues[event.state])
        self.ended_s = event.at_s
        if self.state is RunState.CANCELLED:
            for task in self.tasks.values():
                if task.state in {TaskState.WAITING, TaskState.READY}:
                    self._move(task, TaskCue.CANCEL)
            self.ready.clear()

    def _resume(self, event: RunResumed) -> None:
        self.state = advance_run(self.state, RunCue.REVIVE)
        self.cancel_now, self.cancel_reason, self.ended_s = False, "", None
        self.failed.clear()
        revived = [task for task in self.tasks.values() if task.state in TASK_DEAD]
        for task in revived:
            self._move(task, TaskCue.REVIVE)
            task.science_failures = task.losses = 0
            task.failure, task.blocked_by = None, ""
        splits = [split for split in self.splits.values() if split.state is SplitState.BLOCKED]
        for split in splits:
            split.failure = ""
            self._move_split(split, SplitCue.REVIVE)
        blocked = {split.id for split in splits}
        nodes: list[Task | Split] = [*revived, *splits]
        for node in nodes:
            node.missing = sum(not maker.is_finished for maker in node.producers())
        for task in revived:
            self._reconsider(task)
        for split in self.splits.values():
            if split.state is SplitState.WAITING and split.missing == 0:
                self._inputs_there(split)
            elif split.state is SplitState.OPEN and split.id not in blocked:
                self._recount(split)
        for task_id in event.again:
            if self.tasks[task_id].state in TASK_FINISHED:
                self._unmake(self.tasks[task_id])

    def _recount(self, split: Split) -> None:
        """Count the branches of an open split afresh: failed ones were revived."""
        split.pending = split.failed = 0
        for branch in split.branches:
            branch.failed = False
            branch.missing = sum(not maker.is_finished for maker in branch.producers())
            split.pending += branch.missing > 0
        self._judge(split)


def _largest(needs: list[Resources]) -> Resources:
    if len(needs) == 1:
        return needs[0]
    return Resources(
        cores=max(n.cores for n in needs),
        ram_bytes=max(n.ram_bytes for n in needs),
        walltime_s=sum(n.walltime_s for n in needs),
        disk_bytes=max(n.disk_bytes for n in needs),
    )
