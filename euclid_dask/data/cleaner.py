"""Removes replicas, as the registry's queue asks.

    marker seen -> claim (the replica is marked) -> unlink -> finish (its row goes)

Rule 1: a cleaner may die at any point: nobody reads a replica that is marked, and when the lease
has run out the next cleaner claims it, and finds its file or finds it gone.
Rule 2: where the marker is not seen, nothing is marked, removed or forgotten.
Rule 3: who could have lost the lease removes nothing: another may have removed the file by now,
and a mover brought it back. So the clock is looked at last, and half a lease is left then, longer
than a driver waits for any answer; and where two cleaners removed a file, it never comes back to
the same path, whatever a server does with what it was asked for long ago.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.seams import Clock
from euclid_dask.core.values import Value
from euclid_dask.data.drivers import Drivers, Opener, seen
from euclid_dask.data.markers import GuardedDriver
from euclid_dask.data.model import Deletion, ErrorClass
from euclid_dask.data.registry import Registry
from euclid_dask.data.resolve import Use, usable
from euclid_dask.data.retries import removal_retry_in_s
from euclid_dask.data.storage import StorageError
from euclid_dask.data.storages.failures import mistake

_AHEAD: Final = 16
"""Deletions that are claimed for each thread."""


class Settings(Value, frozen=True, kw_only=True):
    """How a cleaner works."""

    worker: str
    """Its name, which no other cleaner has."""
    zone: str
    """Where it runs: it removes by the access rows of this zone."""
    lease_s: float = 300.0
    """For how long its deletions are its own, in seconds; half of it is for beginning them, the
    other half for the last one to end."""
    threads: int = 4
    """How many files it removes at once."""


class Cleaned(Value, frozen=True, kw_only=True):
    """What a cleaner did."""

    removed: int = 0
    """Replicas that are gone."""
    waiting: int = 0
    """Replicas that could not be removed now, and will be tried again."""
    failed: int = 0
    """Replicas that cannot be removed; they are suspect now."""
    untouched: Mapping[str, str] = MappingProxyType({})
    """Storages in which nothing was done, by name, and why."""


class Cleaner:
    """Carries out deletions in the storages that its zone may remove from."""

    def __init__(
        self, registry: Registry, open_driver: Opener, clock: Clock, settings: Settings
    ) -> None:
        """Take a registry, a maker of drivers, and a clock for the leases."""
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._drivers = Drivers(open_driver)

    def drain(self) -> Cleaned:
        """Carry out deletions until none can be claimed now."""
        drivers, untouched = self._there()
        counts = {"removed": 0, "waiting": 0, "failed": 0}
        with ThreadPoolExecutor(self._settings.threads, "cleaner") as pool:
            while drivers:
                expires_s = self._clock.now_s() + self._settings.lease_s / 2
                claimed = self._registry.deletions.claim(
                    self._settings.worker,
                    _AHEAD * self._settings.threads,
                    self._settings.lease_s,
                    sorted(drivers),
                )
                if not claimed:
                    break
                jobs = [(one, drivers[one.storage], expires_s) for one in claimed]
                for one, error in zip(claimed, pool.map(self._remove, jobs), strict=True):
                    if what := self._tell(one, error):
                        counts[what] += 1
        return Cleaned(**counts, untouched=untouched)

    def close(self) -> None:
        """Let go of connections."""
        self._drivers.close()

    def _there(self) -> tuple[dict[str, GuardedDriver], dict[str, str]]:
        """Return drivers of storages that have something to be removed, and why others do not."""
        storages = {storage.name: storage for storage in self._registry.storages.all()}
        accesses = self._registry.storages.accesses(self._settings.zone)
        found: dict[str, GuardedDriver] = {}
        untouched: dict[str, str] = {}
        for name in self._registry.deletions.due():
            ways = [way for way in usable(accesses, storages, Use.DELETE) if way.storage == name]
            try:
                found[name] = seen(self._drivers, storages[name], ways, Use.DELETE)
            except StorageError as error:
                untouched[name] = error.message
        return found, untouched

    def _remove(self, job: tuple[Deletion, GuardedDriver, float]) -> StorageError | None:
        """Remove the bytes of a marked replica; return why they may still be there."""
        deletion, driver, expires_s = job
        try:
            driver.check()  # which may take long
            if self._clock.now_s() > expires_s:
                return StorageError(ErrorClass.BUSY, "the cleaner had too much to do", 0.0)
            if not driver.driver.unlink(deletion.path):
                driver.check()  # gone already, and not gone with its disk a moment ago
        except StorageError as error:
            return error
        except Exception as error:  # noqa: BLE001 -- it is not the end of the other deletions
            return mistake(error)
        return None

    def _tell(self, deletion: Deletion, error: StorageError | None) -> str:
        """Tell the registry; return what became of a replica, "" when it is another's by now."""
        queue = self._registry.deletions
        try:
            if error is None:
                queue.finish(deletion)
                return "removed"
            again_s = removal_retry_in_s(deletion, error.kind, error.retry_after_s)
            if again_s is None:
                queue.fail(deletion, error.message)
                return "failed"
            is_ours = queue.retry(deletion, error.message, retry_in_s=again_s)
        except InputError:  # the lease has run out: who has it now tells what became of it
            return ""
        return "waiting" if is_ours else ""
