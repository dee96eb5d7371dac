"""Start a Dask cluster in this process, or find one; give a `Carrier` for it."""

import asyncio
import logging
import warnings
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final
from uuid import uuid4

import dask.config
from distributed import Client, Scheduler, Worker
from distributed.utils import silence_logging_cmgr

from euclid_dask.core.ids import PilotId
from euclid_dask.core.seams import BundleOrder, Inbox
from euclid_dask.executors.dask import page
from euclid_dask.executors.dask.carrier import SUBSCRIBED, Carrier, Contact
from euclid_dask.executors.dask.config import CONFIG
from euclid_dask.executors.dask.pilot import Announcer

LOCAL: Final = PilotId("local")

_BATCH_S: Final = 0.001
GRACE_S: Final = 30.0
_SPARE_THREADS: Final = 2
_LOOK_S: Final = 0.5
_ECHO_S: Final = 0.01

log = logging.getLogger(__name__)


@asynccontextmanager
async def embedded(inbox: Inbox, slots: int) -> AsyncIterator[Carrier]:
    """Be a scheduler, one worker and a client on this event loop: the pilot "local"."""
    with quiet():
        with dask.config.set(CONFIG):
            scheduler = await Scheduler(
                protocol="inproc", dashboard=False, dashboard_address="127.0.0.1:0"
            )
            page.serve_when_asked(scheduler)
            worker = await Worker(
                scheduler.address,
                name=str(LOCAL),
                nthreads=slots + _SPARE_THREADS,
                memory_limit=0,
                dashboard=False,
                dashboard_address="127.0.0.1:0",
            )
            client = await connect(scheduler.address, 30.0)
        _hasten(scheduler, worker, client)
        url = f"http://127.0.0.1:{scheduler.http_server.port}/status"
        carrier = Carrier(client, inbox, topic=new_topic(), in_process=True, dashboard_address=url)
        carrier.reach(LOCAL, Contact(worker.address))
        try:
            yield carrier
        finally:
            await carrier.close(GRACE_S)
            await client.close()
            await worker.close(nanny=False)
            await scheduler.close()


@asynccontextmanager
async def existing(
    inbox: Inbox, address: str, timeout_s: float, adopted: Sequence[BundleOrder]
) -> AsyncIterator[Carrier]:
    """Be a client of the scheduler at `address`, whose workers are announced as pilots."""
    with quiet():
        client = await connect(address, timeout_s)
        topic = new_topic()
        carrier = Carrier(
            client,
            inbox,
            topic=topic,
            in_process=False,
            dashboard_address=client.dashboard_link,
            adopted=adopted,
        )
        await enrol(client, carrier, topic)
        watch = asyncio.create_task(_watch_scheduler(client, carrier, topic))
        try:
            yield carrier
        finally:
            watch.cancel()
            await carrier.close(GRACE_S)
            if client.status == "running":
                client.unsubscribe_topic("all")
                await client.unregister_worker_plugin(Announcer(topic).name)
            await client.close()


async def enrol(client: Any, carrier: Carrier, topic: str) -> None:
    """Have all workers, those that come later too, announce themselves."""
    carrier.subscribed.clear()
    client.subscribe_topic("all", carrier.watch)
    client.subscribe_topic(topic, carrier.receive)
    while not carrier.subscribed.is_set():  # else the plugin might overtake the subscription
        await client.log_event(topic, SUBSCRIBED)
        await asyncio.sleep(_ECHO_S)
    await client.register_plugin(Announcer(topic))


async def _watch_scheduler(client: Any, carrier: Carrier, topic: str) -> None:
    """Take back all pilots when the scheduler goes; enrol them again when it is back."""
    gone = False
    while client.status != "closed":
        await asyncio.sleep(_LOOK_S)
        if client.status != "running" and not gone:
            gone = True
            log.warning("the Dask scheduler has gone")
            carrier.leave_all("the Dask scheduler has gone")
        elif client.status == "running" and gone:
            gone = False
            await enrol(client, carrier, topic)


async def connect(address: str, timeout_s: float) -> Any:
    """Return a client of the scheduler at `address`, on this event loop."""
    return await Client(  # type: ignore[no-untyped-call]
        address, asynchronous=True, set_as_default=False, timeout=timeout_s
    )


def _hasten(scheduler: Scheduler, worker: Worker, client: Any) -> None:
    """Shorten the time for which messages are held back to be sent together.

    This is a plain attribute, not documented API; without it a hop takes 6 ms more.
    """
    streams: Iterable[Any] = (
        client.scheduler_comm,
        worker.batched_stream,
        *scheduler.stream_comms.values(),
        *scheduler.client_comms.values(),
    )
    for stream in streams:
        if hasattr(stream, "interval"):
            stream.interval = _BATCH_S


@contextmanager
def quiet(level: int = logging.WARNING) -> Iterator[None]:
    """Keep Dask's chatter below a level, and its complaint about a missing network."""
    with silence_logging_cmgr(level), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Couldn't detect a suitable IP", RuntimeWarning)
        yield


def new_topic() -> str:
    """Return a name for an event stream of our own."""
    return f"euclid-dask-{uuid4().hex[:12]}"
