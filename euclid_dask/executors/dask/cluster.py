"""Start a Dask cluster in this process, or find one; give a `Carrier` for it."""

import asyncio
import logging
import warnings
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import dask.config
from distributed import Client, Scheduler, Worker
from distributed.utils import silence_logging_cmgr

from euclid_dask.core.amounts import duration_text
from euclid_dask.core.ids import PilotId
from euclid_dask.core.seams import BundleOrder, ExecutorGone, Inbox
from euclid_dask.executors.dask import page
from euclid_dask.executors.dask.carrier import SUBSCRIBED, Carrier, Contact
from euclid_dask.executors.dask.config import CONFIG
from euclid_dask.executors.dask.pilot import Announcer

LOCAL: Final = PilotId("local")

_BATCH_S: Final = 0.001
GRACE_S: Final = 30.0
_SPARE_THREADS: Final = 2
_LOOK_S: Final = 0.5
_GONE: Final = "the Dask scheduler has gone"
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
    inbox: Inbox,
    address: str,
    *,
    timeout_s: float,
    patience_s: float,
    adopted: Sequence[BundleOrder] = (),
) -> AsyncIterator[Carrier]:
    """Be a client of the scheduler at `address`, whose workers are announced as pilots.

    If it goes, it is waited for for `patience_s` seconds.
    """
    with quiet(logging.CRITICAL):  # what there is to say of a scheduler that goes, we say ourselves
        client = await connect(address, timeout_s)
        carrier = Carrier(client, inbox, topic=new_topic(), in_process=False, adopted=adopted)
        await enrol(carrier)
        watch = asyncio.create_task(_watch(carrier, inbox, address, timeout_s, patience_s))
        try:
            yield carrier
        finally:
            while not watch.done():  # a client that is closing swallows what cancels it
                watch.cancel()
                await asyncio.wait([watch], timeout=_LOOK_S)
            await carrier.close(GRACE_S)
            await _leave(carrier)


async def enrol(carrier: Carrier) -> None:
    """Have all workers, those that come later too, announce themselves."""
    client, topic = carrier.client, carrier.topic
    carrier.subscribed.clear()
    client.subscribe_topic("all", carrier.watch)
    client.subscribe_topic(topic, carrier.receive)
    while not carrier.subscribed.is_set():  # else the plugin might overtake the subscription
        await client.log_event(topic, SUBSCRIBED)
        await asyncio.sleep(_ECHO_S)
    await client.register_plugin(Announcer(topic))


async def _leave(carrier: Carrier) -> None:
    """Leave the cluster as it was, if it is there."""
    client = carrier.client
    if client.status == "running":
        client.unsubscribe_topic("all")
        await client.unregister_worker_plugin(Announcer(carrier.topic).name)
    await client.close()


async def _watch(
    carrier: Carrier, inbox: Inbox, address: str, timeout_s: float, patience_s: float
) -> None:
    """Take back all pilots when the scheduler goes; connect and enrol again when it is back."""
    is_there = True
    while is_there:
        client = carrier.client
        connection = client.scheduler_comm
        carrier.dashboard_address = await page.find(client.dashboard_link)
        while not _is_lost(client, connection):  # noqa: ASYNC110 - Dask tells nobody
            await asyncio.sleep(_LOOK_S)
        log.warning("%s; it is waited for, %s at most", _GONE, duration_text(patience_s))
        carrier.leave_all(_GONE)
        is_there = await _return(carrier, address, timeout_s, patience_s)
    reason = f"no Dask scheduler was at {address} for {duration_text(patience_s)}"
    hint = f"when it is back, go on with the run, with --executor {address}"
    inbox.put(ExecutorGone(reason=reason, hint=hint))


def _is_lost(client: Any, connection: Any) -> bool:
    """Tell whether a connection to the scheduler is lost, be it that Dask has made another one."""
    return connection is None or connection is not client.scheduler_comm or connection.closed()


async def _return(carrier: Carrier, address: str, timeout_s: float, patience_s: float) -> bool:
    """Wait for the scheduler, and join it as somebody new; tell whether it came.

    Dask's client would come back for a while only, and by a name that the scheduler may still
    have to forget, with all that it was told under it.
    """
    until_s = monotonic() + patience_s
    await carrier.client.close()
    while (left_s := until_s - monotonic()) > 0:
        try:
            carrier.client = await connect(address, min(timeout_s, left_s))  # backs off
            await asyncio.wait_for(enrol(carrier), timeout_s)
        except OSError:
            await carrier.client.close()
            await asyncio.sleep(_LOOK_S)
        else:
            log.warning("the Dask scheduler is back")
            return True
    return False


async def connect(address: str, timeout_s: float) -> Any:
    """Return a client of the scheduler at `address`, on this event loop."""
    client: Any = Client(  # type: ignore[no-untyped-call]
        address, asynchronous=True, set_as_default=False, timeout=timeout_s
    )
    try:
        return await client
    except asyncio.CancelledError:
        await client.close()
        raise


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
