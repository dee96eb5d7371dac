"""Where time went: the stages of every attempt, from the moment its task was ready.

Read from the journal. Times of different hosts are compared as they are, so clocks that differ make
a stage look longer, or empty; it is never negative.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from euclid_dask.core.events import (
    RunEvent,
    RunStarted,
    TaskErred,
    TasksOrdered,
    TaskSucceeded,
)
from euclid_dask.core.ids import TaskId
from euclid_dask.planner.run import Run
from euclid_dask.runner.journal import read_journal


class Stage(StrEnum):
    """What happens to an attempt, one after the other."""

    QUEUE = "queue"
    """The task is ready, and no pilot has room for it."""
    MATCH = "match"
    """The runner decides where it goes."""
    BEHIND = "behind"
    """It waits for the attempts before it in its bundle."""
    CARRY = "carry"
    """It is on its way to the pilot: journal, Dask, a free thread."""
    LAUNCH = "launch"
    """The pilot looks at its inputs, makes its folders and starts the executable."""
    RUN = "run"
    """The executable runs."""
    CHECK = "check"
    """The pilot looks at its outputs."""
    REGISTER = "register"
    """Its receipt is written and carried to the runner."""


ENGINE: Final = frozenset({Stage.MATCH, Stage.CARRY, Stage.LAUNCH, Stage.CHECK, Stage.REGISTER})
"""The stages that are work of ours; in the others an executable runs, or others have the room."""


@dataclass(frozen=True, slots=True)
class AttemptStages:
    """The seconds that an attempt spent in each stage."""

    task: TaskId
    attempt: int
    executable: str
    seconds: dict[Stage, float]


@dataclass(slots=True)
class StageTotals:
    """The attempts of one executable: the seconds of all of them in each stage."""

    executable: str
    count: int = 0
    seconds: dict[Stage, float] = field(default_factory=lambda: dict.fromkeys(Stage, 0.0))

    @property
    def engine_s(self) -> float:
        """Seconds of work of ours."""
        return sum(self.seconds[stage] for stage in ENGINE)

    @property
    def engine_share(self) -> float:
        """Work of ours as a share of it and the time in which executables ran."""
        both = self.engine_s + self.seconds[Stage.RUN]
        return self.engine_s / both if both else 0.0

    def mean_s(self, stage: Stage) -> float:
        """Return the mean time of an attempt in a stage."""
        return self.seconds[stage] / self.count if self.count else 0.0


_Key = tuple[TaskId, int]


@dataclass(slots=True)
class _Order:
    """An attempt that was ordered; `behind` is the one before it in its bundle."""

    ready_s: float
    event: TasksOrdered
    behind: _Key | None


def stages_of(run: Run) -> list[AttemptStages]:
    """Return the stages of all attempts of a run that left a receipt.

    Raises:
        JournalError: Its journal cannot be read.
    """
    return list(stages_told_by(read_journal(Path(run.place.records).parent / "journal.jsonl")))


def totals(attempts: Iterable[AttemptStages]) -> list[StageTotals]:
    """Return the totals of each executable, that with the most time first."""
    found: dict[str, StageTotals] = {}
    for attempt in attempts:
        total = found.setdefault(attempt.executable, StageTotals(attempt.executable))
        total.count += 1
        for stage, seconds in attempt.seconds.items():
            total.seconds[stage] += seconds
    return sorted(found.values(), key=lambda total: -sum(total.seconds.values()))


def together(parts: Sequence[StageTotals]) -> StageTotals:
    """Return the totals of all executables."""
    whole = StageTotals("all")
    for part in parts:
        whole.count += part.count
        for stage, seconds in part.seconds.items():
            whole.seconds[stage] += seconds
    return whole


def stages_told_by(events: Iterable[RunEvent]) -> Iterator[AttemptStages]:
    """Yield the stages of attempts that events tell of, as they end."""
    events = iter(events)
    first = next(events, None)
    if not isinstance(first, RunStarted):
        return
    run = Run(first)
    ready = dict.fromkeys(_newly_ready(run), first.at_s)
    orders: dict[_Key, _Order] = {}
    ended_s: dict[_Key, float] = {}
    for event in events:
        run.apply(event)
        noted_s = event.at_s
        match event:
            case TasksOrdered(tasks=keys):
                for key, behind in zip(keys, (None, *keys), strict=False):
                    orders[key] = _Order(ready.get(key[0], event.at_s), event, behind)
            case TaskSucceeded() | TaskErred():
                key = event.task, event.attempt
                noted_s = event.noted_s or event.at_s
                ended_s[key] = event.at_s
                if (order := orders.pop(key, None)) is not None:
                    before_s = ended_s.get(order.behind, 0.0) if order.behind else 0.0
                    executable = run.tasks[event.task].node.executable
                    yield AttemptStages(*key, executable, _stages(order, before_s, event))
            case _:
                pass
        ready |= dict.fromkeys(_newly_ready(run), noted_s)


def _newly_ready(run: Run) -> list[TaskId]:
    """Return the tasks that became ready since this was last asked."""
    found = [task.id for task in run.board.newly_ready]
    run.board.newly_ready.clear()
    return found


def _stages(order: _Order, before_s: float, event: TaskSucceeded | TaskErred) -> dict[Stage, float]:
    profile = event.profile
    arrived_s = event.at_s - profile.check_s - profile.wall_s - profile.launch_s
    ordered_s = order.event.at_s
    waited_s = max(0.0, ordered_s - order.ready_s)
    match_s = min(order.event.match_s, waited_s)
    return {
        Stage.QUEUE: waited_s - match_s,
        Stage.MATCH: match_s,
        Stage.BEHIND: max(0.0, before_s - ordered_s),
        Stage.CARRY: max(0.0, arrived_s - max(ordered_s, before_s)),
        Stage.LAUNCH: profile.launch_s,
        Stage.RUN: profile.wall_s,
        Stage.CHECK: profile.check_s,
        Stage.REGISTER: max(0.0, event.noted_s - event.at_s) if event.noted_s else 0.0,
    }
