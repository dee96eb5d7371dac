"""The link of a Dask worker to its supervisor, seen by a supervisor that only writes and reads."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from euclid_dask.core.attempts import Order, Place, Receipt
from euclid_dask.core.events import PilotJoined
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import AttemptEnded, BundleOrder, News
from euclid_dask.executors.dask.link import Link
from euclid_dask.worker.link import read_line, write_line

RUN, PILOT = RunId("r"), PilotId("p")
PLACE = Place(run=RUN, workdir="/w", logdir="l", records="/r")
PATIENCE_S = 60.0


def _bundle(task: str) -> BundleOrder:
    order = Order(
        task=TaskId(task),
        attempt=1,
        executable="sh",
        command=("sh",),
        inputs=(),
        outputs=(),
        needs=Resources(),
    )
    return BundleOrder(pilot=PILOT, place=PLACE, orders=(order,))


def _ended(task: str) -> AttemptEnded:
    return AttemptEnded(run=RUN, receipt=Receipt(task=TaskId(task), attempt=1, command=()))


class Supervisor:
    """The other end of a link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, news: News) -> None:
        self._writer.write(write_line(news))

    async def hear(self) -> object:
        return read_line((await self._reader.readline())[:-1])

    def go(self) -> None:
        self._writer.close()


Act = Callable[[Link, Supervisor], Awaitable[None]]


@pytest.fixture
def linked(tmp_path: Path) -> Callable[[Act], None]:
    """Return a function that has something be done with both ends of a link."""

    async def live(act: Act) -> None:
        met: asyncio.Queue[Supervisor] = asyncio.Queue()
        path = tmp_path / "door"

        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            supervisor = Supervisor(reader, writer)
            supervisor.say(PilotJoined(pilot=PILOT, offer=Resources(), slots=1, at_s=0.0))
            met.put_nowait(supervisor)

        async with await asyncio.start_unix_server(meet, path):
            link = await Link.open(path)
            supervisor = await met.get()
            listening = asyncio.create_task(link.listen())
            await asyncio.wait_for(act(link, supervisor), PATIENCE_S)
            supervisor.go()
            link.close()
            listening.cancel()

    return lambda act: asyncio.run(live(act))


def test_bundles_are_waited_for_on_the_event_loop_each_until_its_own_end(
    linked: Callable[[Act], None],
) -> None:
    async def act(link: Link, supervisor: Supervisor) -> None:
        told: list[News] = []
        link.introduce("topic", told.append)
        first, second = (asyncio.create_task(link.carry(_bundle(task))) for task in ("a", "b"))
        assert [await supervisor.hear(), await supervisor.hear()] == [_bundle("a"), _bundle("b")]
        supervisor.say(_ended("b"))
        await second
        assert told[-1] == _ended("b")
        assert not first.done()
        supervisor.say(_ended("a"))
        await first

    linked(act)


def test_no_bundle_is_waited_for_when_the_supervisor_has_gone(
    linked: Callable[[Act], None],
) -> None:
    async def act(link: Link, supervisor: Supervisor) -> None:
        waiting = asyncio.create_task(link.carry(_bundle("a")))
        await supervisor.hear()
        supervisor.go()
        await waiting
        assert link.closed.is_set()
        await link.carry(_bundle("b"))

    linked(act)
