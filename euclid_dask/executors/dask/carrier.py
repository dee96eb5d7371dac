"""The traffic with a Dask cluster, on its event loop: bundles out, news in, futures dropped.

Rule 1: all news pass the ledger, so a bundle is answered once, whatever happens to Dask.
Rule 2: a future is released soon after its bundle has ended, so Dask has nothing to recompute.
Rule 3: only public API, but for one plain attribute (see `cluster`).
Rule 4: when the worker of a supervised pilot goes, the pilot is away and its bundles stay open.
What it does not carry when it comes back, has ended or never arrived: the records decide.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from euclid_dask.core.events import PilotAway, PilotJoined, PilotLeft
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.seams import BundleOrder, Inbox, News
from euclid_dask.core.values import to_json
from euclid_dask.executors.dask import pilot as remote
from euclid_dask.executors.ledger import Ledger, Trip
from euclid_dask.worker.bundle import AttemptKey
from euclid_dask.worker.clock import now_s

log = logging.getLogger(__name__)

SUBSCRIBED: Final = "subscribed"
"""What a client sends to itself to know that its subscriptions have reached the scheduler."""

_DEATH_S = 1.0
"""After a worker has gone, how long its host is given to end what ran there."""

_LOOK_S = 0.02

_SWEEP_S = 0.5
"""How long what has ended and is answered may stay in Dask's memory."""

_THOROUGH = 4
"""One sweep in so many looks also at what is not answered."""

Stop = tuple[Callable[..., None], list[AttemptKey], tuple[str, ...]]
"""A request to end attempts: what the worker is to call, for which, with what reason."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Which worker a pilot is reached by. `worker` is its id if the pilot has a supervisor."""

    address: str
    worker: str = ""


