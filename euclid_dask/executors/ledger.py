"""Which attempts are on their way, so that each is answered once, whatever happens to its carrier.

Every executor passes its news through a ledger. What comes after the answer is dropped; what is
not answered in the end is lost. Threads of pilots report here too, so there is a lock.
"""

from collections.abc import Container, Iterable, Sequence
from threading import Lock

from euclid_dask.core.ids import PilotId, TaskId
from euclid_dask.core.seams import (
    AttemptEnded,
    AttemptsLost,
    AttemptsReturned,
    AttemptStarted,
    BundleOrder,
    Inbox,
    News,
)
from euclid_dask.core.values import replace
from euclid_dask.worker.bundle import AttemptKey, attempt_keys


class Trip:
    """A bundle on its way: which of its attempts are not answered yet."""

    def __init__(self, bundle: BundleOrder) -> None:
        self.bundle = bundle
        self.pilot = bundle.pilot
        self.open = set(attempt_keys(bundle))


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
        """Pass news on to the inbox, less what was answered before."""
        match news:
            case AttemptStarted(run=run, task=task, attempt=attempt):
                if (run, task, attempt) in self._trips:
                    self._inbox.put(news)
            case AttemptEnded(run=run, receipt=receipt):
                if self._settle([(run, receipt.task, receipt.attempt)]):
                    self._inbox.put(news)
            case AttemptsReturned(run=run) | AttemptsLost(run=run):
                if fresh := self._settle([(run, *attempt) for attempt in news.attempts]):
                    self._inbox.put(replace(news, attempts=_attempts(fresh)))
            case _:
                self._inbox.put(news)

    def lose(
        self,
        trip: Trip,
        reason: str,
        *,
        dead: bool = False,
        but: Container[AttemptKey] = frozenset(),
    ) -> None:
        """Answer what is unanswered of a bundle: it is lost, all but some.

        `dead` says that nothing of it lives.
        """
        lost = [key for key in tuple(trip.open) if key not in but]
        if keys := self._settle(lost):
            attempts, run = _attempts(keys), trip.bundle.place.run
            self._inbox.put(AttemptsLost(run=run, attempts=attempts, reason=reason, dead=dead))

    def _settle(self, keys: Sequence[AttemptKey]) -> list[AttemptKey]:
        """Return those of `keys` that were not answered before; they are now."""
        settled: list[AttemptKey] = []
        with self._lock:
            for key in keys:
                trip = self._trips.pop(key, None)
                if trip is not None:
                    trip.open.discard(key)
                    settled.append(key)
        return settled


def _attempts(keys: Sequence[AttemptKey]) -> tuple[tuple[TaskId, int], ...]:
    return tuple((task, attempt) for _, task, attempt in keys)
