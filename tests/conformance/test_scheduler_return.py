"""A scheduler of somebody else that goes, and what becomes of its clients, the runs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any

import pytest
from distributed import Scheduler, Worker
from ports import free_ports

from euclid_dask.core.events import PilotJoined, PilotLeft
from euclid_dask.core.seams import AttemptEnded, ExecutorGone
from euclid_dask.executors.dask import page
from euclid_dask.executors.dask.cluster import existing

pytestmark = pytest.mark.dask

CONNECTS_S = 1.0
"""How long Dask's own client tries to connect again."""


class Box(list[Any]):
    """An inbox that can be waited for."""

    put = list.append

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(100.0):
            while not (found := [news for news in self if wanted(news)]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return found[0]

    async def joined(self, worker: Worker) -> Any:
        return await self.until(
            lambda news: isinstance(news, PilotJoined) and news.pilot == worker.address
        )

    async def left(self, worker: Worker) -> None:
        await self.until(lambda news: isinstance(news, PilotLeft) and news.pilot == worker.address)

    async def gone(self) -> Any:
        return await self.until(lambda news: isinstance(news, ExecutorGone))


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """Return what Dask's loggers write where users see it."""
    logger, handler = logging.getLogger("distributed"), logging.StreamHandler(StringIO())
    handler.setLevel(logging.ERROR)
    logger.addHandler(handler)
    yield handler.stream
    logger.removeHandler(handler)


@asynccontextmanager
async def scheduler(port: int = 0, **options: Any) -> AsyncIterator[Scheduler]:
    """Be a scheduler with a page of its own; port 0 is any."""
    address = {"dashboard_address": "127.0.0.1:0", **options}
    async with Scheduler(host="127.0.0.1", port=port, **address) as one:
        yield one


def worker(of: Scheduler) -> Worker:
    return Worker(of.address, dashboard_address="127.0.0.1:0", dashboard=False)


@pytest.mark.parametrize("away_s", [0.0, 2 * CONNECTS_S])
def test_a_scheduler_that_returns_has_its_workers_run_tasks_again(
    bench: Any, logged: StringIO, away_s: float
) -> None:
    async def lives() -> None:
        box = Box()
        port = free_ports()
        async with scheduler(port) as first:
            address = first.address
            client = existing(box, address, timeout_s=CONNECTS_S, patience_s=60.0)
            carrier = await client.__aenter__()
            async with worker(first) as one:
                await box.joined(one)
        await box.left(one)
        await asyncio.sleep(away_s)
        async with scheduler(port) as second, worker(second) as other:
            bench.pilots.append(await box.joined(other))
            carrier.send([bench.bundle(bench.order("t", "true"))])
            await box.until(lambda news: isinstance(news, AttemptEnded))
            await client.__aexit__(None, None, None)

    asyncio.run(lives())
    assert logged.getvalue() == ""


def test_a_scheduler_that_stays_away_ends_what_waits_for_it(logged: StringIO) -> None:
    async def lives() -> Any:
        box = Box()
        async with scheduler() as one:
            client = existing(box, one.address, timeout_s=CONNECTS_S, patience_s=1.0)
            await client.__aenter__()
        gone = await box.gone()
        await client.__aexit__(None, None, None)
        return one.address, gone

    address, gone = asyncio.run(lives())
    assert gone.reason == f"no Dask scheduler was at {address} for 1s"
    assert logged.getvalue() == ""


def test_who_leaves_while_the_scheduler_is_away_is_told_nothing_by_dask(logged: StringIO) -> None:
    async def lives() -> None:
        box = Box()
        async with scheduler() as one:
            client = existing(box, one.address, timeout_s=30.0, patience_s=60.0)
            await client.__aenter__()
            async with worker(one) as pilot:
                await box.joined(pilot)
        await box.left(pilot)
        await client.__aexit__(None, None, None)

    asyncio.run(lives())
    assert logged.getvalue() == ""


@pytest.mark.parametrize("has_page", [True, False])
def test_the_dashboard_is_told_of_only_if_the_scheduler_has_one(has_page: bool) -> None:
    async def lives() -> tuple[str, str]:
        async with scheduler(dashboard=has_page) as one:
            url = f"http://127.0.0.1:{one.http_server.port}/status"
            return await page.find(url), url

    found, url = asyncio.run(lives())
    assert found == (url if has_page else "")


def test_a_dashboard_that_cannot_be_reached_is_not_told_of() -> None:
    assert asyncio.run(page.find("http://127.0.0.1:1/status")) == ""
