"""Brings files out of storages into a folder, several at once, each from where it can be had.

    <to>/<name>.xml
    <to>/data/<name>

Rule: `data.filling` says how a file comes here. A failure of one keeps no other from coming.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.core.values import Value
from euclid_dask.data.drivers import Opener
from euclid_dask.data.filling import Fetched, Line, Origin, bring
from euclid_dask.data.model import ErrorClass, File
from euclid_dask.data.resolve import Location
from euclid_dask.data.storage import Reader, StorageError
from euclid_dask.data.storages.failures import failures_of

THREADS: Final = 4
"""Files that are brought at once."""
PAUSES_S: Final = (1.0, 2.0, 4.0)
"""How long is waited before all origins of a file are tried again, in seconds."""
LONGEST_S: Final = 60.0
"""The longest that a server may ask to wait, in seconds."""
_PASSING: Final = frozenset({ErrorClass.BUSY, ErrorClass.NETWORK, ErrorClass.TIMEOUT})
Outcome: TypeAlias = Fetched | InputError | SiteError
"""A file that is here, or why it is not."""


class Wanted(Value, frozen=True, kw_only=True):
    """A file that is to come here."""

    file: File
    place: str
    """Relative to the folder, as `data/EUC_x.fits`."""
    sources: tuple[Location, ...]
    """Where it can be read, the best first."""


class Fetcher:
    """Brings files into a folder, which is made.

    Attributes:
        troubles: Failures of sources, also where another did.
    """

    def __init__(
        self,
        open_driver: Opener,
        to: Path,
        watch: Callable[[int], None] = lambda _: None,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        """Take a maker of drivers, and the folder.

        `watch` is called with the bytes of each block that came or was there, from any thread.
        """
        self._open_driver = open_driver
        self._to = to
        self._watch = watch
        self._pauses_s = pauses_s
        self._stopped = threading.Event()
        self._failures: dict[str, int] = {}
        self.troubles: list[StorageError] = []

    def fetch(self, wanted: Sequence[Wanted]) -> Mapping[str, Outcome]:
        """Bring files; return what became of each, by its name."""
        with ThreadPoolExecutor(THREADS, "fetcher") as pool:
            under_way = {one.file.name: pool.submit(self._fetched, one) for one in wanted}
            try:
                wait(under_way.values())
            except BaseException:  # as Ctrl-C: parts stay, and are gone on with
                self.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return {name: _outcome(future) for name, future in under_way.items()}

    def stop(self) -> None:
        """Have what is under way in other threads end soon; nothing is begun any more."""
        self._stopped.set()

    def _fetched(self, wanted: Wanted) -> Fetched:
        final = self._to / wanted.place
        if not wanted.file.checksums:
            raise StorageError(
                ErrorClass.CONTENT,
                f"nobody knows a checksum of {wanted.file.name}, so that it cannot be compared",
            )
        with failures_of(str(final)):
            final.parent.mkdir(parents=True, exist_ok=True)
            for pause_s in self._pauses_s:
                try:
                    return self._bring(wanted, final)
                except StorageError as error:
                    longer_s = error.retry_after_s or 0.0
                    if error.kind not in _PASSING or longer_s > LONGEST_S:
                        raise
                    if self._stopped.wait(max(pause_s, longer_s)):
                        raise
            return self._bring(wanted, final)

    def _bring(self, wanted: Wanted, final: Path) -> Fetched:
        sources = sorted(wanted.sources, key=lambda it: self._failures.get(it.access.root, 0))
        origins = [Origin(url=one.url, open_at=partial(self._reading, one)) for one in sources]
        line = Line(between=self._between, failed=self.troubles.append)
        fetched = bring(final, wanted.file, origins, line)
        self._watch(fetched.size - fetched.brought)
        return fetched

    @contextmanager
    def _reading(self, source: Location, start: int) -> Iterator[Reader]:
        try:
            with self._open_driver(source.access).open_read(source.path, start) as reader:
                yield reader
        except StorageError:
            root = source.access.root
            self._failures[root] = self._failures.get(root, 0) + 1
            raise

    def _between(self, some: int) -> None:
        self._watch(some)
        if self._stopped.is_set():
            raise StorageError(ErrorClass.BUSY, "stopped on request")


def _outcome(future: Future[Fetched]) -> Outcome:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, InputError | SiteError):
        return error
    raise error
