"""The executor without Dask: one pilot, threads of this process. The reference for the others."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import ceil
from threading import Lock

from euclid_dask.core.events import PilotJoined
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import AttemptsLost, BundleOrder, Inbox
from euclid_dask.worker.bundle import AttemptKey, abandon, attempt_keys, cancel, run_bundle
from euclid_dask.worker.clock import now_s


def usual_slots(cores: float) -> int:
    """Return how many bundles a pilot of so many cores runs at once: some need no core."""
    return 4 * max(1, ceil(cores))


class LocalExecutor:
    """Runs bundles in threads of this process, on one pilot that `offer` describes."""

    def __init__(self, *, offer: Resources, slots: int | None = None, pilot: str = "local") -> None:
        self._pilot = PilotId(pilot)
        self._offer = offer
        self._slots = slots or usual_slots(offer.cores)
        self._lock = Lock()
        self._running: set[AttemptKey] = set()
        self._waiting: dict[Future[None], BundleOrder] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._inbox: Inbox | None = None

    def open(self, inbox: Inbox) -> None:
        """Offer the one pilot."""
        self._inbox = inbox
        self._threads = ThreadPoolExecutor(self._slots, thread_name_prefix="euclid-dask slot")
        inbox.put(
            PilotJoined(pilot=self._pilot, offer=self._offer, slots=self._slots, at_s=now_s())
        )

    def start(self, bundles: Sequence[BundleOrder]) -> None:
        """Run each bundle in a thread as soon as one is free."""
        for bundle in bundles:
            if self._threads is None or bundle.pilot != self._pilot:
                self._lose(bundle, f"there is no pilot '{bundle.pilot}'")
                continue
            future = self._threads.submit(self._carry, bundle)
            self._waiting[future] = bundle
            future.add_done_callback(lambda done: self._waiting.pop(done, None))

    def cancel(self, run: RunId, attempts: Sequence[tuple[TaskId, int]]) -> None:
        """Kill these attempts' process trees."""
        for task, attempt in attempts:
            cancel(run, task, attempt)

    def close(self) -> None:
        """Kill what runs, as lost, and end the threads."""
        if self._threads is None:
            return
        threads, self._threads = self._threads, None
        for future, bundle in tuple(self._waiting.items()):
            if future.cancel():
                self._lose(bundle, "the executor was closed")
        with self._lock:
            running = tuple(self._running)
        for key in running:
            abandon(*key, "the executor was closed")
        threads.shutdown(wait=True)

    def _carry(self, bundle: BundleOrder) -> None:
        assert self._inbox is not None
        keys = attempt_keys(bundle)
        with self._lock:
            self._running.update(keys)
        try:
            run_bundle(bundle, self._inbox.put)
        finally:
            with self._lock:
                self._running.difference_update(keys)

    def _lose(self, bundle: BundleOrder, reason: str) -> None:
        assert self._inbox is not None
        attempts = tuple((order.task, order.attempt) for order in bundle.orders)
        self._inbox.put(AttemptsLost(run=bundle.place.run, attempts=attempts, reason=reason))
