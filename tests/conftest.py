"""Fixtures of several rooms' tests: the whole state of a run as a value, and its invariants."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from euclid_dask.core.states import TASK_ACTIVE, SplitState, TaskState
from euclid_dask.planner import Run, Split

pytest_plugins = ["batch_clusters"]

settings.register_profile(  # how long an example takes says how busy the machine is
    "unhurried",
    settings.default,
    deadline=None,
    suppress_health_check=[*settings.default.suppress_health_check, HealthCheck.too_slow],
)
settings.load_profile("unhurried")


def _dump(run: Run) -> dict[str, Any]:
    board = run.board
    return {
        "state": (run.state, run.cancel_now, run.cancel_reason, run.last_s, run.ended_s),
        "tasks": {
            task.id: (
                (task.state, task.missing, task.attempt, task.science_failures, task.losses),
                (task.no_reuse, task.failure, task.blocked_by, task.pilot, task.bundle),
                (task.enlargements, task.expiries, task.asked, task.avoids, task.careful),
                (task.ready_key, task.started_s, task.ended_s, task.outputs, task.profile),
                (task.sequence, task.tolerated, task.warnings, len(task.consumers), task.removed),
            )
            for task in run.tasks.values()
        },
        "splits": {
            split.id: (
                (split.state, split.missing, split.pending, split.failed, split.expanded),
                (split.tolerated, split.partial, split.failure, len(split.consumers)),
                [(branch.missing, branch.failed, branch.scope.item) for branch in split.branches],
            )
            for split in run.splits.values()
        },
        "ready": {needs: list(keys) for needs, keys in board.ready.items() if keys},
        "lists": (list(board.reading), list(board.joining)),
        "failed": set(board.failed),
        "counts": ({s: n for s, n in board.counts.tasks.items() if n}, board.counts.open_splits),
        "bundles": {n: (b.pilot, b.needs, b.remaining) for n, b in run.bundles.items()},
        "slots": {pilot: usage.slots for pilot, usage in run.usage.items()},
        "durations": {key: (d.count, round(d.mean_s, 9)) for key, d in run.durations.items()},
    }


def _validate(run: Run) -> None:
    board = run.board
    queued = [task for keys in board.ready.values() for _, task in keys]
    assert len(queued) == len(set(queued)), "a task is queued twice"
    by_state: dict[TaskState, set[str]] = {state: set() for state in TaskState}
    for task in run.tasks.values():
        by_state[task.state].add(task.id)
    assert set(queued) == by_state[TaskState.READY]
    assert {s: n for s, n in board.counts.tasks.items() if n} == {
        state: len(ids) for state, ids in by_state.items() if ids
    }
    assert set(board.failed) == by_state[TaskState.FAILED]
    in_bundles = [task for bundle in run.bundles.values() for task in bundle.remaining]
    assert sorted(in_bundles) == sorted(t.id for t in run.tasks.values() if t.state in TASK_ACTIVE)
    planned = [task for task in run.tasks.values() if not task.identity.startswith("omitted")]
    for node in [*planned, *run.splits.values()]:
        unfinished = [maker for maker in node.producers() if not maker.is_finished]
        assert node.missing == len(unfinished), f"{node.id}: missing is {node.missing}"
    ended = {SplitState.DONE, SplitState.BLOCKED}
    assert board.counts.open_splits == sum(s.state not in ended for s in run.splits.values())
    for state, listed in (
        (SplitState.READING, board.reading),
        (SplitState.JOINING, board.joining),
    ):
        assert set(listed) == {s.id for s in run.splits.values() if s.state is state}
    for split in run.splits.values():
        _validate_branches(split)


def _validate_branches(split: Split) -> None:
    for branch in split.branches:
        unfinished = [maker for maker in branch.producers() if not maker.is_finished]
        assert branch.missing == len(unfinished), f"{split.id}: {branch.missing} missing"
    if split.state is SplitState.OPEN:
        pending = [b for b in split.branches if b.missing and not b.failed]
        assert split.pending == len(pending)
        assert split.failed == sum(b.failed for b in split.branches)


@pytest.fixture
def dump() -> Callable[[Run], dict[str, Any]]:
    """Return a function from a run to all of its state, to be compared."""
    return _dump


@pytest.fixture
def validate() -> Callable[[Run], None]:
    """Return a function that asserts what is true of a run after every event."""
    return _validate