class Carrier:
    """Sends bundles to Dask workers. All methods belong to the event loop's thread.

    `client` is an asynchronous `distributed.Client`; while no pilot is there, it may be replaced.
    `topic` names the event stream, `in_process` says that the one worker lives in this process.
    `adopted` are bundles that an earlier runner sent to supervised pilots.
    """

    def __init__(
        self,
        client: Any,
        inbox: Inbox,
        *,
        topic: str,
        in_process: bool,
        dashboard_address: str = "",
        adopted: Sequence[BundleOrder] = (),
    ) -> None:
        self.dashboard_address = dashboard_address
        self.subscribed = asyncio.Event()
        self._in_process = in_process
        self.client = client
        self._inbox = inbox
        self.topic = topic
        self._ledger = Ledger(inbox)
        self._ledger.depart([Trip(bundle) for bundle in adopted])
        self._contacts: dict[PilotId, Contact] = {}
        self._stops: dict[PilotId, list[Stop]] = {}
        self._retired: dict[PilotId, str] = {}
        self._spare_pilots = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent: dict[Trip, Any] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self._graphs = 0
        remote.listen(topic, self._ledger.report)

    def join(self, joined: PilotJoined, contact: Contact) -> None:
        """Offer a worker as a pilot; answer for what a supervised one does not carry any more."""
        pilot = joined.pilot
        if contact == self._contacts.get(pilot):
            return
        self._release(pilot)
        self.reach(pilot, contact)
        if pilot in self._retired:
            self.retire(pilot, self._retired[pilot])
        carried = frozenset(joined.carrying)
        if contact.worker:
            for trip in self._ledger.on_pilot(pilot):
                reason = "the pilot does not carry it any more"
                self._ledger.lose(trip, reason, dead=True, but=carried)
        self._inbox.put(joined)
        unknown = carried.difference(*self._ledger.find(carried).values())
        self._ask(contact, (remote.abandon_all, list(unknown), ("no runner waits for it",)))
        for function, keys, words in self._stops.pop(pilot, ()):
            if there := self._ledger.find(keys).get(pilot):
                self._stop(pilot, (function, there, words))

    def reach(self, pilot: PilotId, contact: Contact) -> None:
        """Note which worker a pilot is."""
        self._contacts[pilot] = contact

    def retire(self, pilot: PilotId, reason: str) -> None:
        """Have a supervised pilot leave when it is idle, now or when it comes back."""
        self._retired[pilot] = reason
        contact = self._contacts.get(pilot)
        if contact is not None and contact.worker:
            self._spawn(self._run_there(contact.address, remote.retire, reason))

    def spare_pilots(self) -> None:
        """Leave supervised pilots alone when this is closed."""
        self._spare_pilots = True

    def lose(self, pilot: PilotId, reason: str) -> None:
        """Answer for all that was on a supervised pilot: nothing of it lives.

        For others we see ourselves when their workers go; they may be back by now.
        """
        contact = self._contacts.get(pilot)
        if contact is not None and not contact.worker:
            return
        self._contacts.pop(pilot, None)
        self._stops.pop(pilot, None)
        self._retired.pop(pilot, None)
        for trip in self._ledger.on_pilot(pilot):
            self._ledger.lose(trip, reason, dead=True)
        self._release(pilot)

    def leave_all(self, reason: str) -> None:
        """Do without every pilot, since the scheduler has gone."""
        for pilot in tuple(self._contacts):
            self._miss(pilot, reason)

    def _miss(self, pilot: PilotId, reason: str) -> None:
        """Take notice that the worker of a pilot has gone."""
        contact = self._contacts.pop(pilot, None)
        if contact is None:
            return
        if contact.worker:
            self._inbox.put(PilotAway(pilot=pilot, reason=reason, at_s=now_s()))
        else:
            for trip in self._ledger.on_pilot(pilot):
                self._ledger.lose(trip, reason)
            self._inbox.put(PilotLeft(pilot=pilot, reason=reason, at_s=now_s()))
        self._release(pilot)

    def _release(self, pilot: PilotId) -> None:
        """Have Dask forget what was sent to a pilot's worker that is no more."""
        for trip in [trip for trip in self._sent if trip.pilot == pilot]:
            self._sent.pop(trip).release()

    def send(self, bundles: Sequence[BundleOrder]) -> None:
        """Send bundles to their pilots, as independent Dask tasks."""
        trips = [Trip(bundle) for bundle in bundles]
        self._ledger.depart(trips)
        tasks: dict[Any, Any] = {}
        pins: dict[Any, list[str]] = {}
        sent: dict[Any, Trip] = {}
        for trip in trips:
            contact = self._contacts.get(trip.pilot)
            if contact is None:
                self._ledger.lose(trip, f"there is no pilot '{trip.pilot}'")
                continue
            key = _key(trip.bundle)
            sent[key] = trip
            payload = to_json(trip.bundle)
            if contact.worker:
                tasks[key] = (remote.hand_over, payload, contact.worker)
            else:
                tasks[key] = (remote.carry, payload, self.topic)
            pins[key] = [contact.address]
        if sent:
            self._compute(tasks, pins, sent)

    def cancel(
        self, run: RunId, attempts: Sequence[tuple[TaskId, int]], *, only_waiting: bool = False
    ) -> None:
        """Have the workers kill these attempts, or only keep them from starting."""
        keys = [(run, task, attempt) for task, attempt in attempts]
        self._tell(remote.withdraw_all if only_waiting else remote.cancel_all, keys)

    async def close(self, patience_s: float) -> None:
        """End all trips: kill what runs, wait for it, lose what does not answer."""
        reason = "the executor was closed"
        keys = [key for trip in self._ending() for key in trip.open]
        self._tell(remote.abandon_all, keys, reason)
        until_s = monotonic() + patience_s
        while self._is_answering() and monotonic() < until_s:  # noqa: ASYNC110 - threads answer
            await asyncio.sleep(_LOOK_S)
        for task in self._tasks:
            task.cancel()
        for future in self._sent.values():
            future.release()
        self._sent.clear()
        for trip in self._ending():
            self._ledger.lose(trip, reason)
        remote.unlisten(self.topic)

    def receive(self, event: tuple[float, Sequence[Any]]) -> None:
        """Take news from the event stream."""
        _, message = event
        if message == SUBSCRIBED:
            self.subscribed.set()
            return
        news: News = remote.unpack(message)
        if isinstance(news, PilotJoined):
            self.join(news, Contact(*message[2:]) if message[2:] else Contact(str(news.pilot)))
            return
        if isinstance(news, PilotLeft):
            self.lose(news.pilot, news.reason)
        self._ledger.report(news)

    def watch(self, event: tuple[float, Any]) -> None:
        """Take notice of workers that go."""
        _, message = event
        if isinstance(message, dict) and message.get("action") == "remove-worker":
            for pilot, contact in tuple(self._contacts.items()):
                if contact.address == message["worker"]:
                    self._spawn(self._miss_later(pilot, contact, "its Dask worker has gone"))

    def _compute(
        self, tasks: dict[Any, Any], pins: dict[Any, list[str]], sent: dict[Any, Trip]
    ) -> None:
        """Submit entries that are pinned to workers: one by itself, more as a graph.

        One by itself has Dask do a seventh less. Two cost less as a graph.
        """
        if len(sent) == 1:
            ((key, (function, *words)),) = tasks.items()
            futures = [
                self.client.submit(
                    function,
                    *words,
                    key=key,
                    workers=pins[key],
                    allow_other_workers=False,
                    retries=0,
                )
            ]
        else:
            futures = self._compute_graph(tasks, pins)
        for future, trip in zip(futures, sent.values(), strict=True):
            self._sent[trip] = future
        if self._sweeping is None:
            self._sweeping = self._spawn(self._sweep())

    def _compute_graph(self, tasks: dict[Any, Any], pins: dict[Any, list[str]]) -> list[Any]:
        """Submit a graph of entries that wait for nothing; return their futures.

        It is one layer: what Dask does with a graph grows with the square of their number.
        """
        self._graphs += 1
        name = f"{self.topic}-{self._graphs}"
        annotations = {"workers": pins.__getitem__, "allow_other_workers": False}
        layer = MaterializedLayer(tasks, annotations=annotations)
        graph = HighLevelGraph({name: layer}, {name: set()})
        futures: list[Any] = self.client.get(graph, list(tasks), sync=False, retries=0)
        return futures

    async def _sweep(self) -> None:
        """Look from time to time which Dask tasks have ended, while there are any.

        To wait for each of them would cost as much as what Dask does to have it run.
        """
        turns = itertools.cycle(range(_THOROUGH))
        while self._sent:
            await asyncio.sleep(_SWEEP_S)
            is_thorough = next(turns) == 0
            looked_at = [one for one in self._sent.items() if is_thorough or not one[0].open]
            for trip, future in [one for one in looked_at if one[1].done()]:
                del self._sent[trip]
                self._drop(trip, future)
        self._sweeping = None

    def _drop(self, trip: Trip, future: Any) -> None:
        """Release a Dask task that has ended, and see that its bundle is answered.

        Of a supervised pilot the supervisor answers, unless the bundle has not come so far.
        """
        status = future.status
        future.release()
        contact = self._contacts.get(trip.pilot)
        supervised = contact is not None and bool(contact.worker)
        if not supervised or status == "error":
            ended = status == "finished"
            reason = (
                "its worker did not say how it ended" if ended else f"its Dask task is {status}"
            )
            self._ledger.lose(trip, reason)

    async def _miss_later(self, pilot: PilotId, contact: Contact, reason: str) -> None:
        if not contact.worker:
            await asyncio.sleep(_DEATH_S)
        if self._contacts.get(pilot) == contact:
            self._miss(pilot, reason)

    def _is_answering(self) -> bool:
        """Tell whether an answer may still come from a pilot that can be reached."""
        return any(trip.pilot in self._contacts for trip in self._ending())

    def _ending(self) -> list[Trip]:
        """Return the trips that end when this is closed."""
        trips = self._ledger.on_pilot()
        if self._spare_pilots:
            plain = {pilot for pilot, contact in self._contacts.items() if not contact.worker}
            return [trip for trip in trips if trip.pilot in plain]
        return trips

    def _tell(self, function: Callable[..., None], keys: list[AttemptKey], *words: str) -> None:
        for pilot, there in self._ledger.find(keys).items():
            self._stop(pilot, (function, there, words))

    def _stop(self, pilot: PilotId, stop: Stop) -> None:
        """Have a pilot end attempts, now and when it comes back, if it goes before it is done."""
        contact = self._contacts.get(pilot)
        if contact is None or contact.worker:
            self._stops.setdefault(pilot, []).append(stop)
        if contact is not None:
            self._ask(contact, stop)

    def _ask(self, contact: Contact, stop: Stop) -> None:
        function, keys, words = stop
        if keys and self._in_process:
            function(keys, *words)
        elif keys:
            self._spawn(self._run_there(contact.address, function, keys, *words))

    async def _run_there(self, address: str, function: Callable[..., None], *words: Any) -> None:
        with suppress(OSError):  # the scheduler has gone, and takes all pilots along
            await self.client.run(function, *words, workers=[address], on_error="ignore")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _key(bundle: BundleOrder) -> tuple[str, str]:
    """Return a Dask key, unique to the attempts, that Dask's pages group by executable."""
    first = bundle.orders[0]
    return (first.executable, f"{bundle.place.run}/{first.task}/{first.attempt}")
