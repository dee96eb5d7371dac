"""A bundle on this host: its attempts, one after the other; and the way to cancel one of them.

This module owns the table of what runs in this process. An attempt may be cancelled before its
bundle has arrived here: the request is kept.
"""

from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from time import monotonic

from euclid_dask.core.attempts import Failure, FailureKind, Order
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.core.seams import (
    AttemptEnded,
    AttemptsLost,
    AttemptsReturned,
    AttemptStarted,
    BundleOrder,
    News,
)
from euclid_dask.worker.attempt import HOST, LONG_S, Control, run_attempt
from euclid_dask.worker.environment import Scene
from euclid_dask.worker.records import AlreadyStartedError

AttemptKey = tuple[RunId, TaskId, int]
"""What names an attempt in a process that serves several runs."""

_MOST_EARLY = 100_000


class _Ongoing:
    """The attempts of the bundles in this process, and requests for some not yet here."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._controls: dict[AttemptKey, Control] = {}
        self._early: dict[AttemptKey, Failure] = {}

    def add(self, keys: Iterable[AttemptKey]) -> list[Control]:
        """Return a control for each attempt, already stopped if that was asked before."""
        controls = []
        with self._lock:
            for key in keys:
                control = self._controls[key] = Control()
                controls.append(control)
                if (failure := self._early.pop(key, None)) is not None:
                    control.stop(failure)
        return controls

    def remove(self, keys: Iterable[AttemptKey]) -> None:
        """Forget attempts."""
        with self._lock:
            for key in keys:
                self._controls.pop(key, None)

    def stop(self, key: AttemptKey, failure: Failure, *, only_waiting: bool = False) -> None:
        """End an attempt with this failure, or keep that for when it comes."""
        with self._lock:
            control = self._controls.get(key)
            if control is None:
                self._early[key] = failure
                if len(self._early) > _MOST_EARLY:
                    del self._early[next(iter(self._early))]
                return
        control.stop(failure, only_waiting=only_waiting)


_ONGOING = _Ongoing()


def attempt_keys(bundle: BundleOrder) -> list[AttemptKey]:
    """Return the names of a bundle's attempts."""
    return [(bundle.place.run, order.task, order.attempt) for order in bundle.orders]


class _Telling:
    """News on their way out, in order; the ends of short attempts are held back for a moment."""

    def __init__(self, report: Callable[[News], None]) -> None:
        self._report = report
        self._held: list[News] = []
        self._since_s = 0.0

    def hold(self, news: News) -> None:
        """Tell news soon: with what comes next, or when the next attempt has run for a moment."""
        now_s = monotonic()
        if not self._held:
            self._since_s = now_s
        self._held.append(news)
        if now_s - self._since_s >= LONG_S:
            self.tell()

    def tell(self, *news: News) -> None:
        """Tell what was held back, and then these."""
        held, self._held = [*self._held, *news], []
        for one in held:
            self._report(one)


def run_bundle(bundle: BundleOrder, report: Callable[[News], None]) -> None:
    """Run a bundle's attempts one after the other; report their news while they run.

    The start of an attempt is news when it has run for a moment; until then the ends of those
    before it may be held back. After an attempt that did not succeed the rest is returned
    un-started.
    """
    keys = attempt_keys(bundle)
    controls = _ONGOING.add(keys)
    telling = _Telling(report)
    scene = Scene(bundle.place)
    try:
        for number, (order, control) in enumerate(zip(bundle.orders, controls, strict=True)):
            if not _run_one(scene, order, control, telling):
                rest = slice(number + 1, None)
                _give_back(scene, bundle.orders[rest], controls[rest], telling)
                return
    finally:
        telling.tell()
        _ONGOING.remove(keys)


def cancel(run: RunId, task: TaskId, attempt: int, *, only_waiting: bool = False) -> None:
    """End an attempt of a bundle in this process; may be called from any thread.

    With `only_waiting` an attempt that has begun goes on.
    """
    failure = Failure(kind=FailureKind.CANCELLED, message=f"task '{task}' was cancelled")
    _ONGOING.stop((run, task, attempt), failure, only_waiting=only_waiting)


def abandon(run: RunId, task: TaskId, attempt: int, reason: str, *, expired: bool = False) -> None:
    """End an attempt as lost, since the pilot it runs on closes; `reason` says why.

    It may be `expired`: the pilot has only reached its walltime.
    """
    kind = FailureKind.EXPIRED if expired else FailureKind.LOST
    failure = Failure(kind=kind, message=f"task '{task}' was lost: {reason}")
    _ONGOING.stop((run, task, attempt), failure)


def _run_one(scene: Scene, order: Order, control: Control, telling: _Telling) -> bool:
    """Run one attempt, report it and say whether it succeeded."""
    run = scene.place.run

    def started(at_s: float) -> None:
        telling.tell(
            AttemptStarted(run=run, task=order.task, attempt=order.attempt, host=HOST, at_s=at_s)
        )

    try:
        receipt = run_attempt(order, scene, control, started)
    except AlreadyStartedError:
        reason = "it was started before and has left no receipt"
        lost = AttemptsLost(run=run, attempts=((order.task, order.attempt),), reason=reason)
        telling.tell(lost)
        return False
    ended = AttemptEnded(run=run, receipt=receipt)
    if receipt.profile.wall_s < LONG_S:
        telling.hold(ended)
    else:
        telling.tell(ended)
    return receipt.failure is None


def _give_back(
    scene: Scene,
    orders: Sequence[Order],
    controls: Sequence[Control],
    telling: _Telling,
) -> None:
    """Return attempts un-started, those that were cancelled as cancelled."""
    returned = []
    for order, control in zip(orders, controls, strict=True):
        if control.failure is None:
            returned.append((order.task, order.attempt))
        else:
            _run_one(scene, order, control, telling)
    if returned:
        telling.tell(AttemptsReturned(run=scene.place.run, attempts=tuple(returned)))
