"""What runs on this pilot: bundles in threads of their own, and what there is to tell of them.

Rule 1: nothing here depends on who listens. Rule 2: what ended while nobody listened, or so
recently that it may not have arrived, is told again to who comes next.
"""

from collections import deque
from collections.abc import Callable
from threading import Lock, Thread
from time import monotonic
from typing import Final

from euclid_dask.core.seams import (
    AttemptsLost,
    AttemptsReturned,
    AttemptStarted,
    BundleOrder,
    News,
)
from euclid_dask.worker.bundle import AttemptKey, abandon, attempt_keys, cancel, run_bundle
from euclid_dask.worker.link import Stop, answered

AGAIN_S: Final = 300.0
"""For so long after it was told, an end is told again to a new listener."""


class Bundles:
    """The bundles of this process. `wake` is called, from any thread, when there is news."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = Lock()
        self._news: list[News] = []
        self._told: deque[tuple[float, News]] = deque()
        self._carried: dict[AttemptKey, None] = {}
        self._refuses = False
        self.idle_since_s = monotonic()

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing runs."""
        return not self._carried

    def take(self, bundle: BundleOrder) -> None:
        """Run a bundle, or return it un-started; one that runs already is not run again."""
        keys = attempt_keys(bundle)
        with self._lock:
            if any(key in self._carried for key in keys):
                return
            self._carried.update(dict.fromkeys(keys))
        if self._refuses or not self._start(bundle):
            attempts = tuple((order.task, order.attempt) for order in bundle.orders)
            self._report(AttemptsReturned(run=bundle.place.run, attempts=attempts))

    def refuse(self) -> None:
        """Take no more bundles."""
        self._refuses = True

    def stop(self, request: Stop) -> None:
        """End attempts."""
        for key in request.attempts:
            if request.how in {"abandon", "expire"}:
                abandon(*key, request.reason, expired=request.how == "expire")
            else:
                cancel(*key, only_waiting=request.how == "withdraw")

    def abandon_all(self, reason: str, *, expired: bool = False) -> None:
        """End all that runs, as lost, or as expired: the pilot has reached its walltime."""
        with self._lock:
            carried = tuple(self._carried)
        how: Final = "expire" if expired else "abandon"
        self.stop(Stop(attempts=carried, how=how, reason=reason))

    def news(self) -> list[News]:
        """Return what has not been told yet; it counts as told now."""
        with self._lock:
            news, self._news = self._news, []
            self._told.extend((monotonic(), one) for one in news if _is_end(one))
            while self._told and self._told[0][0] < monotonic() - AGAIN_S:
                self._told.popleft()
            return news

    def account(self) -> tuple[list[News], tuple[AttemptKey, ...]]:
        """Return what a new listener may not know yet, and all that is carried."""
        with self._lock:
            news = [one for _, one in self._told] + self._news
            self._news = []
            self._told = deque((monotonic(), one) for one in news if _is_end(one))
            return news, tuple(self._carried)

    def _start(self, bundle: BundleOrder) -> bool:
        """Run a bundle in a thread of its own; say whether there is one to be had."""
        thread = Thread(target=self._run, args=(bundle,), name="bundle", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        return True

    def _run(self, bundle: BundleOrder) -> None:
        try:
            run_bundle(bundle, self._report)
        finally:
            keys = attempt_keys(bundle)
            with self._lock:
                left = [key for key in keys if key in self._carried]
            if left:
                attempts = tuple((task, attempt) for _, task, attempt in left)
                reason = "its thread on the pilot ended unexpectedly; please report this"
                self._report(AttemptsLost(run=bundle.place.run, attempts=attempts, reason=reason))

    def _report(self, news: News) -> None:
        with self._lock:
            self._news.append(news)
            for key in answered(news):
                self._carried.pop(key, None)
            if not self._carried:
                self.idle_since_s = monotonic()
        self._wake()


def _is_end(news: News) -> bool:
    return not isinstance(news, AttemptStarted)
