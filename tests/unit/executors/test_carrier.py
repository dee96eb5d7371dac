"""How bundles go to Dask, seen by a client that only takes notes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from euclid_dask.core.attempts import Order, Place
from euclid_dask.core.events import PilotJoined
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import BundleOrder
from euclid_dask.executors.dask.carrier import Carrier, Contact

PLACE = Place(run=RunId("run"), workdir="/w", logdir="logs", records="/w/records")


class Future:
    """A future of Dask."""

    def __init__(self) -> None:
        self.status = "pending"
        self.released = False

    def done(self) -> bool:
        return self.status != "pending"

    def release(self) -> None:
        self.released = True


class Client:
    """A client of Dask that takes notes."""

    def __init__(self) -> None:
        self.graphs: list[Any] = []
        self.submitted: list[Any] = []
        self.futures: dict[Any, Future] = {}

    def get(self, graph: Any, keys: list[Any], **_: object) -> list[Future]:
        self.graphs.append(graph)
        self.futures |= {key: Future() for key in keys}
        return [self.futures[key] for key in keys]

    def submit(self, *words: Any, key: Any, **options: Any) -> Future:
        self.submitted.append((words, options))
        self.futures[key] = Future()
        return self.futures[key]


class Box(list[Any]):
    """An inbox."""

    put = list.append


def _bundle(number: int) -> BundleOrder:
    order = Order(
        task=TaskId(f"t{number}"),
        attempt=1,
        executable="sh",
        command=("sh",),
        inputs=(),
        outputs=(),
        needs=Resources(),
    )
    return BundleOrder(pilot=PilotId(f"p{number}"), place=PLACE, orders=(order,))


@pytest.fixture
def carry() -> Callable[[Callable[[Carrier, Client], Any]], Box]:
    """Return a function that has something be done with a carrier of three supervised pilots."""

    def carry(act: Callable[[Carrier, Client], Any]) -> Box:
        box, client = Box(), Client()

        async def live() -> None:
            carrier = Carrier(client, box, topic="x", in_process=False, dashboard_address="")
            for number in range(3):
                joined = PilotJoined(
                    pilot=PilotId(f"p{number}"), offer=Resources(), slots=1, at_s=0.0
                )
                carrier.join(joined, Contact(f"tls://h:{number}", f"w{number}"))
            await act(carrier, client)

        asyncio.run(live())
        return box

    return carry


def test_bundles_of_many_pilots_are_one_layer_of_tasks_pinned_to_each(carry: Any) -> None:
    async def act(carrier: Carrier, client: Client) -> None:
        carrier.send([_bundle(number) for number in range(3)])
        (graph,) = client.graphs
        (layer,) = graph.layers.values()
        pin = layer.annotations["workers"]
        assert [pin(key) for key in layer] == [["tls://h:0"], ["tls://h:1"], ["tls://h:2"]]
        assert layer.annotations["allow_other_workers"] is False

    carry(act)


def test_a_bundle_by_itself_is_submitted_without_a_graph(carry: Any) -> None:
    async def act(carrier: Carrier, client: Client) -> None:
        carrier.send([_bundle(1)])
        (((function, _, worker), options),) = client.submitted
        assert (worker, options["workers"]) == ("w1", ["tls://h:1"])
        assert (options["allow_other_workers"], options["retries"]) == (False, 0)
        assert asyncio.iscoroutinefunction(function)  # Dask runs it on the event loop
        (future,) = client.futures.values()
        future.status = "error"
        while not future.released:  # noqa: ASYNC110 - it is told to nobody
            await asyncio.sleep(0.01)
        assert not client.graphs

    lost = carry(act)[-1]
    assert (lost.attempts, lost.reason) == ((("t1", 1),), "its Dask task is error")


def test_what_has_ended_is_dropped_and_what_has_not_is_kept(carry: Any) -> None:
    async def act(carrier: Carrier, client: Client) -> None:
        carrier.send([_bundle(number) for number in range(3)])
        done, erred, pending = client.futures.values()
        done.status, erred.status = "finished", "error"
        while not erred.released:  # noqa: ASYNC110 - it is told to nobody
            await asyncio.sleep(0.01)
        assert (done.released, pending.released) == (True, False)
        pending.status = "finished"
        while not pending.released:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    box = carry(act)
    lost = [news for news in box if not isinstance(news, PilotJoined)]
    assert [(news.attempts, news.reason) for news in lost] == [
        ((("t1", 1),), "its Dask task is error")
    ]
