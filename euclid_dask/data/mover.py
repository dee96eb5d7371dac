"""Moves files between storages, as the registry's queue asks.

    claim -> prepare (part, verified, durable) -> publishing? -> publish -> finish

Rule 1: the registry knows first what is to be done, and last that it was done: a mover may die at
any point, and the next one finds out from the transfer and from what is in the storage.
Rule 2: only this thread speaks to the registry, and in batches: what has become ready meanwhile
is told together. Bytes are moved by other threads, with no transaction open.
Rule 3: who has lost the lease publishes nothing.
Rule 4: a registry that does not answer ends nothing that runs: bytes are moved without it, and it
is told when it answers. What is ready is told for as long as a lease holds, then left to others.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Event
from typing import Final, TypeAlias, TypeVar

from euclid_dask.core.errors import InputError, RegistryUnreachableError
from euclid_dask.core.seams import Clock
from euclid_dask.core.values import Value, replace
from euclid_dask.data.copying import Copier, new_path
from euclid_dask.data.drivers import Drivers, Opener
from euclid_dask.data.model import Access, ErrorClass, Replica, Storage, Transfer
from euclid_dask.data.outcomes import Arrived, Copied, Failed, Job, published
from euclid_dask.data.registry import Registry
from euclid_dask.data.resolve import Use, locate, usable
from euclid_dask.data.retries import FULL_PAUSE_S, MOST_ATTEMPTS, retry_in_s
from euclid_dask.data.states import ReplicaCue
from euclid_dask.data.storage import StorageError
from euclid_dask.data.together import MOST, groups, is_quick

T = TypeVar("T")
Outcomes: TypeAlias = Sequence[Copied | Arrived | Failed]
_AHEAD: Final = 8
"""Transfers that are claimed for each thread: what is ready is told to the registry together."""
_AHEAD_QUICK: Final = 2 * MOST
"""The same, while all are soon done: one group is moved, and another waits."""
_PAUSE_S: Final = 1.0
"""After how long a registry that did not answer is told again, while nothing is moved."""


class Settings(Value, frozen=True, kw_only=True):
    """How a mover works."""

    worker: str
    """Its name, which no other mover has."""
    zone: str
    """Where it runs: what it reads and writes are the access rows of this zone."""
    lease_s: float = 60.0
    """For how long its transfers are its own without a sign of life, in seconds."""
    threads: int = 4
    """How many files it moves at once."""


class Drained(Value, frozen=True, kw_only=True):
    """What a mover did."""

    done: int = 0
    """Transfers that have brought their files."""
    again: int = 0
    """Failures that may pass: these transfers wait for their next try."""
    failed: int = 0
    """Transfers that failed for good."""


class Mover:
    """Carries out transfers whose destination is written from its zone."""

    def __init__(
        self,
        registry: Registry,
        open_driver: Opener,
        clock: Clock,
        settings: Settings,
        watch: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Take a registry, a maker of drivers, and a clock for the leases.

        `watch` is called with the bytes of each block that was written, from any thread.
        """
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._drivers = Drivers(open_driver)
        self._copier = Copier(open_driver=self._drivers, watch=watch)
        self._running: dict[Future[Outcomes], Sequence[Job]] = {}
        self._ahead = _AHEAD
        self._extend_at_s = 0.0
        self._drained = Drained()

    def drain(self) -> Drained:
        """Carry out transfers until none can be claimed now; return what became of them."""
        self._drained = Drained()
        self._extend_at_s = self._clock.now_s() + self._settings.lease_s / 3
        with ThreadPoolExecutor(self._settings.threads, "mover") as pool:
            try:
                while self._claimed(pool) or self._running:
                    self._turn(pool)
            finally:
                self._drop()
        return self._drained

    def close(self) -> None:
        """Let go of connections."""
        self._drivers.close()

    def _claimed(self, pool: ThreadPoolExecutor) -> bool:
        try:
            return self._claim(pool)
        except RegistryUnreachableError:
            if not self._running:
                raise
            return False

    def _claim(self, pool: ThreadPoolExecutor) -> bool:
        """Take as many transfers as there is room for; return whether there were some."""
        most = self._ahead * self._settings.threads
        room = most - sum(map(len, self._running.values()))
        if room < most // 2:  # many at once: each claim is a transaction
            return False
        accesses = self._registry.storages.accesses(self._settings.zone)
        storages = {storage.name: storage for storage in self._registry.storages.all()}
        written, read = (
            sorted({way.storage for way in usable(accesses, storages, use)})
            for use in (Use.WRITE, Use.READ)
        )
        claimed = self._registry.transfers.claim(
            self._settings.worker, room, self._settings.lease_s, written, read
        )
        jobs = list(self._jobs(claimed, accesses, storages))
        for group in groups(jobs):
            self._running[pool.submit(self._copier.prepare, group)] = group
        self._ahead = _AHEAD_QUICK if all(map(is_quick, jobs)) else _AHEAD
        return bool(claimed)

    def _jobs(
        self,
        claimed: Sequence[Transfer],
        accesses: Sequence[Access],
        storages: dict[str, Storage],
    ) -> Iterable[Job]:
        names = [transfer.file for transfer in claimed]
        files, replicas = self._registry.files(names), self._registry.locate(names)
        contested = self._registry.deletions.contested(names)
        failures = dict(self._copier.failures)
        for transfer in claimed:
            name, goal = transfer.file, transfer.destination
            if transfer.deaths >= MOST_ATTEMPTS:
                told = f"{transfer.deaths} movers ended while they had it, and told nothing"
                self._fail(transfer, StorageError(ErrorClass.BUG, told))
                continue
            path = new_path(name, contested.get((name, goal), 0))
            wish = Replica(file=name, storage=goal, path=path)
            there = [replica for replica in replicas[name] if replica.storage != goal]
            try:
                sources = locate(there, accesses, storages, failures=failures)
                targets = locate([wish], accesses, storages, use=Use.WRITE, failures=failures)
            except InputError as error:
                self._fail(transfer, StorageError(ErrorClass.POLICY, error.message))
                continue
            yield Job(
                transfer=transfer,
                file=files[name],
                storage=storages[goal],
                target=targets[0],
                sources=tuple((place, storages[place.access.storage]) for place in sources),
            )

    def _turn(self, pool: ThreadPoolExecutor) -> None:
        """Wait for some transfers to come one step further, and tell the registry."""
        done, _ = wait(self._running, self._settings.lease_s / 3, FIRST_COMPLETED)
        results = [future.result() for future in done]
        outcomes = [outcome for result in results for outcome in result]
        self._tell_doubts()
        for outcome in outcomes:
            if isinstance(outcome, Failed):
                self._fail(outcome.job.transfer, outcome.error)
        ready = [outcome for outcome in outcomes if not isinstance(outcome, Failed)]
        ours = self._ours(ready)
        for future in done:
            del self._running[future]
        for result in results:
            group = [one for one in result if isinstance(one, Copied) and _id(one) in ours]
            if group:
                jobs = [one.job for one in group]
                self._running[pool.submit(self._copier.publish, group)] = jobs
        self._finish([one for one in ready if isinstance(one, Arrived) and _id(one) in ours])
        self._extend()

    def _ours(self, ready: Sequence[Copied | Arrived]) -> AbstractSet[int]:
        """Return the ids of transfers that may be published or finished; parts of others go."""
        claimed = [published(outcome) for outcome in ready if not _is_announced(outcome)]
        tell = partial(self._registry.transfers.publishing, claimed, self._settings.lease_s)
        kept = claimed and self._patiently(tell)
        ids = {transfer.id for transfer in kept}
        ids |= {_id(outcome) for outcome in ready if _is_announced(outcome)}  # `finish` looks
        for outcome in ready:
            if isinstance(outcome, Copied) and _id(outcome) not in ids:
                outcome.part.abandon()
        return ids

    def _finish(self, arrived: Sequence[Arrived]) -> None:
        """Register what has arrived: all at once, and one by one when one of them is refused."""
        if not arrived:
            return
        try:
            arrivals = [one.arrival() for one in arrived]
            self._patiently(lambda: self._registry.transfers.finish(arrivals))
        except InputError as error:  # one is no more ours, or its file is being removed
            if len(arrived) == 1:
                refused = StorageError(ErrorClass.POLICY, error.message)
                self._fail(arrived[0].job.transfer, refused)
                return
            for one in arrived:
                self._finish([one])
        else:
            self._drained = replace(self._drained, done=self._drained.done + len(arrived))

    def _fail(self, transfer: Transfer, error: StorageError) -> None:
        again_s = retry_in_s(transfer, error.kind, error.retry_after_s)

        def tell() -> bool:
            if error.kind is ErrorClass.FULL:
                self._registry.storages.pause(transfer.destination, FULL_PAUSE_S)
            fail = self._registry.transfers.fail
            return fail(transfer, error.kind, str(error), retry_in_s=again_s)

        if not self._patiently(tell):
            return
        drained = self._drained
        self._drained = (
            replace(drained, failed=drained.failed + 1)
            if again_s is None
            else replace(drained, again=drained.again + 1)
        )

    def _tell_doubts(self) -> None:
        while self._copier.doubts:
            doubt = self._copier.doubts.pop()
            wrong = [(doubt.file, doubt.storage)]
            tell = partial(self._registry.change_replicas, wrong, ReplicaCue.SUSPECT, doubt.reason)
            try:
                self._patiently(tell)
            except InputError:  # it was removed meanwhile, or somebody else doubts it
                continue

    def _extend(self) -> None:
        """Show the registry that we live, from time to time; what is no more ours is dropped."""
        now_s = self._clock.now_s()
        if now_s < self._extend_at_s or not self._running:
            return
        held = [job.transfer for group in self._running.values() for job in group]
        try:
            kept = self._registry.transfers.extend(held, self._settings.lease_s)
        except RegistryUnreachableError:
            return  # it is tried again in the next turn
        self._extend_at_s = now_s + self._settings.lease_s / 3
        self._copier.dropped = {one.id for one in held} - {one.id for one in kept}

    def _patiently(self, tell: Callable[[], T]) -> T:
        """Tell the registry something: again and again, if it does not answer.

        Raises:
            RegistryUnreachableError: Nothing is moved, and what we have is soon given to others.
        """
        end_s = self._clock.now_s() + self._settings.lease_s
        while True:
            try:
                return tell()
            except RegistryUnreachableError:
                moving = [future for future in self._running if not future.done()]
                if moving:
                    wait(moving, self._settings.lease_s / 3, FIRST_COMPLETED)
                elif self._clock.now_s() < end_s:
                    Event().wait(_PAUSE_S)
                else:
                    raise

    def _drop(self) -> None:
        """Leave what is under way to the next mover."""
        self._copier.dropped = {
            job.transfer.id for group in self._running.values() for job in group
        }
        wait(self._running)
        for future in self._running:
            for outcome in future.result() if future.exception() is None else ():
                if isinstance(outcome, Copied):
                    outcome.part.abandon()
        self._running.clear()


def _is_announced(outcome: Copied | Arrived) -> bool:
    return isinstance(outcome, Arrived) and outcome.is_announced


def _id(outcome: Copied | Arrived) -> int:
    return outcome.job.transfer.id
