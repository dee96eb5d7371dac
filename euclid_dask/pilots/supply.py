"""The supply of pilots from a batch system: the thread in which its commands run."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Final

from euclid_dask.core.errors import EuclidDaskError
from euclid_dask.core.events import PilotEvent
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.seams import BatchSystem, Inbox
from euclid_dask.pilots.names import JobNames
from euclid_dask.pilots.reconciler import Pace, Reconciler, Script

log = logging.getLogger(__name__)

_FAREWELL_S: Final = 20.0


class BatchSupply:
    """Has pilots come and go as jobs of a batch system; see `PilotSupply`.

    Everything is handed to one thread, which asks the batch system.

    Args:
        batch: The batch system.
        names: How jobs are named after pilots.
        script: Writes job scripts.
        pace: How often the batch system is asked.
    """

    def __init__(self, batch: BatchSystem, *, names: JobNames, script: Script, pace: Pace) -> None:
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._inbox: Inbox | None = None
        self._pace = pace
        self._closing = Event()
        self._thread: Thread | None = None
        self._reconciler = Reconciler(
            batch, names=names, script=script, tell=self._tell, time=monotonic, pace=pace
        )

    def open(self, inbox: Inbox, believed: Mapping[PilotId, JobId]) -> None:
        """Take over pilots of an earlier runner, and begin to report.

        Raises:
            BatchError: The batch system refuses to be asked. That it cannot be asked now is none.
        """
        self._inbox = inbox
        self._reconciler.believe(believed)
        due_in_s = self._reconciler.step()
        self._thread = Thread(target=self._live, args=(due_in_s,), name="pilots", daemon=True)
        self._thread.start()

    def request(self, pilot: PilotId, template: str, avoid: Sequence[str] = ()) -> None:
        """Submit a job that becomes this pilot, on none of the hosts `avoid`."""
        self._asked.put(partial(self._reconciler.request, pilot, template, avoid))

    def retire(self, pilot: PilotId, reason: str, *, joined: bool) -> None:
        """Cancel a pilot that has not joined; one that has leaves on its own, when told."""
        if not joined:
            self._asked.put(partial(self._reconciler.cancel, pilot, reason))

    def close(self, *, end_pilots: bool) -> None:
        """Stop reporting; with `end_pilots` cancel all pilots."""
        if self._thread is None:
            return
        self._closing.set()
        self._asked.put(lambda: None)
        self._thread.join()
        self._thread = None
        if end_pilots:
            self._end_pilots()

    def _live(self, due_in_s: float) -> None:
        """Be the thread: do what is asked for and what is due, until closed."""
        while not self._closing.is_set():
            self._take(due_in_s)
            if self._closing.is_set():
                return
            try:
                due_in_s = self._reconciler.step()
            except (EuclidDaskError, OSError) as error:
                log.error("the batch system cannot be asked: %s", error)  # noqa: TRY400
                due_in_s = self._pace.poll_s

    def _take(self, timeout_s: float) -> None:
        """Wait until something is asked for, at most so long; take all of it."""
        try:
            self._asked.get(timeout=timeout_s)()
            while True:
                self._asked.get_nowait()()
        except Empty:
            return

    def _end_pilots(self) -> None:
        """Cancel all jobs; those that cannot be end when they have been idle for long enough."""
        self._take(0.0)
        until_s = monotonic() + _FAREWELL_S
        try:
            while not self._reconciler.cancel_all("the run has ended") and monotonic() < until_s:
                Event().wait(self._pace.watch_s)
        except (EuclidDaskError, OSError) as error:
            log.warning("pilots may be left until they end on their own: %s", error)

    def _tell(self, event: PilotEvent) -> None:
        assert self._inbox is not None
        self._inbox.put(event)
