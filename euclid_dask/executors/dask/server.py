"""A Dask scheduler in this process for pilots that come to it, from any host.

Only those join who hold the files of the workspace's own authority (`security`): whoever may talk
to a scheduler may run programs as its user. That goes for this host too, which others may use.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import dask.config
from distributed import Scheduler

from euclid_dask.core.errors import SiteError
from euclid_dask.core.seams import BundleOrder, Inbox
from euclid_dask.executors.dask import page
from euclid_dask.executors.dask.address import write_address
from euclid_dask.executors.dask.carrier import Carrier
from euclid_dask.executors.dask.cluster import GRACE_S, connect, enrol, new_topic, quiet
from euclid_dask.executors.dask.config import CONFIG
from euclid_dask.executors.dask.security import make_membership
from euclid_dask.executors.server import Server


class PilotScheduler(Scheduler):
    """A scheduler that does not tell all workers when one goes, since none knows of another.

    Else a thousand pilots that go at once have it work for a minute, and take half a gigabyte.
    """

    def worker_send(self, worker: str, msg: dict[str, Any]) -> None:
        """Send a message to a worker."""
        if msg["op"] != "remove-worker":
            super().worker_send(worker, msg)


@asynccontextmanager
async def serving(
    inbox: Inbox, server: Server, adopted: Sequence[BundleOrder]
) -> AsyncIterator[Carrier]:
    """Be a scheduler that writes its address where pilots look for it, and its client."""
    with quiet(logging.ERROR), dask.config.set(CONFIG):  # that workers go is no news to anybody
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
        await enrol(carrier)
        write_address(server.folder, outer, scheduler.id)
        try:
            yield carrier
        finally:
            await carrier.close(GRACE_S)
            for one in ("all", carrier.topic):  # else what pilots still tell cannot be delivered
                client.unsubscribe_topic(one)
            await client.close()
            await scheduler.close()


async def _start(server: Server) -> Any:
    """Return a scheduler that listens; our own client talks to it inside this process."""
    try:
        return await PilotScheduler(
            protocol=["inproc", "tls"],  # type: ignore[arg-type]
            host=[None, server.host or None],  # type: ignore[arg-type]
            interface=[None, server.interface or None],  # type: ignore[arg-type]
            port=[0, server.port],  # type: ignore[arg-type]
            security=make_membership(server.folder),
            dashboard=False,
            dashboard_address="127.0.0.1:0",
        )
    except RuntimeError as error:  # Dask's own, for whatever happened
        raise SiteError(str(error.__cause__ or error)) from error
