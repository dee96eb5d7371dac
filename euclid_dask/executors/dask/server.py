"""A Dask scheduler in this process for pilots that come to it, from any host.

Only those join who hold the files of the workspace's own authority (`security`): whoever may talk
to a scheduler may run programs as its user. That goes for this host too, which others may use.
"""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import dask.config
from distributed import Scheduler

from euclid_dask.core.errors import SiteError
from euclid_dask.core.seams import BundleOrder, Inbox
from euclid_dask.executors.dask import page
from euclid_dask.executors.dask.address import write_address
from euclid_dask.executors.dask.carrier import Carrier
from euclid_dask.executors.dask.cluster import GRACE_S, connect, new_topic, quiet
from euclid_dask.executors.dask.config import CONFIG
from euclid_dask.executors.dask.pilot import Announcer
from euclid_dask.executors.dask.security import make_membership
from euclid_dask.executors.server import Server

BEATS: Final = 20
"""The most heartbeats a second; they only tell how workers are, for Dask's pages."""

COLLECT_AFTER: Final = 10_000
"""Python looks for cycles of garbage when there are so many new objects."""


class PilotScheduler(Scheduler):
    """A scheduler for a thousand pilots, in the process of the runner.

    It does not tell all workers when one goes, since none knows of another: else a thousand pilots
    that go at once have it work for a minute, and take half a gigabyte. That a worker may forget a
    result of ours, which is nothing, is told with the next message to it. Events of a topic
    in `hearers` go straight there, instead of into a log and to a client.
    """

    def __init__(self, **options: Any) -> None:
        self.hearers: dict[str, Callable[[tuple[float, Any]], None]] = {}
        self._forgettable: dict[str, list[dict[str, Any]]] = {}
        super().__init__(**options)

    def worker_send(self, worker: str, msg: dict[str, Any]) -> None:
        """Send a message to a worker."""
        if msg["op"] != "remove-worker":
            super().worker_send(worker, msg)

    def send_all(
        self,
        client_msgs: dict[str, list[dict[str, Any]]],
        worker_msgs: dict[str, list[dict[str, Any]]],
    ) -> None:
        """Send messages to clients and workers."""
        due: dict[str, list[dict[str, Any]]] = {}
        for worker, messages in worker_msgs.items():
            if all(message["op"] == "free-keys" for message in messages):
                if worker in self.workers:
                    self._forgettable.setdefault(worker, []).extend(messages)
            else:
                due[worker] = [*self._forgettable.pop(worker, ()), *messages]
        super().send_all(client_msgs, due)

    def heartbeat_worker(self, **said: Any) -> dict[str, Any]:
        """Take note of how a worker is; the answer says when it is to come again."""
        answer: dict[str, Any] = super().heartbeat_worker(**said)
        if "heartbeat-interval" in answer:
            answer["heartbeat-interval"] = max(
                answer["heartbeat-interval"], len(self.workers) / BEATS
            )
        return answer

    async def remove_worker(self, address: str, **options: Any) -> Any:
        """Remove a worker, and what was to be told to it."""
        self._forgettable.pop(address, None)
        return await super().remove_worker(address, **options)

    def log_event(self, topic: str | Collection[str], msg: Any) -> None:
        """Log an event, unless there is who hears it."""
        hear = self.hearers.get(topic) if isinstance(topic, str) else None
        if hear is None:
            super().log_event(topic, msg)
        else:
            asyncio.get_running_loop().call_soon(hear, (0.0, msg))


@asynccontextmanager
async def serving(
    inbox: Inbox, server: Server, adopted: Sequence[BundleOrder]
) -> AsyncIterator[Carrier]:
    """Be a scheduler that writes its address where pilots look for it, and its client."""
    # that workers go is no news to anybody
    with quiet(logging.ERROR), dask.config.set(CONFIG), _collecting_seldom():
        scheduler = await _start(server)
        page.serve_when_asked(scheduler)
        inner, outer = (listener.contact_address for listener in scheduler.listeners)
        client = await connect(inner, 30.0)
        carrier = Carrier(
            client,
            inbox,
            topic=new_topic(),
            in_process=False,
            dashboard_address=f"http://127.0.0.1:{scheduler.http_server.port}/status",
            adopted=adopted,
        )
        scheduler.hearers |= {"all": carrier.watch, carrier.topic: carrier.receive}
        await client.register_plugin(Announcer(carrier.topic))
        write_address(server.folder, outer, scheduler.id)
        try:
            yield carrier
        finally:
            await carrier.close(GRACE_S)
            scheduler.hearers.clear()  # nobody is there for what pilots still tell
            await client.close()
            await scheduler.close()


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Look for cycles of garbage more seldom, as Dask does in the process of a scheduler.

    Else that takes a sixth of the time, since what is on its way counts as garbage that may be.
    """
    before = gc.get_threshold()
    gc.set_threshold(before[0] and max(COLLECT_AFTER, before[0]), *before[1:])  # 0 is never
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _start(server: Server) -> Any:
    """Return a scheduler that listens; our own client talks to it inside this process."""
    try:
        return await PilotScheduler(
            protocol=["inproc", "tls"],
            host=[None, server.host or None],
            interface=[None, server.interface or None],
            port=[0, server.port],
            security=make_membership(server.folder),
            dashboard=False,
            dashboard_address="127.0.0.1:0",
        )
    except RuntimeError as error:  # Dask's own, for whatever happened
        raise SiteError(str(error.__cause__ or error)) from error
