"""A run without a runner: events by hand, decisions looked at."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import pytest

from euclid_dask.core.attempts import Failure, FailureKind, Place, Profile
from euclid_dask.core.effects import Effect, StartBundle
from euclid_dask.core.events import (
    JOURNAL_VERSION,
    InputFile,
    ListJoined,
    PilotJoined,
    RunEnded,
    RunEvent,
    RunOptions,
    RunResumed,
    RunStarted,
    SplitExpanded,
    TaskErred,
    TaskLost,
    TaskReturned,
    TasksOrdered,
    TaskStarted,
    TaskSucceeded,
)
from euclid_dask.core.flow import Body
from euclid_dask.core.ids import PilotId, RunId, SplitId, TaskId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.states import RunState
from euclid_dask.planner import Fleet, Run, decide
from euclid_dask.sim.flows import flow

PLACE = Place(run=RunId("r"), workdir="/w", logdir="logs", records="/w/.records")


@dataclass
class Bench:
    """One run and a fleet; every event is followed by a check of the run's invariants."""

    run: Run
    validate: Callable[[Run], None]
    fleet: Fleet = field(default_factory=Fleet)
    now_s: float = 100.0

    def apply(self, event: RunEvent) -> None:
        self.run.apply(event)
        self.validate(self.run)

    def order(self, *tasks: str, pilot: str = "p") -> None:
        """Give a bundle to a pilot."""
        numbered = tuple((TaskId(t), self.run.tasks[t].attempt + 1) for t in tasks)
        self.apply(TasksOrdered(at_s=self.now_s, pilot=PilotId(pilot), tasks=numbered))

    def start(self, name: str) -> None:
        self.apply(TaskStarted(at_s=self.now_s, task=TaskId(name), attempt=self._attempt(name)))

    def succeed(self, name: str, wall_s: float = 1.0) -> None:
        """Have a task that was ordered, or is ordered now, succeed."""
        self._ensure_ordered(name)
        self.apply(
            TaskSucceeded(
                at_s=self.now_s,
                task=TaskId(name),
                attempt=self._attempt(name),
                profile=Profile(wall_s=wall_s),
            )
        )

    def err(self, name: str, kind: FailureKind = FailureKind.EXIT) -> None:
        self._ensure_ordered(name)
        failure = Failure(kind=kind, message="it failed")
        self.apply(
            TaskErred(
                at_s=self.now_s, task=TaskId(name), attempt=self._attempt(name), failure=failure
            )
        )

    def lose(self, name: str) -> None:
        self._ensure_ordered(name)
        self.apply(
            TaskLost(
                at_s=self.now_s, task=TaskId(name), attempt=self._attempt(name), reason="it died"
            )
        )

    def give_back(self, name: str) -> None:
        attempt = self._attempt(name)
        self.apply(TaskReturned(at_s=self.now_s, task=TaskId(name), attempt=attempt))

    def expand(self, name: str, *items: str) -> None:
        files = tuple(InputFile(path=item) for item in items)
        self.apply(SplitExpanded(at_s=self.now_s, split=SplitId(name), items=files))

    def join(self, name: str) -> None:
        self.apply(ListJoined(at_s=self.now_s, split=SplitId(name)))

    def end(self, state: RunState) -> None:
        self.apply(RunEnded(at_s=self.now_s, state=state))

    def resume(self, *again: str) -> None:
        self.apply(RunResumed(at_s=self.now_s, again=tuple(TaskId(task) for task in again)))

    def state(self, name: str) -> str:
        """Return the state of a task or split."""
        found = self.run.tasks.get(name) or self.run.splits[name]
        return str(found.state)

    def states(self) -> dict[str, str]:
        return {task.id: str(task.state) for task in self.run.tasks.values()}

    def pilot(
        self,
        name: str = "p",
        cores: float = 4,
        ram_bytes: int = 100 * GB,
        slots: int = 8,
        until_s: float | None = None,
    ) -> None:
        """Have a pilot join."""
        self.fleet.apply(
            PilotJoined(
                pilot=PilotId(name),
                offer=Resources(cores=cores, ram_bytes=ram_bytes),
                slots=slots,
                until_s=until_s,
                at_s=self.now_s,
            )
        )

    def decide(self, *known: str) -> list[Effect]:
        """Return what is to be done, if work of these identities is known."""
        return decide([self.run], self.fleet, {self.run.id: frozenset(known)}, self.now_s)

    def bundles(self) -> list[tuple[str, ...]]:
        """Return the tasks of each bundle that starts now."""
        return [
            tuple(task for task, _ in effect.tasks)
            for effect in self.decide()
            if isinstance(effect, StartBundle)
        ]

    def _attempt(self, name: str) -> int:
        return self.run.tasks[name].attempt

    def _ensure_ordered(self, name: str) -> None:
        if self.run.tasks[name].bundle < 0:
            self.order(name)


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(validate: Callable[[Run], None]) -> MakeBench:
    """Return a function that begins a run of a body."""

    def make(
        top: Body,
        *,
        needs: dict[str, Resources] | None = None,
        inputs: dict[str, InputFile] | None = None,
        run: str = "r",
        temporary: Collection[str] = (),
        **options: object,
    ) -> Bench:
        started = RunStarted(
            run=RunId(run),
            flow=flow(top, needs, temporary=temporary),
            inputs=inputs or {},
            place=PLACE,
            options=RunOptions(**options),  # type: ignore[arg-type]
            journal_version=JOURNAL_VERSION,
            at_s=0.0,
        )
        made = Bench(Run(started), validate)
        validate(made.run)
        return made

    return make
