"""Carries out transfers up to their part files, and then publishes them; knows no registry.

    prepare   the final file is there already?  read it, compare it
              else a link will do?  fsync what it leads to
              else read a source, hash, write a part, compare, fsync
    publish   the part gets its final name, which nobody else has

Both take a group of transfers to one destination (see `together`).

Rule 1: nothing is under a final name that was not compared with all that is known of the file.
Rule 2: what an earlier mover left is found by its name: a transfer and a fence have one part.
Rule 3: a source is blamed only after a second look, and only while its storage is there.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final

from euclid_dask.core.values import replace
from euclid_dask.data.drivers import Opener
from euclid_dask.data.hashing import Hasher, hash_chunks, mismatch, wanted
from euclid_dask.data.linking import as_local, linkable
from euclid_dask.data.local import sync_directory
from euclid_dask.data.markers import check_marker
from euclid_dask.data.model import ErrorClass, File, Storage
from euclid_dask.data.outcomes import Arrived, Copied, Doubt, Failed, Job, part_name
from euclid_dask.data.resolve import Location
from euclid_dask.data.retries import is_missed
from euclid_dask.data.storage import (
    BLOCK_BYTES,
    Part,
    Stat,
    StorageDriver,
    StorageError,
    part_path,
)
from euclid_dask.data.storages.failures import failures_of, mistake
from euclid_dask.data.together import name_all, settle

_RESUMED: Final = frozenset({ErrorClass.NETWORK, ErrorClass.TIMEOUT})


@dataclass(kw_only=True)
class Copier:
    """Carries out the steps of transfers, each in a thread of its own.

    Attributes:
        open_driver: Makes drivers; called from any thread.
        watch: Called with the number of bytes of each block that was written.
        doubts: Sources that were found wrong; whoever reads them here takes them out.
        failures: How often access rows failed, by their root, since they last did well.
        unlinked: Storages to which links failed though they looked possible.
        dropped: Ids of transfers that are not to go on; whoever lost them puts them here.
    """

    open_driver: Opener
    watch: Callable[[int], None] = lambda _: None
    doubts: list[Doubt] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    unlinked: set[str] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)

    def prepare(self, jobs: Sequence[Job]) -> list[Copied | Arrived | Failed]:
        """Bring files to the destination, short of their final names; tell of each in turn."""
        try:
            driver = self.open_driver(jobs[0].target.access)
            _check_written(driver, jobs[0].storage)
        except Exception as error:  # noqa: BLE001 -- it is not the end of other transfers
            return [self._failure(job, error) for job in jobs]
        brought = [self._attempt(job, partial(self._bring, driver, job)) for job in jobs]
        if written := [one for one in brought if isinstance(one, Copied)]:
            settle(written)
        return [
            self._attempt(one.job, partial(_synced, one)) if isinstance(one, Copied) else one
            for one in brought
        ]

    def publish(self, group: Sequence[Copied]) -> list[Arrived | Failed]:
        """Give parts their final names; only while the transfers are ours."""
        name_all(group)
        return [self._publish(one) for one in group]

    def _attempt(self, job: Job, step: Callable[[], Copied | Arrived]) -> Copied | Arrived | Failed:
        try:
            return step()
        except Exception as error:  # noqa: BLE001 -- as above
            return self._failure(job, error)

    def _failure(self, job: Job, error: Exception) -> Failed:
        if not isinstance(error, StorageError):
            return Failed(job=job, error=mistake(error))
        self._failed(job.target)
        return Failed(job=job, error=error)

    def _bring(self, driver: StorageDriver, job: Job) -> Copied | Arrived:
        """Return the file as it is there already, or what was written of it and is not synced."""
        _remove_parts(driver, job)
        return self._there(driver, job) or self._link(driver, job) or self._copy(driver, job)

    def _publish(self, copied: Copied) -> Arrived | Failed:
        job, driver = copied.job, copied.driver
        try:
            copied.part.publish()
            return Arrived(
                job=job,
                content=copied.content,
                stat=_stat(driver, job),
                method=copied.method,
                is_announced=True,
            )
        except StorageError as error:
            copied.part.abandon()
            if copied.method == "link" and error.kind is ErrorClass.POLICY:
                return self._unlinked(job, error)
            return self._taken(copied, error)
        except Exception as error:  # noqa: BLE001 -- as above
            copied.part.abandon()
            return Failed(job=job, error=mistake(error))

    def _unlinked(self, job: Job, error: StorageError) -> Failed:
        """Have it copied next time, as where one file system is mounted twice."""
        self.unlinked.add(job.storage.name)
        return Failed(job=job, error=StorageError(ErrorClass.BUSY, error.message))

    def _taken(self, copied: Copied, error: StorageError) -> Arrived | Failed:
        """Look at what has the final name; that of another with the same content is as good."""
        if error.kind is not ErrorClass.EXISTS:
            return Failed(job=copied.job, error=error)
        try:
            found = self._there(copied.driver, copied.job)
        except StorageError as worse:
            return Failed(job=copied.job, error=worse)
        # our bytes were written, whether they got the name and the answer was lost, or not
        if found is None:
            return Failed(job=copied.job, error=error)
        return dataclasses.replace(found, method=copied.method, is_announced=True)

    def _there(self, driver: StorageDriver, job: Job) -> Arrived | None:
        """Return the final file if it is there and has the right content; None if there is none.

        Raises:
            StorageError: EXISTS when it has other content: it is never replaced.
        """
        stat = driver.stat(job.target.path)
        if stat is None:
            return None
        known = job.file if job.file.checksums else self._source_content(job)
        hasher = Hasher(wanted(known))
        if stat.size == known.size:
            hasher = hash_chunks(_blocks(driver, job.target.path, known), wanted(known))
        if problem := mismatch(known, hasher.size or stat.size, hasher.checksums()):
            raise StorageError(
                ErrorClass.EXISTS,
                f"{job.target.url}: there is another file: {problem}",
                hint="nothing is replaced: have it looked at, and removed",
            )
        if local := as_local(driver):
            path = local.local_path(job.target.path)
            with failures_of(job.target.url):
                sync_directory(path.parent)  # whoever gave it its name may have died before this
        return Arrived(
            job=job,
            content=_as_read(job.file, hasher),
            stat=stat,
            method=job.transfer.method or "found",  # what a mover before was about to publish
        )

    def _failed(self, place: Location) -> None:
        root = place.access.root
        self.failures[root] = self.failures.get(root, 0) + 1

    def _source_content(self, job: Job) -> File:
        """Return a file of which nobody knows a checksum as its best source has it."""
        for location, _ in job.sources:
            blocks = _blocks(self.open_driver(location.access), location.path, job.file)
            return _as_read(job.file, hash_chunks(blocks))
        raise _no_source(job)

    def _link(self, driver: StorageDriver, job: Job) -> Copied | None:
        """Prepare to give the destination a second name of the file, where that is enough."""
        for location, storage in job.sources:
            if job.storage.name in self.unlinked:
                break
            try:
                source = self.open_driver(location.access)
                part = linkable(driver, job.target.path, source, location, storage)
            except StorageError:
                continue  # another source may do; a copy from this one says why not
            if part is not None:
                return Copied(job=job, driver=driver, part=part, content=job.file, method="link")
        return None

    def _copy(self, driver: StorageDriver, job: Job) -> Copied:
        """Copy from the first source that has the right content.

        Raises:
            StorageError: None has, or the destination failed.
        """
        last: StorageError | None = None
        for location, storage in job.sources:
            part = driver.open_part(job.target.path, job.part, job.file.size)
            try:
                content = self._stream(job, location, part)
            except _SourceError as error:
                part.abandon()
                self._failed(location)
                last = self._blame(job, location, storage, error.error)
            except BaseException:
                part.abandon()
                raise
            else:
                self.failures.pop(location.access.root, None)
                return Copied(job=job, driver=driver, part=part, content=content)
        raise last or _no_source(job)

    def _stream(self, job: Job, location: Location, part: Part) -> File:
        """Write a source into a part, and return the file as it was read."""
        hasher = Hasher(wanted(job.file))
        is_long = job.file.size > BLOCK_BYTES  # else there is no next block
        with hasher.beside() if is_long else nullcontext(hasher.update) as update:
            for data in self._read(job, location):
                if job.transfer.id in self.dropped:
                    dropped = f"{job.file.name}: the transfer was dropped"
                    raise StorageError(ErrorClass.BUSY, dropped)
                update(data)
                part.write(data)
                self.watch(len(data))
        content = _as_read(job.file, hasher)
        if problem := mismatch(job.file, content.size, content.checksums):
            raise _SourceError(StorageError(ErrorClass.CONTENT, f"{location.url}: {problem}"))
        return content

    def _read(self, job: Job, location: Location) -> Iterator[bytes]:
        """Yield what a source has, going on where a line broke.

        Raises:
            _SourceError: The source, or the line to it, failed.
        """
        try:
            yield from _blocks(self.open_driver(location.access), location.path, job.file)
        except StorageError as error:
            raise _SourceError(error) from error

    def _blame(
        self, job: Job, location: Location, storage: Storage, error: StorageError
    ) -> StorageError:
        """Look again at a source that failed, and return what is to be said of it."""
        if error.kind not in {ErrorClass.CONTENT, ErrorClass.MISSING}:
            return error
        try:
            driver = self.open_driver(location.access)
            _check(driver, storage)
            if error.kind is ErrorClass.CONTENT:
                hasher = hash_chunks(_blocks(driver, location.path, job.file), wanted(job.file))
                is_wrong = bool(mismatch(job.file, hasher.size, hasher.checksums()))
            else:
                is_wrong = is_missed(job.transfer)
        except StorageError as worse:
            is_wrong = worse.kind is ErrorClass.CONTENT
            error = error if is_wrong else worse
        if is_wrong:
            self.doubts.append(
                Doubt(storage=storage.name, file=job.file.name, reason=error.message)
            )
        return error


class _SourceError(Exception):
    """The source failed, and not the destination."""

    def __init__(self, error: StorageError) -> None:
        super().__init__(error)
        self.error = error


def _synced(copied: Copied) -> Copied:
    try:
        copied.part.sync()
    except BaseException:
        copied.part.abandon()
        raise
    return copied


def new_path(name: str, contested: int = 0) -> str:
    """Return where a storage of ours keeps a file: spread over 256 directories by its name.

    Args:
        name: The file's.
        contested: How often it was removed there by more than one cleaner; the first of them may
            still be about to remove what is where the file was.

    >>> new_path("EUC_VIS_1.fits"), new_path("EUC_VIS_1.fits", 1)
    ('e0/EUC_VIS_1.fits', 'e0/1/EUC_VIS_1.fits')
    """
    again = f"{contested}/" if contested else ""
    return f"{sha256(name.encode()).hexdigest()[:2]}/{again}{name}"


def _check_written(driver: StorageDriver, storage: Storage) -> None:
    if not storage.marker and driver.capabilities.local:
        raise StorageError(
            ErrorClass.POLICY,
            f"{storage.name} has no marker: it may be another disk",
            hint="add a way by which it can be written, which marks it",
        )
    _check(driver, storage)


def _check(driver: StorageDriver, storage: Storage) -> None:
    if storage.marker:  # the storages of others, which we only read, have none
        check_marker(driver, storage.marker)


def _no_source(job: Job) -> StorageError:
    return StorageError(
        ErrorClass.MISSING,
        f"{job.file.name}: no replica can be read from here",
        hint="copy it to a storage that this zone reads, first",
    )


def _remove_parts(driver: StorageDriver, job: Job) -> None:
    for fence in range(1, job.transfer.fence):
        driver.unlink(part_path(job.target.path, part_name(job.transfer, fence)))


def _blocks(driver: StorageDriver, path: str, file: File) -> Iterator[bytes]:
    """Yield the bytes of a file, and no more than one block too many.

    Where the line breaks, it is read on from there, as long as each try brings something, and
    a checksum will tell whether the rest belongs to what came before.
    """
    start = 0
    is_known = bool(file.checksums)  # else nothing tells a file that was replaced meanwhile
    while True:
        opened = start
        try:
            with driver.open_read(path, start) as reader:
                while start <= file.size and (data := reader.read(BLOCK_BYTES)):
                    start += len(data)
                    yield data
                return
        except StorageError as error:
            if error.kind not in _RESUMED or start == opened or not is_known:
                raise


def _stat(driver: StorageDriver, job: Job) -> Stat:
    """Return what the destination says of the new file."""
    stat = driver.stat(job.target.path)
    if (
        stat is None or stat.size != job.file.size
    ):  # some servers need a while: the next try finds it
        raise StorageError(ErrorClass.NETWORK, f"{job.target.url}: is not seen as it was published")
    return stat


def _as_read(file: File, hasher: Hasher) -> File:
    return replace(file, size=hasher.size, checksums=hasher.checksums())
