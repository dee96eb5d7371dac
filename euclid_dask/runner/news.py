"""From the news of executors to the events of a run. The receipt decides, not the carrier."""

from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from euclid_dask.core.attempts import FailureKind, Receipt
from euclid_dask.core.errors import WorkdirError
from euclid_dask.core.events import (
    OutputsMissed,
    RunEvent,
    TaskErred,
    TaskLost,
    TaskReturned,
    TaskStarted,
    TaskSucceeded,
)
from euclid_dask.core.ids import TaskId
from euclid_dask.core.seams import AttemptEnded, AttemptsLost, AttemptsReturned, AttemptStarted
from euclid_dask.core.states import TASK_ACTIVE
from euclid_dask.core.values import replace
from euclid_dask.planner.identity import task_identity
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.missing import after_failure

_LOST: Final = frozenset({FailureKind.LOST, FailureKind.EXPIRED})

AttemptNews = AttemptStarted | AttemptEnded | AttemptsReturned | AttemptsLost


def events_of(active: ActiveRun, news: AttemptNews, now_s: float) -> Iterator[RunEvent]:
    """Yield what `news` means for its run; news of attempts that are over means nothing."""
    match news:
        case AttemptStarted(task=task, attempt=attempt, host=host, at_s=at_s):
            if _is_current(active, task, attempt):
                yield TaskStarted(at_s=at_s, task=task, attempt=attempt, host=host)
        case AttemptEnded(receipt=receipt):
            yield from ended(active, receipt, now_s)
        case AttemptsReturned(attempts=attempts):
            yield from (
                TaskReturned(at_s=now_s, task=task, attempt=attempt)
                for task, attempt in attempts
                if _is_current(active, task, attempt)
            )
        case AttemptsLost(attempts=attempts, reason=reason, dead=dead):
            for task, attempt in attempts:
                yield from lost(active, task, attempt, reason, now_s, dead=dead)
        case _:
            assert_never(news)


def ended(active: ActiveRun, receipt: Receipt, now_s: float) -> Iterator[RunEvent]:
    """Yield what a receipt means for its run."""
    task_id, attempt = receipt.task, receipt.attempt
    if not _is_current(active, task_id, attempt):
        return
    at_s = receipt.ended_s or now_s
    profile = replace(receipt.profile, samples=())  # they stay in the receipt
    failure = receipt.failure
    if failure is None:
        task = active.run.tasks[task_id]
        yield TaskSucceeded(
            at_s=at_s,
            task=task_id,
            attempt=attempt,
            outputs=receipt.outputs,
            identity=task_identity(task, active.run.options.versions),
            profile=profile,
            started_s=receipt.started_s,
            noted_s=now_s,
            warnings=receipt.warnings,
        )
        return
    if failure.kind in _LOST:
        yield from lost(active, task_id, attempt, failure.message, now_s)
        return
    if failure.kind is FailureKind.INPUT:
        missed = after_failure(active, active.run.tasks[task_id])
        if missed is not None:
            for maker, reason in missed.items():
                yield OutputsMissed(at_s=now_s, task=maker, reason=reason)
            yield TaskReturned(at_s=now_s, task=task_id, attempt=attempt, reason=failure.message)
            return
    yield TaskErred(
        at_s=at_s,
        task=task_id,
        attempt=attempt,
        failure=failure,
        profile=profile,
        started_s=receipt.started_s,
        noted_s=now_s,
    )


def lost(
    active: ActiveRun,
    task: TaskId,
    attempt: int,
    reason: str,
    now_s: float,
    *,
    dead: bool = False,
) -> Iterator[RunEvent]:
    """Yield what became of an attempt whose carrier lost it: its records decide.

    Unless it is known to be `dead`, what is left of it on this host is killed first, so that it
    provably is.

    Raises:
        WorkdirError: A process of it cannot be killed, so that no other attempt may begin.
    """
    if not _is_current(active, task, attempt):
        return
    traces, place = active.traces, active.place
    receipt = traces.receipt(place, task, attempt)
    if receipt is None and not traces.was_started(place, task, attempt):
        yield TaskReturned(at_s=now_s, task=task, attempt=attempt, reason=reason)
        return
    if receipt is None and not dead:
        alive = traces.kill(active.run.id, task, attempt)
        receipt = traces.receipt(place, task, attempt)
        if alive and receipt is None:
            raise _undead(task, alive)
    if receipt is not None and _kind(receipt) not in _LOST:
        yield from ended(active, receipt, now_s)
    else:
        expired = receipt is not None and _kind(receipt) is FailureKind.EXPIRED
        yield TaskLost(at_s=now_s, task=task, attempt=attempt, reason=reason, expired=expired)


def _undead(task: TaskId, alive: Sequence[int]) -> WorkdirError:
    return WorkdirError(
        f"processes of task '{task}' cannot be killed: {', '.join(map(str, alive))}",
        hint="end them and resume the run; their outputs might be overwritten otherwise",
    )


def _kind(receipt: Receipt) -> FailureKind | None:
    return None if receipt.failure is None else receipt.failure.kind


def _is_current(active: ActiveRun, task_id: TaskId, attempt: int) -> bool:
    task = active.run.tasks[task_id]
    return task.attempt == attempt and task.state in TASK_ACTIVE
