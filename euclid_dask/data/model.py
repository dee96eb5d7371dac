"""What the data room speaks about: files, storages, replicas, transfers, products.

Those of which there are millions, and which cannot be in a cycle, are spared the garbage collector.
"""

from collections.abc import Mapping
from enum import StrEnum

from euclid_dask.core.values import Value


class StorageState(StrEnum):
    """What may be done with a storage."""

    ENABLED = "enabled"
    """Read, written and cleaned."""
    READONLY = "readonly"
    """Read only: nothing is written or removed."""
    DISABLED = "disabled"
    """Not touched at all, as while its disks are away; its replicas are not lost."""


class Storage(Value, frozen=True, kw_only=True):
    """A place that keeps replicas of files, whoever looks at it and from where."""

    name: str
    marker: str
    """The text of the marker file in its root: proof that the right disk is mounted."""
    state: StorageState = StorageState.ENABLED
    durable: bool = True
    """Whether its replicas count as copies to rely on; a run's workdir is not durable."""
    one_writer: bool = False
    """Whether only one mover may write, since its scheme cannot refuse to replace (ftp)."""
    labels: Mapping[str, str] = {}
    """What places in rules select by, as `country: CH`, `tier: disk`."""


class Access(Value, frozen=True, kw_only=True):
    """How the hosts of one zone reach one storage."""

    storage: str
    zone: str
    root: str
    """A URL without user, password, query or fragment, as `sftp://host:22/data`."""
    read: int = 1
    """Priority for reading; 1 is best, 0 is never."""
    write: int = 1
    """Priority for writing; 1 is best, 0 is never."""
    delete: int = 1
    """Priority for removing; 1 is best, 0 is never."""
    credential: str = ""
    """The name of a credential in the site's configuration; never the credential."""
    options: Mapping[str, str] = {}
    """Options of the scheme, as `known_hosts` or `timeout_s`."""


class Checksum(Value, frozen=True, kw_only=True, gc=False):
    """A checksum of a file's content."""

    algorithm: str
    """One of `adler32`, `xxh3`, `md5`, `sha256`."""
    value: str
    """Lower-case hexadecimal digits, with leading zeros."""
    declared: bool = False
    """Whether a product or archive told it, rather than our own reading."""


class FileState(StrEnum):
    """Where a file stands."""

    PROPOSED = "proposed"
    """Its name is taken; its bytes are not known to be complete anywhere."""
    COMMITTED = "committed"
    """At least one verified replica exists."""
    DELETING = "deleting"
    """All its replicas are being removed."""
    DELETED = "deleted"
    """It has no replica by intent; its name is not used again for other content."""
    LOST = "lost"
    """Its last replica is gone, as a person or a confirmed check said."""


class File(Value, frozen=True, kw_only=True, gc=False):
    """A file by its one name; its content never changes."""

    name: str
    size: int
    """Bytes."""
    checksums: tuple[Checksum, ...] = ()
    state: FileState = FileState.PROPOSED


class ReplicaState(StrEnum):
    """Where a replica stands. A copy under way is a transfer, not a replica."""

    AVAILABLE = "available"
    """Complete and verified when it was last checked."""
    SUSPECT = "suspect"
    """A reader found something wrong; not read until a check has decided."""
    BAD = "bad"
    """Its content is not that of the file."""
    LOST = "lost"
    """It is not where it was."""
    OFFLINE = "offline"
    """Out of reach for now: on tape, or its storage is disabled."""
    DELETING = "deleting"
    """Marked to be removed; not read any more."""


class Replica(Value, frozen=True, kw_only=True, gc=False):
    """A file's bytes in a storage."""

    file: str
    storage: str
    path: str
    """Relative to the storage's root, with `/`, not quoted."""
    state: ReplicaState = ReplicaState.AVAILABLE
    adopted: bool = False
    """Whether it was registered where somebody else had put it."""
    mtime_ns: int | None = None
    """Modification time in ns since the epoch when it was verified, where the scheme tells it."""
    checked_at_s: float = 0.0
    """When it was last verified, in seconds since the epoch."""


class TransferState(StrEnum):
    """Where a transfer stands."""

    QUEUED = "queued"
    """Waits for a mover."""
    RUNNING = "running"
    """A mover copies it into a part file."""
    PUBLISHING = "publishing"
    """Its part file is verified and durable; it gets its final name."""
    RETRY = "retry"
    """Failed in a way that may pass; waits for its next try."""
    DONE = "done"
    """The replica is there."""
    FAILED = "failed"
    """It cannot be done, and says why."""
    CANCELLED = "cancelled"
    """Nobody wants it any more."""


