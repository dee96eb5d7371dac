"""Where everything that happens is put, and the one thread that takes it out."""

from math import inf
from queue import Empty, SimpleQueue
from time import monotonic, sleep  # noqa: TID251 - it is here that a runner waits
from typing import Protocol

from euclid_dask.core.seams import News
from euclid_dask.core.values import Value


class CancelNews(Value, frozen=True, kw_only=True):
    """News: somebody wants all runs of this runner to end; `now` kills what runs."""

    reason: str
    now: bool = False


class TakingInbox(Protocol):
    """An inbox with its one reader's side."""

    def put(self, news: News | CancelNews) -> None:
        """Add `news`; never blocks."""

    def take(self, timeout_s: float | None, apart_s: float = 0.0) -> list[News | CancelNews]:
        """Return all that is there; wait for the first at most `timeout_s` seconds.

        What comes less than `apart_s` seconds after what was taken before waits for more.
        """


class QueueInbox:
    """An inbox for any number of writers and one reader."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[News | CancelNews] = SimpleQueue()
        self._taken_s = -inf

    def put(self, news: News | CancelNews) -> None:
        """Add `news`; never blocks."""
        self._queue.put(news)

    def take(self, timeout_s: float | None, apart_s: float = 0.0) -> list[News | CancelNews]:
        """Return all that is there; wait for the first at most `timeout_s` seconds.

        What comes less than `apart_s` seconds after what was taken before waits for more.
        """
        try:
            found = [self._queue.get(timeout=timeout_s)]
        except Empty:
            return []
        if (left_s := self._taken_s + apart_s - monotonic()) > 0:
            sleep(left_s)
        self._taken_s = monotonic()
        try:
            while True:
                found.append(self._queue.get_nowait())
        except Empty:
            return found
