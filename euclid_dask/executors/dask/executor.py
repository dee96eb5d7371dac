"""The executor that carries bundles by Dask, as seen from the runner's thread.

Rule: every method only hands something to the event loop's thread; nothing here waits for Dask,
except `open` for an existing cluster, which must be there, and `close`. The embedded cluster takes
longer to import than many a task to run: until it is up, threads carry bundles to the same pilot.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING

from euclid_dask.core.errors import InputError, SiteError, WorkdirError
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.pilots import usual_slots
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import AttemptsLost, BundleOrder, Inbox
from euclid_dask.executors.local import LocalExecutor
from euclid_dask.executors.server import Server

if TYPE_CHECKING:
    import asyncio

    from euclid_dask.executors.dask.carrier import Carrier

log = logging.getLogger(__name__)


class DaskExecutor:
    """Carries bundles to the workers of a Dask cluster.

    With `offer`, the cluster is a scheduler and one worker in this process, the pilot "local".
    That pilot is there at once: what is started before the cluster is up is carried by threads,
    as is all if it does not come up. It is begun `after_s` seconds after `open`, so that a run
    that has ended by then does not wait for Dask at all.
    With `address`, it is the one whose scheduler listens there; each worker is a pilot that
    offers as many cores and slots as it has threads, or what its supervisor says. When that
    scheduler goes, it is waited for, `patience_s` seconds each time; then the executor gives up.
    With `server`, a scheduler in this process listens there, and pilots come to it.
    """

    def __init__(  # noqa: PLR0913  of one kind or another
        self,
        *,
        offer: Resources | None = None,
        slots: int | None = None,
        address: str | None = None,
        server: Server | None = None,
        timeout_s: float = 30.0,
        patience_s: float = 900.0,
        after_s: float = 0.0,
    ) -> None:
        if sum(one is not None for one in (offer, address, server)) != 1:
            raise InputError("a Dask executor needs either an offer or a scheduler's address")
        self._offer = offer
        self._slots = slots or (usual_slots(offer.cores) if offer else 0)
        self._early = LocalExecutor(offer=offer, slots=self._slots) if offer else None
        self._address = address
        self._server = server
        self._adopted: tuple[BundleOrder, ...] = ()
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._after_s = after_s
        self._inbox: Inbox | None = None
        self._closing = Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._stop: asyncio.Event | None = None
        self._carrier: Future[Carrier] = Future()

    @property
    def dashboard_address(self) -> str:
        """The URL of Dask's dashboard, "" while the cluster is not up."""
        return self._carrier.result().dashboard_address if self._is_up() else ""

    def wait_until_up(self) -> None:
        """Wait until Dask carries what is started; raise the error if it does not come up."""
        self._carrier.result(self._timeout_s)

    def adopt(self, bundles: Sequence[BundleOrder]) -> None:
        """Answer for bundles of an earlier runner, too."""
        self._adopted = tuple(bundles)
        if self._early is not None:
            self._early.adopt(bundles)

    def open(self, inbox: Inbox) -> None:
        """Begin to offer pilots.

        Raises:
            SiteError: if there is no scheduler at the address, or none can listen there.
        """
        self._inbox = inbox
        if self._early is not None:
            self._early.open(inbox)
        self._closing.clear()
        self._thread = Thread(target=self._live, name="euclid-dask loop", daemon=True)
        self._thread.start()
        if self._early is not None:
            return
        try:
            self._carrier.result()
        except (OSError, ValueError, SiteError) as error:
            self.close()
            raise self._no_scheduler(error) from error

    def start(self, bundles: Sequence[BundleOrder]) -> None:
        """Send all bundles to their pilots as one Dask graph."""
        if self._loop is not None and not self._loop.is_closed() and self._is_up():
            self._loop.call_soon_threadsafe(self._carrier.result().send, tuple(bundles))
        elif self._early is not None:
            self._early.start(bundles)
        else:
            self._lose(bundles)

    def cancel(
        self, run: RunId, attempts: Sequence[tuple[TaskId, int]], *, only_waiting: bool = False
    ) -> None:
        """Kill these attempts' process trees, or only keep them from starting."""
        if self._early is not None:  # all of them are in this process, whoever carries them
            self._early.cancel(run, attempts, only_waiting=only_waiting)
        elif self._loop is not None and not self._loop.is_closed() and self._is_up():
            carrier, those = self._carrier.result(), tuple(attempts)
            self._loop.call_soon_threadsafe(
                partial(carrier.cancel, run, those, only_waiting=only_waiting)
            )

    def retire(self, pilot: PilotId, reason: str) -> None:
        """Have a pilot with a supervisor leave when nothing runs there any more."""
        if self._loop is not None and not self._loop.is_closed() and self._is_up():
            self._loop.call_soon_threadsafe(self._carrier.result().retire, pilot, reason)

    def lose(self, pilot: PilotId, reason: str) -> None:
        """Answer for all that is on a pilot of which its supply says that it is gone."""
        if self._loop is not None and not self._loop.is_closed() and self._is_up():
            self._loop.call_soon_threadsafe(self._carrier.result().lose, pilot, reason)

    def close(self, *, end_pilots: bool = True) -> None:
        """Kill what runs, as lost; leave the cluster, and end it if it is ours.

        Without `end_pilots`, what runs on pilots with supervisors goes on, unanswered.
        """
        if self._thread is None:
            return
        self._closing.set()
        if self._loop is not None and not self._loop.is_closed():
            if not end_pilots and self._is_up():
                self._loop.call_soon_threadsafe(self._carrier.result().spare_pilots)
            assert self._stop is not None
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._early is not None:
            self._early.close()
        self._thread.join()
        self._thread = None

    def _live(self) -> None:
        """Be the thread of the event loop, from open to close."""
        if self._closing.wait(self._after_s):
            return
        import asyncio  # noqa: PLC0415  slow to import, as all that follows

        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._carrier.done():
                raise
            self._report_stillbirth(error)

    async def _serve(self) -> None:
        import asyncio  # noqa: PLC0415  slow to import

        from euclid_dask.executors.dask import cluster, server  # noqa: PLC0415  slow to import

        assert self._inbox is not None
        self._stop = stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._closing.is_set():
            return
        if self._offer is not None:
            opened = cluster.embedded(self._inbox, self._slots)
        elif self._server is not None:
            opened = server.serving(self._inbox, self._server, self._adopted)
        else:
            opened = cluster.existing(
                self._inbox,
                str(self._address),
                timeout_s=self._timeout_s,
                patience_s=self._patience_s,
                adopted=self._adopted,
            )
        async with opened as carrier:
            self._carrier.set_result(carrier)
            await stop.wait()

    def _is_up(self) -> bool:
        return self._carrier.done() and self._carrier.exception() is None

    def _no_scheduler(self, error: Exception) -> SiteError:
        if isinstance(error, WorkdirError):
            return error
        if self._server is None:
            return SiteError(
                f"no Dask scheduler can be reached at {self._address}: {error}",
                hint="start one with `dask scheduler`, and workers with `dask worker`",
            )
        return SiteError(
            f"no Dask scheduler can be started for pilots: {error}",
            hint="see whether host, interface and port are this machine's, and free",
        )

    def _report_stillbirth(self, error: BaseException) -> None:
        if self._early is not None:
            log.error("Dask did not start: %s; tasks are carried without it", error)
        self._carrier.set_exception(error)

    def _lose(self, bundles: Sequence[BundleOrder]) -> None:
        assert self._inbox is not None
        for bundle in bundles:
            attempts = tuple((order.task, order.attempt) for order in bundle.orders)
            reason = "the executor is not open"
            self._inbox.put(AttemptsLost(run=bundle.place.run, attempts=attempts, reason=reason))