class ErrorClass(StrEnum):
    """What kind of thing went wrong with a storage, which decides what is done about it."""

    NETWORK = "network"
    """The line or the server failed: tried again."""
    TIMEOUT = "timeout"
    """Nothing moved for too long: tried again."""
    BUSY = "busy"
    """The server asks to come later: tried again, not before it said."""
    MISSING = "missing"
    """There is no such file: another replica is taken."""
    EXISTS = "exists"
    """The name is taken: fine when the content is the same, otherwise refused."""
    CONTENT = "content"
    """The bytes are not those that were promised."""
    FULL = "full"
    """No space or quota left at the destination: the storage is paused."""
    AUTH = "auth"
    """The credential is wrong or missing: refused at once."""
    POLICY = "policy"
    """Not allowed, or not possible with this scheme: refused at once."""
    IO = "io"
    """A device failed, as at fsync: the part file is abandoned, and a new one tried."""
    AWAY = "away"
    """The storage is not there, or another is in its place, as a disk that is not mounted: nothing
    in it is lost; tried again."""
    BUG = "bug"
    """A mistake of this program, or what kills it each time: not tried again."""


class Transfer(Value, frozen=True, kw_only=True):
    """A wish to have a file in one more storage, and how far it is.

    `fence` grows with each claim: who holds an older one has lost the transfer, and publishes
    nothing.
    """

    id: int
    file: str
    destination: str
    """The storage that is to have a replica."""
    state: TransferState
    fence: int = 0
    attempts: int = 0
    """How often it was claimed and failed."""
    worker: str = ""
    """Who holds it; the empty text when nobody does."""
    priority: int = 0
    """Those of higher priority are claimed first."""
    bytes_copied: int = 0
    """How many bytes were written, once they are about to be published."""
    method: str = ""
    """How the bytes came there, as `copy` or `link`; empty until they are about to be published."""
    error_class: ErrorClass | None = None
    """What went wrong last, None if nothing did."""
    error: str = ""

    @property
    def deaths(self) -> int:
        """How many movers claimed it before, and did not tell what became of it."""
        return self.fence - self.attempts - 1


class Arrival(Value, frozen=True, kw_only=True):
    """A transfer that has brought its file."""

    transfer: Transfer
    """As it was claimed."""
    replica: Replica
    """Where the file is now."""
    content: File
    """The file as it was read: its size and checksums."""
    method: str = "copy"
    """How it came there, as `copy` or `link`."""
    bytes_copied: int = 0
    """How many bytes were written for it."""


class FileReference(Value, frozen=True, kw_only=True, gc=False):
    """What a product says of one file it names."""

    name: str
    ordinal: int
    """Its position among the product's references, from 0."""
    xpath: str = ""
    """Where in the product it is named, by local names."""
    format: str = ""
    status: str = ""
    """The `filestatus` of the product, verbatim; our state of the file is another matter."""
    checksum: Checksum | None = None
    """What the product declares, None if it declares nothing."""


class ProductValue(Value, frozen=True, kw_only=True, gc=False):
    """One value of a product that it can be found by."""

    path: str
    """Local names joined by dots, as `Data.ObservationSequence.ObservationId`."""
    ordinal: int
    """Its position among the values of this path, from 0."""
    text: str
    number: float | None = None
    """The text as a number, None if it is none."""


class ProductLink(Value, frozen=True, kw_only=True, gc=False):
    """That a product names another one."""

    role: str
    target: str
    """The other's product id; it need not be known."""


class Product(Value, frozen=True, kw_only=True, gc=False):
    """What is known of a product: its header, the files it names, values to find it by."""

    product_id: str
    type: str
    """The local name of its root element, as `DpdVisRawFrame`."""
    namespace: str = ""
    header: Mapping[str, str] = {}
    """Header fields, as `DataSetRelease`, to their texts."""
    files: tuple[FileReference, ...] = ()
    links: tuple[ProductLink, ...] = ()
    values: tuple[ProductValue, ...] = ()
    problems: tuple[str, ...] = ()
    """What is odd about it: it can be read, and not registered."""


class FoundProduct(Value, frozen=True, kw_only=True):
    """A product that a query found."""

    product_id: str
    type: str
    xml: str
    """The name of the file that is the product."""


class DeletionState(StrEnum):
    """Where the removal of a replica stands."""

    QUEUED = "queued"
    """Wanted; the replica is read until its grace is over."""
    RUNNING = "running"
    """The replica is marked and a cleaner removes it."""
    DONE = "done"
    """The replica is gone, and its row with it."""
    FAILED = "failed"
    """It could not be removed, and says why."""
    CANCELLED = "cancelled"
    """The replica stays."""


class Deletion(Value, frozen=True, kw_only=True):
    """A wish to have a replica removed, and how far it is."""

    id: int
    file: str
    storage: str
    path: str
    """Where the replica is, relative to the storage's root."""
    state: DeletionState
    reason: str
    last_copy: bool = False
    """Whether the last replica of the file may go, and the file with it."""
    fence: int = 0
    """Grows with each claim, as that of a transfer."""
    error: str = ""


class Event(Value, frozen=True, kw_only=True):
    """What changed in the registry, when, and why."""

    at_s: float
    """Seconds since the epoch, on the database's clock."""
    kind: str
    file: str = ""
    storage: str = ""
    product: str = ""
    detail: str = ""
