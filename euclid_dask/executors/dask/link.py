"""A Dask worker's link to the supervisor of its pilot: it hands over bundles and passes on news.

The link knows what the supervisor carries, from what it was told on joining and since. All
methods belong to the event loop's thread, but for `ask`.
"""

import asyncio
from asyncio import AbstractEventLoop, StreamReader, StreamWriter
from collections.abc import Callable
from pathlib import Path
from typing import Self

from euclid_dask.core.events import PilotJoined, PilotLeft
from euclid_dask.core.seams import BundleOrder, News
from euclid_dask.core.values import replace
from euclid_dask.worker.bundle import AttemptKey, attempt_keys
from euclid_dask.worker.link import Request, answered, read_line, write_line

_LONGEST_LINE = 1 << 26

Tell = Callable[[News], None]


class _Handed:
    """A bundle that a Dask task has handed over and waits for."""

    def __init__(self, bundle: BundleOrder) -> None:
        self.open = set(attempt_keys(bundle))
        self.over = asyncio.Event()


class Link:
    """An open link. `closed` is done when the supervisor has gone or left."""

    def __init__(self, loop: AbstractEventLoop, reader: StreamReader, writer: StreamWriter) -> None:
        self.closed = asyncio.Event()
        self._loop = loop
        self._reader = reader
        self._writer = writer
        self._pilot: PilotJoined | None = None
        self._carried: dict[AttemptKey, _Handed | None] = {}
        self._listeners: dict[str, Tell] = {}
        self._unheard: list[News] = []

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Connect to the supervisor, and hear what it carries."""
        reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST_LINE)
        link = cls(asyncio.get_running_loop(), reader, writer)
        while link._pilot is None:
            link._note(await link._hear())
        return link

    async def listen(self) -> None:
        """Pass on what the supervisor tells, until it goes."""
        try:
            while not self.closed.is_set():
                self._note(await self._hear())
        except (OSError, ValueError, EOFError):
            self.close()

    def close(self) -> None:
        """Let go of the supervisor, and of all Dask tasks that wait for it."""
        self.closed.set()
        self._writer.close()
        self.let_go()

    def let_go(self) -> None:
        """Let no Dask task wait any longer, since the Dask worker goes."""
        self._listeners.clear()
        for handed in self._carried.values():
            if handed is not None:
                handed.over.set()

    def introduce(self, topic: str, tell: Tell) -> None:
        """Tell somebody what was not heard yet and what runs here; then all that comes."""
        assert self._pilot is not None
        unheard, self._unheard = self._unheard, []
        for news in unheard:
            tell(news)
        tell(replace(self._pilot, carrying=tuple(self._carried)))
        self._listeners[topic] = tell

    async def carry(self, bundle: BundleOrder) -> None:
        """Hand over a bundle, and wait until it is answered or the link is closed."""
        if self.closed.is_set():
            return
        handed = _Handed(bundle)
        self._carried.update(dict.fromkeys(handed.open, handed))
        self._write(bundle)
        await handed.over.wait()

    def ask(self, request: Request) -> None:
        """Pass a request on to the supervisor."""
        self._loop.call_soon_threadsafe(self._write, request)

    def _write(self, request: Request) -> None:
        if not self.closed.is_set():
            self._writer.write(write_line(request))

    async def _hear(self) -> News:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        message = read_line(line[:-1])
        if isinstance(message, Request):
            raise ValueError("a supervisor asks for nothing")  # noqa: TRY004 - a bad line
        return message

    def _note(self, news: News) -> None:
        if isinstance(news, PilotJoined):
            self._pilot = news
            self._carried = dict.fromkeys(news.carrying)
            return
        for key in answered(news):
            handed = self._carried.pop(key, None)
            if handed is not None:
                handed.open.discard(key)
                if not handed.open:
                    handed.over.set()  # who waits goes on after the news of it has left
        for tell in self._listeners.values():
            tell(news)
        if not self._listeners:
            self._unheard.append(news)
        if isinstance(news, PilotLeft):
            self.close()
