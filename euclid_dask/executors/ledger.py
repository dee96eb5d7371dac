"""Which attempts are on their way, so that each is answered once, whatever happens to its carrier.

Every executor passes its news through a ledger. What comes after the answer is dropped; what is
not answered in the end is lost. Threads of pilots report here too, so there is a lock.
"""

from collections.abc import Iterable, Sequence
from threading import Lock

from euclid_dask.core.ids import PilotId
from euclid_dask.core.seams import (
    AttemptEnded,
    AttemptsLost,
    AttemptsReturned,
    AttemptStarted,
    BundleOrder,
    Inbox,
    News,
)
from euclid_dask.worker.bundle import AttemptKey, attempt_keys


class Trip:
    """A bundle on its way: which of its attempts are not answered yet."""

    def __init__(self, bundle: BundleOrder) -> None:
        self.bundle = bundle
        self.pilot = bundle.pilot
        self.open = set(attempt_keys(bundle))

    def take(self, keys: Iterable[AttemptKey]) -> list[AttemptKey]:
        """Return those of `keys` that were not answered yet; they are now."""
        taken = [key for key in keys if key in self.open]
        self.open.difference_update(taken)
        return taken


class Ledger:
    """All trips, by attempt. Used by the threads of an embedded worker too, so it has a lock."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = Lock()
        self._trips: dict[AttemptKey, Trip] = {}

    def depart(self, trips: Sequence[Trip]) -> None:
        """Note that bundles are on their way; an order counts once."""
        with self._lock:
            for trip in trips:
                self._trips.update(dict.fromkeys(trip.open, trip))

    def find(self, keys: Iterable[AttemptKey]) -> dict[PilotId, list[AttemptKey]]:
        """Return the attempts that are on their way, by pilot."""
        found: dict[PilotId, list[AttemptKey]] = {}
        with self._lock:
            for key in keys:
                if key in self._trips:
                    found.setdefault(self._trips[key].pilot, []).append(key)
        return found

    def on_pilot(self, pilot: PilotId | None = None) -> list[Trip]:
        """Return the bundles of a pilot that are not answered, of all pilots if it is None."""
        with self._lock:
            trips = {id(trip): trip for trip in self._trips.values()}
        return [trip for trip in trips.values() if pilot in (None, trip.pilot)]

    def report(self, news: News) -> None:
        """Pass news on to the inbox, unless they come after the answer."""
        if self._is_fresh(news):
            self._inbox.put(news)

    def lose(self, trip: Trip, reason: str) -> None:
        """Answer what is unanswered of a bundle: it is lost."""
        with self._lock:
            keys = self._settle(list(trip.open))
        if keys:
            attempts = tuple((task, attempt) for _, task, attempt in keys)
            run = trip.bundle.place.run
            self._inbox.put(AttemptsLost(run=run, attempts=attempts, reason=reason))

    def _is_fresh(self, news: News) -> bool:
        match news:
            case AttemptStarted(run=run, task=task, attempt=attempt):
                return (run, task, attempt) in self._trips
            case AttemptEnded(run=run, receipt=receipt):
                keys = [(run, receipt.task, receipt.attempt)]
            case (
                AttemptsReturned(run=run, attempts=attempts)
                | AttemptsLost(run=run, attempts=attempts)
            ):
                keys = [(run, *attempt) for attempt in attempts]
            case _:
                return True
        with self._lock:
            return bool(self._settle(keys))

    def _settle(self, keys: Sequence[AttemptKey]) -> list[AttemptKey]:
        settled: list[AttemptKey] = []
        for key in keys:
            trip = self._trips.pop(key, None)
            if trip is not None:
                settled += trip.take([key])
        return settled
