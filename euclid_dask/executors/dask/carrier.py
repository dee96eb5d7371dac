"""The traffic with a Dask cluster, on its event loop: bundles out, news in, futures dropped.

Rule 1: all news pass the ledger, so a bundle is answered once, whatever happens to Dask.
Rule 2: a future is released as soon as its bundle has ended, so Dask has nothing to recompute.
Rule 3: only public API, but for one plain attribute (see `cluster`).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError
from typing import Any, Final

from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from distributed import wait

from euclid_dask.core.events import PilotJoined, PilotLeft
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


class Carrier:
    """Sends bundles to Dask workers. All methods belong to the event loop's thread.

    `client` is an asynchronous `distributed.Client`, `topic` names the event stream, `in_process`
    says that the one worker lives in this process.
    """

    def __init__(
        self, client: Any, inbox: Inbox, *, topic: str, in_process: bool, dashboard_address: str
    ) -> None:
        self.dashboard_address = dashboard_address
        self.subscribed = asyncio.Event()
        self._in_process = in_process
        self._client = client
        self._inbox = inbox
        self._topic = topic
        self._ledger = Ledger(inbox)
        self._addresses: dict[PilotId, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._follows: dict[Trip, asyncio.Task[None]] = {}
        self._graphs = 0
        remote.listen(topic, self._ledger.report)

    def join(self, joined: PilotJoined, address: str) -> None:
        """Offer a worker as a pilot."""
        self.reach(joined.pilot, address)
        self._inbox.put(joined)

    def reach(self, pilot: PilotId, address: str) -> None:
        """Note which worker a pilot is."""
        self._addresses[pilot] = address

    def leave(self, pilot: PilotId, reason: str) -> None:
        """Take back a pilot whose worker has gone, with all that ran there."""
        if self._addresses.pop(pilot, None) is None:
            return
        for trip in self._ledger.on_pilot(pilot):
            self._ledger.lose(trip, reason)
            if trip in self._follows:
                self._follows[trip].cancel()
        self._inbox.put(PilotLeft(pilot=pilot, reason=reason, at_s=now_s()))

    def leave_all(self, reason: str) -> None:
        """Take back every pilot, since the scheduler has gone."""
        for pilot in tuple(self._addresses):
            self.leave(pilot, reason)

    def send(self, bundles: Sequence[BundleOrder]) -> None:
        """Send bundles to their pilots as one Dask graph of independent entries."""
        trips = [Trip(bundle) for bundle in bundles]
        self._ledger.depart(trips)
        mappings: dict[str, dict[Any, Any]] = {}
        sent: dict[Any, Trip] = {}
        for trip in trips:
            address = self._addresses.get(trip.pilot)
            if address is None:
                self._ledger.lose(trip, f"there is no pilot '{trip.pilot}'")
                continue
            key = _key(trip.bundle)
            sent[key] = trip
            task = (remote.carry, to_json(trip.bundle), self._topic)
            mappings.setdefault(address, {})[key] = task
        if sent:
            self._compute(mappings, sent)

    def cancel(
        self, run: RunId, attempts: Sequence[tuple[TaskId, int]], *, only_waiting: bool = False
    ) -> None:
        """Have the workers kill these attempts, or only keep them from starting."""
        keys = [(run, task, attempt) for task, attempt in attempts]
        self._tell(remote.withdraw_all if only_waiting else remote.cancel_all, keys)

    async def close(self, patience_s: float) -> None:
        """End all trips: kill what runs, wait for it, lose what does not answer."""
        reason = "the executor was closed"
        keys = [key for trip in self._ledger.on_pilot() for key in trip.open]
        self._tell(remote.abandon_all, keys, reason)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)
        for follow in self._tasks:
            follow.cancel()
        for trip in self._ledger.on_pilot():
            self._ledger.lose(trip, reason)
        remote.unlisten(self._topic)

    def receive(self, event: tuple[float, Sequence[Any]]) -> None:
        """Take news from the event stream."""
        _, message = event
        if message == SUBSCRIBED:
            self.subscribed.set()
            return
        news: News = remote.unpack(message)
        if isinstance(news, PilotJoined):
            self.join(news, str(news.pilot))
        else:
            self._ledger.report(news)

    def watch(self, event: tuple[float, Any]) -> None:
        """Take notice of workers that go."""
        _, message = event
        if isinstance(message, dict) and message.get("action") == "remove-worker":
            pilot = PilotId(str(message["worker"]))
            self._spawn(self._leave_later(pilot, "its Dask worker has gone"))

    def _compute(self, mappings: dict[str, dict[Any, Any]], sent: dict[Any, Trip]) -> None:
        """Submit a graph with a layer of entries for each worker, pinned to it."""
        self._graphs += 1
        layers = {
            f"{self._topic}-{self._graphs}-{address}": MaterializedLayer(
                mapping, annotations={"workers": [address], "allow_other_workers": False}
            )
            for address, mapping in mappings.items()
        }
        graph = HighLevelGraph(layers, {name: set() for name in layers})
        futures = self._client.get(graph, list(sent), sync=False, retries=0)
        for future, trip in zip(futures, sent.values(), strict=True):
            self._follows[trip] = self._spawn(self._follow(future, trip))

    async def _follow(self, future: Any, trip: Trip) -> None:
        """Wait for the end of a Dask task, release it, and see that its bundle is answered."""
        try:
            with self._client.as_current():
                ended = wait([future])  # type: ignore[no-untyped-call]
            await ended
            reason = "" if future.status == "finished" else f"its Dask task is {future.status}"
        except (asyncio.CancelledError, CancelledError):
            reason = "its Dask task was cancelled"
        finally:
            future.release()
            self._follows.pop(trip, None)
        self._ledger.lose(trip, reason or "its worker did not say how it ended")

    async def _leave_later(self, pilot: PilotId, reason: str) -> None:
        await asyncio.sleep(_DEATH_S)
        self.leave(pilot, reason)

    def _tell(self, function: Callable[..., None], keys: list[AttemptKey], *words: str) -> None:
        for pilot, there in self._ledger.find(keys).items():
            address = self._addresses.get(pilot)
            if address is None:
                continue
            if self._in_process:
                function(there, *words)
            else:
                self._spawn(self._run_there(function, there, *words, address=address))

    async def _run_there(self, function: Callable[..., None], *words: Any, address: str) -> None:
        await self._client.run(function, *words, workers=[address], on_error="ignore")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _key(bundle: BundleOrder) -> tuple[str, str]:
    """Return a Dask key, unique to the attempts, that Dask's pages group by executable."""
    first = bundle.orders[0]
    return (first.executable, f"{bundle.place.run}/{first.task}/{first.attempt}")
