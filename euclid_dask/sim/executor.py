"""The simulated executor, and the inbox whose waiting lets virtual time pass."""

from collections.abc import Sequence
from math import inf
from typing import Final

from euclid_dask.core.errors import InternalError
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.seams import AttemptsLost, BundleOrder, Inbox, News
from euclid_dask.runner.inbox import CancelNews
from euclid_dask.sim.world import World

VAIN_LIMIT: Final = 10_000
"""How often in a row a reader is woken without news before the simulation stands still."""


class SimulatedExecutor:
    """Joins a runner to a world."""

    def __init__(self, world: World) -> None:
        self._world = world

        self._adopted: Sequence[BundleOrder] = ()

    def adopt(self, bundles: Sequence[BundleOrder]) -> None:
        """Answer for bundles of an earlier runner: they are lost, as the world is a new one."""
        self._adopted = bundles

    def open(self, inbox: Inbox) -> None:
        """Offer the pilots of the world."""
        for bundle in self._adopted:
            attempts = tuple((order.task, order.attempt) for order in bundle.orders)
            reason = f"there is no pilot '{bundle.pilot}'"
            inbox.put(AttemptsLost(run=bundle.place.run, attempts=attempts, reason=reason))
        self._world.connect(inbox)

    def start(self, bundles: Sequence[BundleOrder]) -> None:
        """Take bundles to their pilots."""
        for bundle in bundles:
            self._world.carry(bundle)

    def cancel(
        self, run: RunId, attempts: Sequence[tuple[TaskId, int]], *, only_waiting: bool = False
    ) -> None:
        """Kill attempts; each still ends with its news."""
        self._world.cancel(run, attempts, only_waiting=only_waiting)

    def retire(self, pilot: PilotId, reason: str) -> None:
        """Do nothing: the simulated supply does it."""

    def lose(self, pilot: PilotId, reason: str) -> None:
        """Do nothing: the world says what its pilots take with them."""

    def close(self, *, end_pilots: bool = True) -> None:
        """End all that runs, as lost."""
        self._world.close()


class VirtualInbox:
    """An inbox whose reader waits in virtual time: the world goes on until there is news.

    With `patience_s` the reader is woken when so much virtual time has passed without news.
    """

    def __init__(self, world: World, patience_s: float = inf) -> None:
        self._world, self._patience_s = world, patience_s
        self._news: list[News | CancelNews] = []
        self._vain = 0

    def put(self, news: News | CancelNews) -> None:
        """Add `news`."""
        self._news.append(news)

    def take(self, timeout_s: float | None, apart_s: float = 0.0) -> list[News | CancelNews]:
        """Return all that is there; if nothing is, go to the time when something happens.

        Nothing waits for more: a turn takes no time of this world.

        Raises:
            InternalError: Nothing will ever happen: the planner has forgotten something, or no
                pilot will come.
        """
        while not self._news:
            if self._world.agenda.advance(self._patience_s):
                continue
            self._vain += 1
            if self._patience_s == inf or self._vain > VAIN_LIMIT:
                raise InternalError("the simulation stands still: nothing will ever happen")
            return []
        self._vain = 0
        news, self._news = self._news, []
        return news
