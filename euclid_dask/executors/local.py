"""The executor without Dask: one pilot, threads of this process. The reference for the others."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from euclid_dask.core.events import PilotJoined
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.pilots import usual_slots
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import BundleOrder, Inbox
from euclid_dask.executors.ledger import Ledger, Trip
from euclid_dask.worker.bundle import abandon, cancel, run_bundle
from euclid_dask.worker.clock import now_s


class LocalExecutor:
    """Runs bundles in threads of this process, on one pilot that `offer` describes."""

    def __init__(self, *, offer: Resources, slots: int | None = None, pilot: str = "local") -> None:
        self._pilot = PilotId(pilot)
        self._offer = offer
        self._slots = slots or usual_slots(offer.cores)
        self._waiting: dict[Future[None], Trip] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._ledger: Ledger | None = None
        self._adopted: Sequence[BundleOrder] = ()

    def adopt(self, bundles: Sequence[BundleOrder]) -> None:
        """Answer for bundles of an earlier runner: there is no pilot of its any more."""
        self._adopted = bundles

    def open(self, inbox: Inbox) -> None:
        """Offer the one pilot."""
        self._ledger = Ledger(inbox)
        trips = [Trip(bundle) for bundle in self._adopted]
        self._ledger.depart(trips)
        for trip in trips:
            self._ledger.lose(trip, f"there is no pilot '{trip.pilot}'")
        self._threads = ThreadPoolExecutor(self._slots, thread_name_prefix="euclid-dask slot")
        inbox.put(
            PilotJoined(pilot=self._pilot, offer=self._offer, slots=self._slots, at_s=now_s())
        )

    def start(self, bundles: Sequence[BundleOrder]) -> None:
        """Run each bundle in a thread as soon as one is free."""
        assert self._ledger is not None
        trips = [Trip(bundle) for bundle in bundles]
        self._ledger.depart(trips)
        for trip in trips:
            if self._threads is None or trip.pilot != self._pilot:
                self._ledger.lose(trip, f"there is no pilot '{trip.pilot}'")
                continue
            future = self._threads.submit(self._carry, trip)
            self._waiting[future] = trip
            future.add_done_callback(lambda done: self._waiting.pop(done, None))

    def cancel(
        self, run: RunId, attempts: Sequence[tuple[TaskId, int]], *, only_waiting: bool = False
    ) -> None:
        """Kill these attempts' process trees; with `only_waiting`, not of those that began."""
        for task, attempt in attempts:
            cancel(run, task, attempt, only_waiting=only_waiting)

    def retire(self, pilot: PilotId, reason: str) -> None:
        """Do nothing: the one pilot ends with this process."""

    def lose(self, pilot: PilotId, reason: str) -> None:
        """Do nothing: the one pilot ends with this process."""

    def close(self, *, end_pilots: bool = True) -> None:
        """Kill what runs, as lost, and end the threads."""
        if self._threads is None or self._ledger is None:
            return
        threads, self._threads = self._threads, None
        reason = "the executor was closed"
        for future, trip in tuple(self._waiting.items()):
            if future.cancel():
                self._ledger.lose(trip, reason)
        for trip in self._ledger.on_pilot():
            for key in tuple(trip.open):
                abandon(*key, reason)
        threads.shutdown(wait=True)

    def _carry(self, trip: Trip) -> None:
        assert self._ledger is not None
        try:
            run_bundle(trip.bundle, self._ledger.report)
        finally:
            self._ledger.lose(trip, "its thread ended unexpectedly; please report this")
