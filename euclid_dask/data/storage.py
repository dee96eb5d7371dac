"""The seam between us and the places where files are: what a driver of a storage can do.

Rule 1: bytes go to a *part file* beside the final name, and get that name by `publish` only, which
never replaces. So whoever sees a final name sees a whole file.
Rule 2: every failure is a `StorageError` whose kind says what to do about it; a driver does not
try again, the mover does.
Rule 3: paths are relative to the storage's root, with `/`, and not quoted.
Rule 4: calls block, and may come from many threads at once; a part or reader belongs to one.

`storages.opening.open_driver` makes a driver from an access row.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import Final, Protocol

from euclid_dask.core.errors import SiteError
from euclid_dask.core.values import Value
from euclid_dask.data.model import ErrorClass

MARKER: Final = ".eufas-storage"
"""The file in a storage's root that proves that the right disk is there."""
PART: Final = ".part-"
_NO_STEPS: Final = frozenset({"", ".", ".."})
BLOCK_BYTES: Final = 1 << 20
"""A good amount to read and write at once."""
_UNITS_NS: Final = (1_000_000_000, 1_000_000, 1_000, 100, 1)
"""What schemes and file systems tell times in; 100 ns are those of Windows."""


class StorageError(SiteError):
    """A storage could not do what it was asked for.

    Attributes:
        kind: What went wrong, which decides what is done about it.
        retry_after_s: Seconds that the server asks to wait before the next try, if it does.
    """

    def __init__(
        self,
        kind: ErrorClass,
        message: str,
        retry_after_s: float | None = None,
        *,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.retry_after_s = retry_after_s


class Stat(Value, frozen=True, kw_only=True):
    """What a storage tells of a file without reading it."""

    size: int
    """Bytes."""
    mtime_ns: int | None = None
    """Modification time in ns since the epoch, where the scheme tells it."""


def same_time(one_ns: int | None, other_ns: int | None) -> bool:
    """Tell whether two modification times are one, as far as both were told exactly.

    One storage is seen by several schemes, and most tell seconds only: a time that ends in zeros
    was told so exactly, and the other is compared to that. What was not told is the same as
    nothing.

    >>> same_time(1_700_000_000_123_456_789, 1_700_000_000_000_000_000)
    True
    >>> same_time(1_700_000_000_123_456_789, 1_700_000_000_123_456_000)
    True
    >>> same_time(1_700_000_000_123_456_789, 1_700_000_000_123_457_000)
    False
    """
    if one_ns is None or other_ns is None:
        return False
    unit_ns = max(_unit_ns(one_ns), _unit_ns(other_ns))
    return one_ns // unit_ns == other_ns // unit_ns


def _unit_ns(time_ns: int) -> int:
    return next(unit_ns for unit_ns in _UNITS_NS if time_ns % unit_ns == 0)


class Capabilities(Value, frozen=True, kw_only=True):
    """What a driver can do; what it cannot raises POLICY."""

    writes: bool = True
    """It has parts to write, and removes files."""
    walks: bool = True
    """It lists files."""
    refuses_existing: bool = True
    """Of two that publish one name at once, one is told EXISTS; else only one may write."""
    syncs: bool = True
    """After `sync` the bytes are on the disk, as far as the server tells the truth."""
    local: bool = False
    """Its files have paths on this host, and can be linked."""


class Reader(Protocol):
    """The bytes of a file, from where it was opened to its end."""

    @property
    def size(self) -> int | None:
        """The size of the whole file in bytes, where the scheme tells it."""

    def read(self, n: int, /) -> bytes:
        """Return 1 to `n` bytes, as soon as some are there, or `b""` at the end.

        Raises:
            StorageError: NETWORK when the line broke or the file ended too early, TIMEOUT when
                too little came for too long, CONTENT when the file changed while it was read.
        """


class Part(Protocol):
    """A file on its way: it has no final name yet. `abandon` it in `finally`."""

    def write(self, data: bytes | memoryview, /) -> None:
        """Append all of `data`."""

    def sync(self) -> None:
        """Make what was written whole and durable at the server; nothing is written after it.

        Raises:
            StorageError: when it is not certain that all bytes are there. IO after a failing
                fsync: this part must not be synced again.
        """

    def publish(self) -> None:
        """Give the part its final name, durably, which nobody else has; only after `sync`.

        Raises:
            StorageError: EXISTS when there is a file of that name, which stays as it is. After
                NETWORK or TIMEOUT it is unknown whether it was done: look with `stat`.
        """

    def abandon(self) -> None:
        """Let go of the part and remove it as far as possible; nothing after `publish`.

        It raises nothing: what is left, as after a cut line, is found by its name.
        """


class StorageDriver(Protocol):
    """Reads, writes, lists and removes files below the root of one access row."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def stat(self, path: str) -> Stat | None:
        """Return size and time of the regular file at `path`, or None when there is none."""

    def open_read(self, path: str, start: int = 0) -> AbstractContextManager[Reader]:
        """Open a file to be read from byte `start`; it is closed at the end of the block.

        Raises:
            StorageError: MISSING when there is no such file.
        """

    def open_part(self, path: str, part: str, size: int | None = None) -> Part:
        """Make a new part file for `path`, and the directories above it.

        Args:
            path: The final name it shall have.
            part: Makes the part's name (`part_path`), unique for each try, as `17-2`.
            size: The bytes that will be written, when known; some servers want to know.

        Raises:
            StorageError: EXISTS when that part file is there.
        """

    def unlink(self, path: str) -> bool:
        """Remove a file, also a part file; return whether it was there."""

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Stat]]:
        """Yield all regular files below a directory, in no order; also part files and the marker.

        A directory that is not there has no files.
        """

    def close(self) -> None:
        """Let go of connections and threads; what is open then fails."""


def part_path(path: str, part: str) -> str:
    """Return the path of a part file: hidden, beside the final name.

    >>> part_path("2026/a.fits", "17-2")
    '2026/.a.fits.part-17-2'
    """
    final = PurePosixPath(checked_path(path))
    return str(final.with_name(f".{final.name}{PART}{part}"))


def part_of(path: str) -> tuple[str, str] | None:
    """Return the final path and the `part` of a part file's path, or None when it is another file.

    >>> part_of("2026/.a.fits.part-17-2")
    ('2026/a.fits', '17-2')
    >>> part_of("2026/a.fits") is None
    True
    """
    place = PurePosixPath(path)
    final, found, part = place.name.rpartition(PART)
    if not found or len(final) < 2 or not final.startswith("."):
        return None
    return str(place.with_name(final[1:])), part


def checked_path(path: str) -> str:
    """Return `path` when it stays below the root it is relative to.

    This is less than `names.relative` asks for: what is found in a storage, whatever its name, can
    be looked at and removed.

    Raises:
        StorageError: POLICY when it does not, whoever wrote it into the registry.
    """
    if "\0" in path or not _NO_STEPS.isdisjoint(path.split("/")):
        raise StorageError(ErrorClass.POLICY, f"{path!r} is no path below a storage's root")
    return path
