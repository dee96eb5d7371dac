"""Small files of one file system are copied in groups, so that the disk is waited for once.

    write each -> settle -> sync each        name each -> settle -> sync the directory of each

Rule 1: each part and each directory is synced as if it were alone: `settle` only makes that soon
done. So nothing depends on whether a file system can, and a failure is that of one file.
Rule 2: a group has no other effect: what each of its files comes to is told by itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, cast

from euclid_dask.data.linking import LocalPart, as_local
from euclid_dask.data.local import sync_file_system
from euclid_dask.data.outcomes import Copied, Job
from euclid_dask.data.resolve import scheme
from euclid_dask.data.storage import BLOCK_BYTES, MARKER, StorageError

MOST: Final = 100
"""Files of a group: more are not faster, and the first would wait for the last."""
SMALL_BYTES: Final = BLOCK_BYTES
"""Largest file that is not moved by itself."""


def groups(jobs: Iterable[Job]) -> Iterator[Sequence[Job]]:
    """Yield jobs in groups that have one destination; one that may take long is alone."""
    waiting: dict[str, list[Job]] = {}
    for job in jobs:
        if not is_quick(job):
            yield [job]
            continue
        group = waiting.setdefault(job.target.access.root, [])
        group.append(job)
        if len(group) == MOST:
            yield waiting.pop(job.target.access.root)
    yield from waiting.values()


def is_quick(job: Job) -> bool:
    """Tell whether a file is small, and comes from a disk of this host to another."""
    ways = [job.target.access, *(place.access for place, _ in job.sources)]
    return job.file.size <= SMALL_BYTES and all(scheme(way) == "file" for way in ways)


def settle(group: Sequence[Copied]) -> None:
    """Have the disk write all that it has of a group at once."""
    local = as_local(group[0].driver) if len(group) > 1 else None
    if local is not None:
        with suppress(OSError, StorageError):  # syncing each tells what is wrong
            sync_file_system(local.local_path(MARKER).parent)


def name_all(group: Sequence[Copied]) -> None:
    """Give the parts of a group their final names, as publishing each by itself would first do."""
    if len(group) > 1 and as_local(group[0].driver) is not None:
        for one in group:
            with suppress(Exception):  # publishing it tries again, and tells
                cast(LocalPart, one.part).name()
        settle(group)
