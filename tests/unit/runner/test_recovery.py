"""What becomes of attempts in flight whose runner died, and of those on pilots."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from euclid_dask.core.attempts import Place, Receipt
from euclid_dask.core.errors import WorkdirError
from euclid_dask.core.events import PilotEvent, PilotLeft, PilotRequested, TaskLost, TasksOrdered
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.seams import AttemptsLost
from euclid_dask.core.states import TaskState
from euclid_dask.core.values import to_json
from euclid_dask.planner import Run
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.believed import believed_pilots
from euclid_dask.runner.history import replay
from euclid_dask.runner.news import events_of
from euclid_dask.runner.recovery import resume_run, settle
from euclid_dask.runner.workspace import Lock, Workspace
from euclid_dask.sim import World, begin
from euclid_dask.sim.flows import body, flow, task
from euclid_dask.sim.workload import Workload
from euclid_dask.worker.clock import SystemClock

PILOT, OTHER = PilotId("light-000001"), PilotId("local")


class _Started:
    """Traces of attempts that all were started, and have left no receipt."""

    def __init__(self) -> None:
        self.killed: list[tuple[str | None, ...]] = []

    def was_started(self, place: Place, task: TaskId, attempt: int) -> bool:
        return True

    def receipt(self, place: Place, task: TaskId, attempt: int) -> Receipt | None:
        return None

    def kill(
        self, run: RunId, task: TaskId | None = None, attempt: int | None = None
    ) -> Sequence[int]:
        self.killed.append((task,))
        return ()


@pytest.fixture
def interrupted(tmp_path: Path) -> Workspace:
    """Return a workdir with a run that has one task on a pilot and one here."""
    nodes = [task("there"), task("here")]
    active: ActiveRun = begin(World(Workload()), flow(body(*nodes)), tmp_path)
    for pilot, name in ((PILOT, "there"), (OTHER, "here")):
        ordered = TasksOrdered(at_s=2.0, pilot=pilot, tasks=((TaskId(name), 1),))
        active.record(ordered)
    active.journal.sync()
    active.close()
    return active.workspace


def _note(workspace: Workspace, *events: PilotEvent) -> None:
    lines = b"".join(to_json(event) + b"\n" for event in events)
    (workspace.records / "pilots.jsonl").write_bytes(lines)


REQUESTED = PilotRequested(pilot=PILOT, template="light", at_s=1.0)
LEFT = PilotLeft(pilot=PILOT, reason="walltime", at_s=3.0)


def _resume(workspace: Workspace, traces: _Started) -> ActiveRun:
    return resume_run(workspace, workspace.runs()[0], SystemClock(), traces=traces)


def test_an_attempt_on_a_pilot_that_may_live_is_adopted_and_not_killed(
    interrupted: Workspace,
) -> None:
    _note(interrupted, REQUESTED)
    traces = _Started()
    active = _resume(interrupted, traces)
    (bundle,) = active.adopted
    assert (bundle.pilot, [one.task for one in bundle.orders]) == (PILOT, ["there"])
    assert active.run.tasks[TaskId("there")].state is TaskState.ORDERED
    assert active.run.tasks[TaskId("here")].losses == 1
    assert traces.killed == [("here",)]
    active.close()


def test_an_attempt_on_a_pilot_that_has_left_is_lost(interrupted: Workspace) -> None:
    _note(interrupted, REQUESTED, LEFT)
    traces = _Started()
    active = _resume(interrupted, traces)
    assert active.adopted == ()
    assert active.run.tasks[TaskId("there")].losses == 1
    assert traces.killed[0] == (None,)
    active.close()


def test_no_other_run_begins_where_tasks_may_run_on_pilots(interrupted: Workspace) -> None:
    _note(interrupted, REQUESTED)
    lock = Lock.take(interrupted)
    run = _replayed(interrupted)
    with pytest.raises(WorkdirError, match="may still run on pilots: light-000001"):
        settle(interrupted, run, lock, SystemClock(), _Started())
    lock.release()


def _replayed(workspace: Workspace) -> Run:
    return replay(workspace.files(workspace.runs()[0]).journal)


def test_pilots_that_were_asked_for_and_have_not_left_may_live(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.create()
    assert believed_pilots(workspace) == frozenset()
    _note(workspace, REQUESTED)
    assert believed_pilots(workspace) == {PILOT}
    _note(workspace, REQUESTED, LEFT)
    assert believed_pilots(workspace) == frozenset()


@pytest.mark.parametrize("dead", [False, True])
def test_what_is_known_to_be_dead_is_not_looked_for_on_this_host(
    interrupted: Workspace, dead: bool
) -> None:
    _note(interrupted, REQUESTED)
    traces = _Started()
    active = _resume(interrupted, traces)
    traces.killed.clear()
    news = AttemptsLost(run=active.run.id, attempts=((TaskId("there"), 1),), reason="x", dead=dead)
    assert [type(event) for event in events_of(active, news, 4.0)] == [TaskLost]
    assert bool(traces.killed) is not dead
    active.close()
