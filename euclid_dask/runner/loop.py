"""The loop of a runner: take news, write it down, apply it, decide, carry out.

One thread owns all runs. A turn takes everything that is in the inbox, so the cost of a disk
sync is shared by all events of the turn. The more pilots, the farther apart are turns that follow
each other, so that the cost of a turn, and of what it sends, is shared by more. Effects that only
touch lists and records are carried out at once and looked at again; attempts are started and
cancelled after the sync. While the disk is full and pilots do without us, nothing is decided: what
happens is noted until there is space.
"""

import errno
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, assert_never

from euclid_dask.core.attempts import FailureKind
from euclid_dask.core.effects import (
    CancelAttempt,
    Effect,
    EndRun,
    ReadList,
    RefuseTask,
    RemoveOutputs,
    ReuseTask,
    StartBundle,
    WriteList,
)
from euclid_dask.core.errors import StoppedError
from euclid_dask.core.events import (
    CancelRequested,
    OutputsMissed,
    OutputsRemoved,
    PilotEvent,
    PilotJoined,
    PilotLeft,
    RunEnded,
    RunEvent,
    TaskErred,
    TaskLost,
    TasksOrdered,
    TaskSucceeded,
    TaskUnplaceable,
)
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.core.seams import (
    AttemptEnded,
    AttemptsLost,
    AttemptsReturned,
    AttemptStarted,
    BundleOrder,
    Clock,
    Executor,
    ExecutorGone,
    News,
)
from euclid_dask.core.states import RUN_ENDED
from euclid_dask.planner import Fleet, decide, is_due
from euclid_dask.planner.estimates import Duration
from euclid_dask.planner.verdicts import judged
from euclid_dask.runner import lists, missing, reuse
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.believed import note_pilots
from euclid_dask.runner.earlier import write_index
from euclid_dask.runner.inbox import CancelNews, QueueInbox, TakingInbox
from euclid_dask.runner.news import events_of
from euclid_dask.runner.pilots import PilotDesk, refusal
from euclid_dask.runner.recovery import end_processes
from euclid_dask.runner.removal import remove
from euclid_dask.worker.failures import is_full

log = logging.getLogger(__name__)

PATIENCE_S: Final = 0.2
"""The longest wait for news before `on_turn` is called again, in seconds."""

APART_S: Final = 0.0001
"""For each pilot that joined, turns on news are so many seconds apart; of few they take longer."""
_MOST_APART_S: Final = 0.1

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_SPARED: Final = "pilots and their tasks go on; take them over"

Cancels = dict[tuple[RunId, bool], list[tuple[TaskId, int]]]
"""Attempts to cancel, by their run and whether only those that have not been started."""

OnTurn = Callable[["Runner"], None]


