"""What runs on a Dask worker: carry a bundle, announce the pilot, end attempts.

News goes straight to the inbox where the runner lives in the same process, else by the worker's
event stream, in order. A bundle whose Dask task is dropped, as its client has gone, is ended.

Where the pilot has a supervisor, that one runs the bundles, and none is ended but on request: the
worker only passes on what the two sides say, by its `Link`.
"""

import os
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final

import dask.config
from distributed import Status, Worker, WorkerPlugin, get_worker

from euclid_dask import __version__
from euclid_dask.core.events import PilotDraining, PilotJoined, PilotLeft
from euclid_dask.core.ids import PilotId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import (
    AttemptEnded,
    AttemptsLost,
    AttemptsReturned,
    AttemptStarted,
    BundleOrder,
    News,
)
from euclid_dask.core.values import json_reader, to_json
from euclid_dask.executors.dask.link import Link
from euclid_dask.worker import guard, trees
from euclid_dask.worker.bundle import AttemptKey, abandon, attempt_keys, cancel, run_bundle
from euclid_dask.worker.clock import now_s
from euclid_dask.worker.link import Retire, Stop

_read_bundle = json_reader(BundleOrder)
_READERS: Final[dict[str, Callable[[bytes], News]]] = {
    "AttemptStarted": json_reader(AttemptStarted),
    "AttemptEnded": json_reader(AttemptEnded),
    "AttemptsReturned": json_reader(AttemptsReturned),
    "AttemptsLost": json_reader(AttemptsLost),
    "PilotJoined": json_reader(PilotJoined),
    "PilotDraining": json_reader(PilotDraining),
    "PilotLeft": json_reader(PilotLeft),
}

_NOT_RUNNING: Final = frozenset({"cancelled", "released", "forgotten"})


class _Host:
    """What this process carries: its bundles by Dask key, and the inboxes that live in it."""

    def __init__(self) -> None:
        self.inboxes: dict[str, Callable[[News], None]] = {}
        self.carried: dict[Any, list[AttemptKey]] = {}
        self.link: Link | None = None
        self.lock = Lock()


_HOST = _Host()


def listen(topic: str, report: Callable[[News], None]) -> None:
    """Have the news of a topic that arise in this process go straight to `report`."""
    _HOST.inboxes[topic] = report


def unlisten(topic: str) -> None:
    """Forget a topic."""
    _HOST.inboxes.pop(topic, None)


def be_supervised(link: Link) -> None:
    """Have a supervisor run what comes to this worker."""
    _HOST.link = link


async def hand_over(payload: bytes, worker_id: str) -> None:
    """Have the supervisor of this worker run a bundle; the whole of a Dask task of ours there.

    It waits on the event loop, so that no thread is woken. `worker_id` is the worker that it was
    sent to: what Dask sends again, to another one at the same address, was answered before and is
    not carried.
    """
    if _HOST.link is not None and worker_id == get_worker().id:
        await _HOST.link.carry(_read_bundle(payload))


def carry(payload: bytes, topic: str) -> None:
    """Run a bundle on this worker; the whole of a Dask task of ours if it has no supervisor."""
    bundle = _read_bundle(payload)
    report = _HOST.inboxes.get(topic)
    if report is not None:
        run_bundle(bundle, report)
        return
    worker = get_worker()
    key = worker.get_current_task()
    with _HOST.lock:
        _HOST.carried[key] = attempt_keys(bundle)
    try:
        run_bundle(bundle, lambda news: worker.log_event(topic, pack(news)))
    finally:
        with _HOST.lock:
            _HOST.carried.pop(key, None)


def pack(news: News) -> list[Any]:
    """Return news as Dask's event stream can carry them."""
    return [type(news).__name__, to_json(news)]


def unpack(message: Sequence[Any]) -> News:
    """Return the news that `pack` packed."""
    name, content, *_ = message
    return _READERS[name](content)


def cancel_all(keys: Sequence[AttemptKey]) -> None:
    """End attempts on this worker, on request."""
    if _HOST.link is not None:
        _HOST.link.ask(Stop(attempts=tuple(keys), how="cancel"))
        return
    for key in keys:
        cancel(*key)


def withdraw_all(keys: Sequence[AttemptKey]) -> None:
    """Keep attempts on this worker from starting; those that have begun go on."""
    if _HOST.link is not None:
        _HOST.link.ask(Stop(attempts=tuple(keys), how="withdraw"))
        return
    for key in keys:
        cancel(*key, only_waiting=True)


def abandon_all(keys: Sequence[AttemptKey], reason: str) -> None:
    """End attempts on this worker, as lost."""
    if _HOST.link is not None:
        _HOST.link.ask(Stop(attempts=tuple(keys), how="abandon", reason=reason))
        return
    for key in keys:
        abandon(*key, reason)


def retire(reason: str) -> None:
    """Have the supervisor of this worker leave when nothing runs there any more."""
    if _HOST.link is not None:
        _HOST.link.ask(Retire(reason=reason))


class Announcer(WorkerPlugin):  # type: ignore[misc,unused-ignore]
    """Announces a Dask worker as a pilot when it joins, and ends what nobody waits for."""

    def __init__(self, topic: str) -> None:
        self.name = f"euclid-dask-{topic}"
        self._topic = topic

    def setup(self, worker: Worker) -> None:
        """Announce the worker, and clean the environment that its executables inherit."""
        if _HOST.link is not None:
            _HOST.link.introduce(self._topic, _teller(worker, self._topic))
            return
        if self._topic not in _HOST.inboxes:
            _forget_nanny_environment()
            guard.keep(trees.are_open)
        worker.log_event(self._topic, pack(_joined(worker)))

    def teardown(self, worker: Worker) -> None:
        """End what runs, since the worker or the runner goes."""
        if _HOST.link is not None and worker.status is not Status.running:
            _HOST.link.let_go()
        _abandon_carried("the Dask worker was closed")

    def transition(self, key: Any, start: Any, finish: Any, **kwargs: Any) -> None:
        """End a bundle whose Dask task was dropped while it ran."""
        if start in ("executing", "cancelled") and finish in _NOT_RUNNING:
            with _HOST.lock:
                keys = _HOST.carried.get(key, ())
            abandon_all(keys, "the runner has gone")


def _teller(worker: Worker, topic: str) -> Callable[[News], None]:
    """Return what tells the runner what a supervisor says, and by which worker it is reached."""

    def tell(news: News) -> None:
        contact = [worker.address, worker.id] if isinstance(news, PilotJoined) else []
        worker.log_event(topic, [*pack(news), *contact])

    return tell


def _joined(worker: Worker) -> PilotJoined:
    declared = worker.state.total_resources
    threads = worker.state.nthreads
    ram = worker.memory_manager.memory_limit or _host_ram_bytes()
    return PilotJoined(
        pilot=PilotId(worker.address),
        offer=Resources(
            cores=float(declared.get("cores", threads)),
            ram_bytes=int(declared.get("ram_bytes", ram)),
        ),
        slots=threads,
        version=__version__,
        at_s=now_s(),
    )


def _abandon_carried(reason: str) -> None:
    with _HOST.lock:
        keys = [key for carried in _HOST.carried.values() for key in carried]
    abandon_all(keys, reason)


def _host_ram_bytes() -> int:
    return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))


def _forget_nanny_environment() -> None:
    """Remove what a nanny set for its worker (OMP_NUM_THREADS=1 and the like)."""
    for name, value in dask.config.get("distributed.nanny.pre-spawn-environ", {}).items():
        if os.environ.get(name) == str(value):
            del os.environ[name]
