"""What a mover knows of a transfer on its way: what is to be done, and how far it came."""

from dataclasses import dataclass

from euclid_dask.core.values import Value, replace
from euclid_dask.data.model import Arrival, File, Replica, Storage, Transfer
from euclid_dask.data.resolve import Location
from euclid_dask.data.storage import Part, Stat, StorageDriver, StorageError


class Job(Value, frozen=True, kw_only=True):
    """A transfer with all that is needed to carry it out from one zone."""

    transfer: Transfer
    file: File
    storage: Storage
    """The destination."""
    target: Location
    """Where the file is to be there."""
    sources: tuple[tuple[Location, Storage], ...]
    """Where it can be read, the best first."""

    @property
    def part(self) -> str:
        """What makes the name of its part file its own."""
        return part_name(self.transfer, self.transfer.fence)


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A durable part with the right content, which waits for its name."""

    job: Job
    driver: StorageDriver
    part: Part
    content: File
    method: str = "copy"
    """How the bytes came there: `copy`, or `link` when none were written."""


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """The final file is there, durable, and has the right content."""

    job: Job
    content: File
    stat: Stat
    method: str
    """`copy` or `link`, or `found` when it was there before."""
    is_announced: bool = False
    """Whether the registry was asked whether it may be published, and so only waits for it."""

    def arrival(self) -> Arrival:
        """Return what the registry is told."""
        replica = Replica(
            file=self.job.file.name,
            storage=self.job.storage.name,
            path=self.job.target.path,
            mtime_ns=self.stat.mtime_ns,
        )
        transfer = published(self)
        return Arrival(
            transfer=transfer,
            replica=replica,
            content=self.content,
            method=transfer.method,
            bytes_copied=transfer.bytes_copied,
        )


def published(ready: Copied | Arrived) -> Transfer:
    """Return the transfer of what is to be published, or is, with what it has cost."""
    copied = ready.content.size if ready.method == "copy" else 0
    return replace(ready.job.transfer, method=ready.method, bytes_copied=copied)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """It did not succeed this time."""

    job: Job
    error: StorageError


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A source that is not what the registry says, after a second look."""

    storage: str
    file: str
    reason: str


def part_name(transfer: Transfer, fence: int) -> str:
    """Return what makes the name of a part file that of one claim of a transfer."""
    return f"{transfer.id}-{fence}"
