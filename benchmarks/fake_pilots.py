"""Pilots that only speak: many in one process, each with a connection of its own to the scheduler.

They join with the certificates of the workspace, as supervised pilots do, take Dask tasks, say by
event when attempts start and end, and answer; nothing is run.

    python -m benchmarks.fake_pilots RECORDS --pilots 1000 --cores 8 --entries 100000
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from distributed.comm import connect
from distributed.protocol.pickle import dumps

from euclid_dask.core.attempts import Order, Profile, Receipt
from euclid_dask.core.events import PilotJoined
from euclid_dask.core.ids import PilotId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.seams import AttemptEnded, AttemptStarted, BundleOrder, News
from euclid_dask.core.values import json_reader
from euclid_dask.executors.dask.address import FILE, read_address
from euclid_dask.executors.dask.pilot import pack
from euclid_dask.executors.dask.security import membership
from euclid_dask.sim.files import ListsOnly

JOINING = 50
"""So many connect at once."""
SEND_S = 0.002
"""As long as Dask's workers hold messages back."""
OURS = "euclid-dask-"
"""How the name of the plugin begins that announces pilots; the topic of their news follows."""
_read_bundle = json_reader(BundleOrder)


class Crowd:
    """All pilots of this process, and what their tasks are like."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.address = read_address(options.records / FILE)
        self.security = membership(options.records).get_connection_args("worker")
        self.draw = random.Random(options.seed)
        self.all_joined = asyncio.Event()
        self.files = ListsOnly()
        self.lists = {"items": tuple(f"data/{n}.xml" for n in range(options.entries))}

    async def live(self) -> None:
        """Join, then answer until the scheduler goes."""
        gate = asyncio.Semaphore(JOINING)
        pilots = [Pilot(self, number) for number in range(self.options.pilots)]
        await asyncio.gather(*(pilot.join(gate) for pilot in pilots))
        self.all_joined.set()
        beating = asyncio.create_task(self._beat(pilots))
        await asyncio.gather(*(pilot.listen() for pilot in pilots), return_exceptions=True)
        beating.cancel()

    async def _beat(self, pilots: "list[Pilot]") -> None:
        """Send every pilot's heartbeat in turn; over one connection, as the cost is the same.

        The first ones go at once: Dask's workers send them a second after they have joined.
        """
        comm = await connect(self.address, **self.security)
        pause_s = 0.0
        while True:
            for pilot in pilots:
                await comm.write(pilot.heartbeat())
                answer = await comm.read()
                await asyncio.sleep(pause_s)
            pause_s = answer["heartbeat-interval"] / len(pilots)

    def duration_s(self, order: Order) -> float:
        """Draw how long an attempt takes."""
        if order.executable == "make":
            return 0.0
        return self.draw.uniform(0.8, 1.2) * self.options.seconds


class Pilot:
    """One connection that behaves like the Dask worker of a supervised pilot."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd = crowd
        self._number = number
        self._address = f"tls://127.0.0.1:{1024 + number}"
        self._id = f"worker-{number}"
        self._topic = ""
        self._messages: list[dict[str, Any]] = []
        self._some = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = count()

    async def join(self, gate: asyncio.Semaphore) -> None:
        """Register with the scheduler, and announce the pilot."""
        async with gate:
            self._comm = await connect(self._crowd.address, **self._crowd.security)
            await self._comm.write(self._registration())
            answer = await self._comm.read()
        assert answer["status"] == "OK", answer
        (self._topic,) = (
            name.removeprefix(OURS) for name in answer["worker-plugins"] if name.startswith(OURS)
        )
        self._tell(
            PilotJoined(
                pilot=PilotId(f"fake-{self._number:06d}"),
                offer=Resources(cores=self._crowd.options.cores, ram_bytes=1000 * GB),
                slots=4 * self._crowd.options.cores,
                template="fake",
                host=f"host{self._number}",
                at_s=time.time(),
            ),
            self._address,
            self._id,
        )
        self._spawn(self._send())

    def _registration(self) -> dict[str, Any]:
        return {
            "op": "register-worker",
            "reply": False,
            "address": self._address,
            "status": "running",
            "server_id": self._id,
            "nthreads": 4 * self._crowd.options.cores + 2,
            "name": self._id,
            "now": time.time(),
            "resources": {},
            "memory_limit": 0,
            "metrics": METRICS,
            "pid": os.getpid(),
            "services": {},
            "local_directory": "/tmp",
            "versions": {},
            "nanny": None,
            "extra": {},
            "stimulus_id": f"worker-connect-{self._number}",
        }

    def heartbeat(self) -> dict[str, Any]:
        """Return what a worker says of itself from time to time."""
        return {
            "op": "heartbeat_worker",
            "reply": True,
            "address": self._address,
            "now": time.time(),
            "metrics": METRICS,
            "executing": {},
            "extensions": {},
        }

    async def listen(self) -> None:
        """Take what the scheduler sends, until it goes."""
        while True:
            received = await self._comm.read()
            for message in received if isinstance(received, (list, tuple)) else [received]:
                if message["op"] == "compute-task":
                    self._spawn(self._carry(message))
                elif message["op"] == "close":
                    self._comm.abort()
                    return

    async def _carry(self, message: Mapping[str, Any]) -> None:
        began_s = time.time()
        bundle = _read_bundle(_payload(message["run_spec"]))
        for order in bundle.orders:
            if order.executable == "make":
                await self._crowd.all_joined.wait()
            await self._attempt(bundle, order)
        self._put(
            {
                "op": "task-finished",
                "key": message["key"],
                "run_id": message["run_id"],
                "stimulus_id": f"task-finished-{next(self._numbers)}",
                "status": "OK",
                "nbytes": 16,
                "type": dumps(type(None)),
                "typename": "NoneType",
                "metadata": {},
                "thread": 1,
                "startstops": [{"action": "compute", "start": began_s, "stop": time.time()}],
            }
        )

    async def _attempt(self, bundle: BundleOrder, order: Order) -> None:
        run, started_s = bundle.place.run, time.time()
        host = f"host{self._number}"
        self._tell(
            AttemptStarted(
                run=run, task=order.task, attempt=order.attempt, host=host, at_s=started_s
            )
        )
        await asyncio.sleep(self._crowd.duration_s(order))
        self._crowd.files.write(bundle.place, order, self._crowd.lists)
        ended_s = time.time()
        receipt = Receipt(
            task=order.task,
            attempt=order.attempt,
            profile=Profile(wall_s=ended_s - started_s),
            host=host,
            started_s=started_s,
            ended_s=ended_s,
        )
        self._tell(AttemptEnded(run=run, receipt=receipt))

    def _tell(self, news: News, *contact: str) -> None:
        self._put({"op": "log-event", "topic": self._topic, "msg": [*pack(news), *contact]})

    def _put(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._some.set()

    async def _send(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            messages, self._messages = self._messages, []
            await self._comm.write(messages)
            await asyncio.sleep(SEND_S)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


METRICS = {
    "task_counts": {},
    "bandwidth": {"total": 100000000, "workers": {}, "types": {}},
    "digests_total_since_heartbeat": {},
    "managed_bytes": 0,
    "spilled_bytes": {"memory": 0, "disk": 0},
    "transfer": {
        "incoming_bytes": 0,
        "incoming_count": 0,
        "incoming_count_total": 0,
        "outgoing_bytes": 0,
        "outgoing_count": 0,
        "outgoing_count_total": 0,
    },
    "event_loop_interval": 0.02,
    "cpu": 1.0,
    "memory": 60_000_000,
    "time": 0.0,
    "host_net_io": {"read_bps": 0.0, "write_bps": 0.0},
    "host_disk_io": {"read_bps": 0.0, "write_bps": 0.0},
    "num_fds": 20,
}


def _payload(task: Any) -> bytes:
    """Return the bundle in a Dask task of ours."""
    found: bytes = task.args[0]
    return found


def main(arguments: list[str]) -> int:
    """Be so many pilots."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("records", type=Path, help="the folder of the scheduler file")
    parser.add_argument("--pilots", type=int, default=1000)
    parser.add_argument("--cores", type=int, default=8, help="of each pilot")
    parser.add_argument("--entries", type=int, default=100_000, help="of the list that is made")
    parser.add_argument("--seconds", type=float, default=5.0, help="that a task takes")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    while not read_address(options.records / FILE):
        time.sleep(0.05)
    asyncio.run(Crowd(options).live())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
