"""The board: where every task and split of a run stands, and what follows from a change.

Rule 1: only `planner.run.Run` calls the methods that change the board. Rule 2: a change costs
time proportional to what it touches, never to the size of the run.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from euclid_dask.core.attempts import FailureKind
from euclid_dask.core.events import InputFile, RunStarted
from euclid_dask.core.ids import SplitId, TaskId
from euclid_dask.core.states import (
    TASK_DEAD,
    SplitCue,
    SplitState,
    TaskCue,
    TaskState,
    advance_split,
    advance_task,
)
from euclid_dask.core.values import replace
from euclid_dask.planner.identity import item_identities
from euclid_dask.planner.nodes import (
    Branch,
    Consumer,
    Facts,
    Scope,
    Split,
    Task,
    exported_nodes,
)
from euclid_dask.planner.plant import Selection, plant
from euclid_dask.planner.policies import policy_named
from euclid_dask.planner.ready import ReadyQueue, Shape


@dataclass(slots=True)
class Counts:
    """How many tasks are in each state, and how many splits are not at their end."""

    tasks: Counter[TaskState] = field(default_factory=Counter)
    open_splits: int = 0


class Board:
    """The tasks and splits of one run.

    `ready` holds, for each shape, the keys and ids of ready tasks in the order of the policy;
    `made_ready` counts how often one became ready; `now_s` is the time of the last event.
    `reading` and `joining` are splits whose list is to be read or written. `newly_ready` are tasks
    that became ready since it was last cleared.
    """

    def __init__(self, started: RunStarted) -> None:
        self.facts = Facts(
            run=started.run,
            executables=started.flow.executables,
            inputs=started.inputs,
            given=started.options.given,
        )
        self.versions = started.options.versions
        self.counts = Counts()
        self.now_s = started.at_s
        self.ready: dict[Shape, ReadyQueue] = {}
        self.reading: dict[SplitId, Split] = {}
        self.joining: dict[SplitId, Split] = {}
        self.failed: dict[TaskId, Task] = {}
        self.newly_ready: list[Task] = []
        self.made_ready = 0
        self._rank = policy_named(started.options.policy)(started.flow)
        self.selection = Selection.of(started.flow, started.options)
        body = started.flow.body
        self.root = Scope(self.facts, body, exported_nodes(body))
        self._plant(self.root)

    # ---- states

    def move(self, task: Task, cue: TaskCue) -> None:
        """Change the state of a task."""
        after = advance_task(task.state, cue)
        self.counts.tasks[task.state] -= 1
        self.counts.tasks[after] += 1
        task.state = after

    def move_split(self, split: Split, cue: SplitCue) -> None:
        """Change the state of a split."""
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

    def make_ready(self, task: Task) -> None:
        """Queue a task that is in state READY."""
        task.ready_key = self._rank(task, self.made_ready)
        self.made_ready += 1
        shape = task.shape
        queue = self.ready.get(shape)
        if queue is None:
            queue = self.ready[shape] = ReadyQueue()
        queue.add(task.ready_key, task.id, self.now_s)
        self.newly_ready.append(task)

    def unready(self, task: Task) -> None:
        """Take a task out of the queue."""
        self.ready[task.shape].remove(task.ready_key, task.id)

    def reconsider(self, task: Task) -> None:
        """Settle a waiting task by the state of its producers."""
        dead = next((p for p in task.producers() if p.is_dead), None)
        if dead is not None:
            self._block(task, dead)
            self._died(task)
        elif task.missing == 0:
            self.move(task, TaskCue.INPUTS)
            self.make_ready(task)

    def _block(self, task: Task, cause: Task | Split) -> None:
        self.move(task, TaskCue.BLOCK)
        task.blocked_by = getattr(cause, "blocked_by", "") or cause.id

    def fail(self, task: Task) -> None:
        """Fail a task for good, with all that depends on it."""
        if task.state is TaskState.READY:
            self.unready(task)
        self.move(task, TaskCue.FAIL)
        self.failed[task.id] = task
        self._died(task)

    def fail_split(self, split: Split, reason: str) -> None:
        """Fail a split for good, with all that depends on it."""
        split.failure = reason
        self.move_split(split, SplitCue.BLOCK)
        self._died(split)

    def cancel(self) -> None:
        """Cancel all tasks that have not been started."""
        for task in self.facts.tasks.values():
            if task.state in {TaskState.WAITING, TaskState.READY}:
                self.move(task, TaskCue.CANCEL)
        self.ready.clear()

    # ---- consequences

    def finished(self, maker: Task | Split) -> None:
        """Tell the consumers of `maker` that its outputs exist."""
        for consumer in maker.consumers:
            consumer.missing -= 1
            if consumer.missing == 0:
                self._inputs_there(consumer)

    def _inputs_there(self, consumer: Consumer) -> None:
        match consumer:
            case Task(state=TaskState.WAITING):
                self.move(consumer, TaskCue.INPUTS)
                self.make_ready(consumer)
            case Split(state=SplitState.WAITING):
                self.move_split(consumer, SplitCue.INPUTS)
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
                        self.move_split(consumer, SplitCue.BLOCK)
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
            self.move_split(split, SplitCue.BLOCK)
            return True
        if split.pending:
            return False
        if split.failed > node.max_failed_fraction * count:
            split.failure = (
                f"{split.failed} of {count} branches failed; "
                f"max_failed_fraction is {node.max_failed_fraction:g}"
            )
            self.move_split(split, SplitCue.BLOCK)
            return True
        self.move_split(split, SplitCue.BRANCHES)
        if split.partial:
            self.move_split(split, SplitCue.JOIN)
            self.finished(split)
        return False

    def unmake(self, task: Task) -> None:
        """Take back that the outputs of `task` exist, and have it run again."""
        self._take_back(task)
        self.move(task, TaskCue.UNMAKE)
        task.no_reuse = True
        self.reconsider(task)

    def fail_omitted(self, task: Task) -> None:
        """Take back that the outputs of a task that was left out exist: they never will."""
        self._take_back(task)
        self.fail(task)

    def _take_back(self, task: Task) -> None:
        """Tell all that depends on `task` that its outputs do not exist any more."""
        work: list[Task | Split] = [task]
        while work:
            for consumer in work.pop().consumers:
                consumer.missing += 1
                match consumer:
                    case Task(state=TaskState.READY):
                        self.unready(consumer)
                        self.move(consumer, TaskCue.UNMAKE)
                    case Split(state=SplitState.READING):
                        self.move_split(consumer, SplitCue.UNMAKE)
                    case Branch(failed=False, missing=1):
                        split = consumer.split
                        split.pending += 1
                        if split.state is SplitState.DONE:
                            work.append(split)
                        if split.state in {SplitState.DONE, SplitState.JOINING}:
                            self.move_split(split, SplitCue.UNMAKE)
                    case _:
                        pass

    # ---- splits

    def _plant(self, scope: Scope) -> None:
        tasks, splits = plant(scope, self.selection)
        self.counts.open_splits += len(splits)
        for task in tasks:
            self.counts.tasks[task.state] += 1
        for split in splits:
            if split.missing == 0:
                self._inputs_there(split)
            elif any(p.is_dead for p in split.producers()):
                self.move_split(split, SplitCue.BLOCK)
                self._died(split)
        for task in tasks:
            if task.state is TaskState.WAITING and (task.missing == 0 or self._any_dead()):
                self.reconsider(task)

    def _any_dead(self) -> bool:
        counts = self.counts.tasks
        return any(counts[state] for state in TASK_DEAD)

    def expand(self, split: Split, items: Sequence[InputFile]) -> None:
        """Plant a branch of `split` for each item."""
        split.expanded = True
        node, parent = split.node, split.scope
        exported = exported_nodes(node.body) if node.name in parent.exported else frozenset()
        template = f"{parent.template}{node.name}.iterations.*."
        inside = item_identities(split, [item.path for item in items], self.versions)
        for index, (item, made_here) in enumerate(zip(items, inside, strict=True)):
            identity = item.identity or made_here
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
                item=replace(item, identity=identity),
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
        self.move_split(split, SplitCue.EXPAND)
        if self._judge(split):
            self._died(split)

    # ---- a new beginning

    def settled_failures(self) -> int:
        """Return how many failed tasks `revive` leaves as they are."""
        return sum(_is_settled(task.scope) for task in self.failed.values())

    def revive(self, again: Sequence[TaskId]) -> None:
        """Give failed, blocked and cancelled tasks another chance, and finished ones in `again`.

        A branch that a joined list was made without is settled: it stays as it is.
        """
        for task in self.facts.tasks.values():
            task.returns = 0
        self.failed = {task_id: t for task_id, t in self.failed.items() if _is_settled(t.scope)}
        revived = [*self._revive_tasks(), *self._revive_blocked()]
        for node in revived:
            node.missing = sum(not maker.is_finished for maker in node.producers())
        for node in revived:
            if isinstance(node, Task):
                self.reconsider(node)
        self._revive_splits({node.id for node in revived})
        for task_id in again:
            task = self.facts.tasks[task_id]
            if task.is_finished:
                self.unmake(task)

    def _revive_tasks(self) -> list[Task | Split]:
        dead = [
            task
            for task in self.facts.tasks.values()
            if task.is_dead and not _is_settled(task.scope)
        ]
        revived: list[Task | Split] = []
        for task in dead:
            task.science_failures = task.losses = task.enlargements = task.expiries = 0
            task.avoids = ()
            if task.failure is not None and task.failure.kind is FailureKind.UNPLACEABLE:
                task.asked, task.careful = None, False
            task.failure, task.blocked_by = None, ""
            if task.scope.template + task.node.name in self.selection.omitted:
                self.move(task, TaskCue.OMIT)
            else:
                self.move(task, TaskCue.REVIVE)
                revived.append(task)
        return revived

    def _revive_blocked(self) -> list[Task | Split]:
        dead = [
            split
            for split in self.facts.splits.values()
            if split.is_dead and not _is_settled(split.scope)
        ]
        for split in dead:
            self.move_split(split, SplitCue.REVIVE)
            split.failure = ""
        return [*dead]

    def _revive_splits(self, revived: set[str]) -> None:
        for split in self.facts.splits.values():
            if split.state is SplitState.WAITING and split.missing == 0:
                self._inputs_there(split)
            elif split.state is SplitState.OPEN and split.id not in revived:
                self._recount(split)

    def _recount(self, split: Split) -> None:
        """Count the branches of an open split afresh: failed ones were revived."""
        split.pending = split.failed = 0
        for branch in split.branches:
            branch.failed = False
            branch.missing = sum(not maker.is_finished for maker in branch.producers())
            split.pending += branch.missing > 0
        self._judge(split)


def _is_settled(scope: Scope | None) -> bool:
    """Tell whether `scope` is in a failed branch of a split whose list was joined without it."""
    while scope is not None:
        split = scope.split
        if (
            split is not None
            and split.state in {SplitState.JOINING, SplitState.DONE}
            and split.branches[scope.index - 1].failed
        ):
            return True
        scope = scope.parent
    return False