class Runner:
    """Carries out runs with one executor.

    Only `inbox.put` may be called from other threads, and `leave` from anywhere.
    """

    def __init__(
        self,
        executor: Executor,
        clock: Clock,
        *,
        inbox: TakingInbox | None = None,
        on_turn: OnTurn | None = None,
        pilots: PilotDesk | None = None,
    ) -> None:
        self.executor = executor
        self.clock = clock
        self.inbox: TakingInbox = inbox if inbox is not None else QueueInbox()
        self.pilots = pilots
        self.fleet = Fleet() if pilots is None else pilots.fleet
        self.runs: dict[RunId, ActiveRun] = {}
        self._on_turn = on_turn
        self._leaving: tuple[str, str] | None = None
        self._turned_s = 0.0
        self._noted = 0
        self._durations: dict[str, Duration] = {}
        self._due: list[tuple[list[BundleOrder], Cancels]] = []
        self._going: list[tuple[ActiveRun, OutputsRemoved]] = []
        self._is_full = False

    def add(self, active: ActiveRun) -> None:
        """Take up a run, just started or recovered."""
        self.runs[active.run.id] = active
        active.run.share(self._durations)

    def leave(self, reason: str, hint: str = _SPARED) -> None:
        """Stop after the next turn; pilots and what runs there are spared, for another runner."""
        self._leaving = reason, hint

    def run_until_ended(self) -> None:
        """Carry all runs to their ends.

        Raises:
            StoppedError: Somebody said `leave`, or a journal cannot be written.
        """
        self.executor.adopt([one for active in self.runs.values() for one in active.adopted])
        self.executor.open(self.inbox)
        try:
            if self.pilots is not None:
                self.pilots.open(self.inbox)
            self.turn([])
            while not self._all_ended() or self._is_full:
                if self._leaving is not None:
                    raise self._left(*self._leaving)
                joined = sum(one.joined_s is not None for one in self.fleet.pilots.values())
                apart_s = min(joined * APART_S, _MOST_APART_S)
                self.turn(self.inbox.take(PATIENCE_S, apart_s))
            for active in self.runs.values():
                write_index(active.workspace.files(active.run.id), active.run)
        finally:
            if self.pilots is not None:
                self.pilots.close(end_pilots=self._all_ended())
            self.executor.close(end_pilots=self._all_ended())

    def _left(self, reason: str, hint: str) -> StoppedError:
        workdirs = " ".join(str(active.workdir) for active in self.runs.values())
        return StoppedError(
            f"the runner was stopped: {reason}", hint=f"{hint}: euclid-dask resume {workdirs}"
        )

    def _all_ended(self) -> bool:
        return all(active.run.state in RUN_ENDED for active in self.runs.values())

    def turn(self, news: Sequence[News | CancelNews]) -> None:
        """Do all that `news` leads to."""
        self._turned_s = self.clock.now_s()
        for item in news:
            self._note(item)
        if not self._is_full or self._sync():
            self._due.append(self._prepare(self._settle()))
            if self.pilots is not None:
                self.pilots.decide([active.run for active in self.runs.values()])
            if self._sync():
                self._carry_out()
        self._note_pilots()
        if self._on_turn is not None:
            self._on_turn(self)

    def _sync(self) -> bool:
        """Return whether all that happened is on disk; a full disk is waited for.

        Raises:
            StoppedError: A journal cannot be written, and pilots do not go on without us.
        """
        if self._is_full and any(is_full(str(one.workdir)) for one in self.runs.values()):
            return False
        try:
            if self.pilots is not None:
                self.pilots.sync()
            for active in self.runs.values():
                active.journal.sync()
        except OSError as error:
            if self.pilots is None or error.errno not in _FULL:
                raise _stopped(self.runs.values(), error) from error
            self._wait_for_space()
            return False
        if self._is_full:
            log.warning("there is space again: the run goes on")
            self._is_full = False
        return True

    def _wait_for_space(self) -> None:
        if not self._is_full:
            self._is_full = True
            log.warning(
                "the disk of the workdir is full: nothing is started until there is space; "
                "tasks on pilots go on, but those that write may fail, and are started again then"
            )

    def _carry_out(self) -> None:
        """Do what was decided, since it is written down."""
        due, self._due = self._due, []
        going, self._going = self._going, []
        if self.pilots is not None:
            self._carry_out_pilots(self.pilots)
        for bundles, cancels in due:
            if bundles:
                self.executor.start(bundles)
            for (run, only_waiting), attempts in cancels.items():
                self.executor.cancel(run, attempts, only_waiting=only_waiting)
        for active, event in going:
            remove(active.workdir, event.files)

    def _note_pilots(self) -> None:
        """Note which pilots there are, where they have no journal."""
        if self.pilots is None and self._noted != self.fleet.changes:
            self._noted = self.fleet.changes
            for active in self.runs.values():
                note_pilots(active.workspace.files(active.run.id), self.fleet)

    def _carry_out_pilots(self, desk: PilotDesk) -> None:
        for draining in desk.carry_out():
            self.executor.retire(draining.pilot, draining.reason)

    def _note(self, item: News | CancelNews) -> None:
        match item:
            case CancelNews(reason=reason) if self._is_full:
                self.leave(f"{reason}, and the disk is full")
            case CancelNews(reason=reason, now=now):
                for active in self.runs.values():
                    if active.run.state not in RUN_ENDED:
                        active.record(
                            CancelRequested(at_s=self.clock.now_s(), reason=reason, now=now)
                        )
            case ExecutorGone(reason=reason, hint=hint):
                self.leave(reason, hint)
            case AttemptStarted() | AttemptEnded() | AttemptsReturned() | AttemptsLost():
                active = self.runs[item.run]
                for event in events_of(active, item, self.clock.now_s()):
                    active.record(judged(event, active.run, self.fleet))
                    self._learn(active, event)
            case _:
                self._note_of_pilot(item)

    def _learn(self, active: ActiveRun, event: RunEvent) -> None:
        if self.pilots is None or not isinstance(event, TaskSucceeded | TaskErred | TaskLost):
            return
        self.pilots.learn(event, active.run.tasks[event.task].pilot)
        is_system = isinstance(event, TaskErred) and event.failure.kind is FailureKind.SYSTEM
        if is_system and is_full(str(active.workdir)):
            self._wait_for_space()

    def _note_of_pilot(self, event: PilotEvent) -> None:
        if isinstance(event, PilotLeft):
            self.executor.lose(event.pilot, event.reason)
        if self.pilots is not None:
            self.pilots.record(event)
        elif isinstance(event, PilotJoined) and (reason := refusal(event)):
            log.warning("pilot %s is given nothing: %s", event.pilot, reason)
        else:
            self.fleet.apply(event)

    def _settle(self) -> list[Effect]:
        """Carry out what needs no pilot until nothing of that is left; return the rest."""
        while True:
            runs = [active.run for active in self.runs.values()]
            known = {run_id: active.known for run_id, active in self.runs.items() if active.known}
            effects = decide(runs, self.fleet, known, self.clock.now_s())
            for run in runs:
                run.board.newly_ready.clear()
            settled = False
            for effect in effects:
                overtaken = not is_due(self.runs[effect.run].run, effect)
                settled = overtaken or self._carry_out_here(effect) or settled
            if not settled:
                due = [one for active in self.runs.values() for one in active.retention.due()]
                return [*due, *effects]

    def _carry_out_here(self, effect: Effect) -> bool:
        """Carry out an effect that needs no pilot; return whether it was one."""
        active, at_s = self.runs[effect.run], self.clock.now_s()
        match effect:
            case ReadList() | WriteList():
                self._carry_out_on_list(active, effect, at_s)
            case ReuseTask():
                active.record(reuse.reuse(active, effect, at_s))
            case RefuseTask(task=task, reason=reason):
                active.record(TaskUnplaceable(at_s=at_s, task=task, reason=reason))
            case StartBundle(tasks=tasks):
                return self._miss(active, missing.before_start(active, [task for task, _ in tasks]))
            case CancelAttempt() | EndRun() | RemoveOutputs():
                return False
            case _:
                assert_never(effect)
        return True

    def _carry_out_on_list(
        self, active: ActiveRun, effect: ReadList | WriteList, at_s: float
    ) -> None:
        split = active.run.splits[effect.split]
        if isinstance(effect, ReadList):
            if not self._miss(active, missing.before_read(active, split)):
                active.record(lists.read(active.run, active.workdir, effect, at_s))
        elif not self._miss(active, missing.before_join(active, split)):
            active.record(lists.write(active.workdir, effect, at_s))

    def _miss(self, active: ActiveRun, missed: missing.Missed) -> bool:
        """Write down what is missed, so that its makers run again; return whether any is."""
        for maker, reason in missed.items():
            active.record(OutputsMissed(at_s=self.clock.now_s(), task=maker, reason=reason))
        return bool(missed)

    def _prepare(self, effects: Sequence[Effect]) -> tuple[list[BundleOrder], Cancels]:
        """Write down what is about to be done; return it in the words of the executor."""
        bundles: list[BundleOrder] = []
        cancels: Cancels = {}
        for effect in effects:
            active, at_s = self.runs[effect.run], self.clock.now_s()
            match effect:
                case StartBundle():
                    bundles.append(active.bundle_order(effect))
                    match_s = round(at_s - self._turned_s, 6)
                    active.record(
                        TasksOrdered(
                            at_s=at_s, pilot=effect.pilot, tasks=effect.tasks, match_s=match_s
                        )
                    )
                case CancelAttempt(task=task, attempt=attempt, only_waiting=only_waiting):
                    if effect not in active.cancelled:
                        active.cancelled.add(effect)
                        key = (effect.run, only_waiting)
                        cancels.setdefault(key, []).append((task, attempt))
                case RemoveOutputs():
                    self._let_go(active, effect, at_s)
                case EndRun(state=state):
                    end_processes(active.run.id, active.traces)
                    active.record(RunEnded(at_s=at_s, state=state))
                case _:
                    pass
        return bundles, cancels

    def _let_go(self, active: ActiveRun, effect: RemoveOutputs, at_s: float) -> None:
        """Write down which files go; who needs one of them again finds that it is gone."""
        for event in active.removal.removed(effect, at_s):
            active.record(event)
            missing.look_again(active, event.task)
            self._going.append((active, event))


def _stopped(runs: Iterable[ActiveRun], error: OSError) -> StoppedError:
    workdirs = " ".join(str(active.workdir) for active in runs)
    return StoppedError(
        f"the run was stopped: cannot write the journal {error.filename}: {error.strerror}",
        hint="free space, then go on with the run: "
        f"euclid-dask resume {workdirs}; finished work is not lost",
    )
