"""Where everything that happens is put, and the one thread that takes it out."""

from queue import Empty, SimpleQueue
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

    def take(self, timeout_s: float | None) -> list[News | CancelNews]:
        """Return all that is there; wait for the first at most `timeout_s` seconds."""


class QueueInbox:
    """An inbox for any number of writers and one reader."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[News | CancelNews] = SimpleQueue()

    def put(self, news: News | CancelNews) -> None:
        """Add `news`; never blocks."""
        self._queue.put(news)

    def take(self, timeout_s: float | None) -> list[News | CancelNews]:
        """Return all that is there; wait for the first at most `timeout_s` seconds."""
        try:
            found = [self._queue.get(timeout=timeout_s)]
        except Empty:
            return []
        try:
            while True:
                found.append(self._queue.get_nowait())
        except Empty:
            return found
