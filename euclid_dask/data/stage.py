"""Puts inputs where executables look for them, in a workdir: `W/<name>.xml`, `W/data/<name>`.

The best is no copy. In this order, what the file systems can and the site allows: a *reflink*
(shares the blocks; the task may even write), a *symlink* to the real path (one level), a *hardlink*
(only of what nobody can write), and one *copy*, whose bytes are hashed as they pass.

Rule 1: what is there already is never replaced: it is that file, as when it was staged before, or
the input is refused.
Rule 2: what is staged is written to the manifest, `stage.json`, before a task starts.
Rule 3: one process at a time stages into a directory.
"""

import errno
import os
import stat as kinds
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.core.values import Value, json_reader, to_json
from euclid_dask.data.hashing import CHUNK_BYTES, Hasher, hash_chunks, mismatch, wanted
from euclid_dask.data.local import clone, publish, write_whole
from euclid_dask.data.model import ErrorClass, File
from euclid_dask.data.names import relative
from euclid_dask.data.storage import StorageError, part_path, same_time
from euclid_dask.data.storages.failures import failure

MANIFEST: Final = "stage.json"


class Method(StrEnum):
    """How an input came into a workdir."""

    REFLINK = "reflink"
    """A file of its own that shares the blocks until it is written; needs one file system."""
    SYMLINK = "symlink"
    """A link to the replica's real path."""
    HARDLINK = "hardlink"
    """A second name of the replica, which is read only."""
    COPY = "copy"
    """Its bytes were copied."""
    NONE = "none"
    """It was there: the replica itself, or a link to it that somebody else had made."""


METHODS: Final = (Method.REFLINK, Method.SYMLINK, Method.HARDLINK, Method.COPY)
"""What can be done, the best first. A site whose tasks do not see the storages leaves links out."""


class Verify(StrEnum):
    """When the bytes of an input are read and hashed before it is linked."""

    NEVER = "never"
    """Only its size is looked at."""
    CHANGED = "changed"
    """When its time is not the one at which it was verified."""
    ALWAYS = "always"
    """Each time: slow, as large frames are read twice."""


class Source(Value, frozen=True, kw_only=True):
    """An input, and where this host sees it."""

    place: str
    """Where it is to be, below the directory, as `data/EUC_x.fits`."""
    path: str
    """An absolute path."""
    file: File
    mtime_ns: int | None = None
    """The replica's time when it was verified, None if the registry does not know it."""
    product: str = ""
    """The id of the product that names it."""


class Entry(Value, frozen=True, kw_only=True):
    """An input that was staged, and what it was then."""

    place: str
    method: Method
    path: str
    """The real path of the replica."""
    file: File
    product: str = ""
    inode: int
    mtime_ns: int


class Manifest(Value, frozen=True, kw_only=True):
    """What was staged into one directory."""

    zone: str
    entries: tuple[Entry, ...]


def stage(
    sources: Iterable[Source],
    directory: Path,
    *,
    zone: str,
    methods: Sequence[Method] = METHODS,
    verify: Verify = Verify.CHANGED,
) -> Manifest:
    """Put inputs into a directory, and add them to the manifest there; return what they are.

    Args:
        sources: The inputs; the same one may come more than once.
        directory: Where they are to be; it exists.
        zone: The zone of this host, for the manifest.
        methods: What may be done, in order.
        verify: When to read an input before it is linked.

    Raises:
        InputError: Two inputs want one place, or something else is there.
        StorageError: A replica is gone (MISSING), or not what it was (CONTENT).
        SiteError: The directory cannot be written, or no method is possible.
    """
    path = directory / MANIFEST
    known = {one.place: one for one in read_manifest(directory).entries} if path.exists() else {}
    stager = _Stager(directory, methods, verify, known)
    entries = {source.place: stager.put(source) for source in _distinct(sources)}
    with _told(path):
        whole = Manifest(zone=zone, entries=tuple((known | entries).values()))
        write_whole(path, to_json(whole) + b"\n")
    return Manifest(zone=zone, entries=tuple(entries.values()))


def read_manifest(directory: Path) -> Manifest:
    """Return what was staged into a directory.

    Raises:
        SiteError: There is no manifest, or it is damaged.
    """
    path = directory / MANIFEST
    try:
        return json_reader(Manifest)(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SiteError(f"{path}: cannot be read: {error}") from error


def _distinct(sources: Iterable[Source]) -> Iterable[Source]:
    found: dict[str, Source] = {}
    for source in sources:
        known = found.setdefault(source.place, source)
        if known.file.name != source.file.name:
            raise InputError(
                f"{known.file.name} and {source.file.name} both are to be {source.place}"
            )
    return found.values()


_OF_ITS_OWN: Final = frozenset({Method.REFLINK, Method.COPY})
"""What is changed without harm to the replica."""
_UNSUPPORTED: Final = frozenset(
    {
        *(errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS, errno.EINVAL, errno.EXDEV),
        *(errno.EPERM, errno.EMLINK, errno.ETXTBSY),
    }
)
"""What file systems answer that cannot link or reflink."""


class _Stager:
    """Stages inputs into one directory, and remembers what its file system cannot do."""

    def __init__(
        self,
        directory: Path,
        methods: Sequence[Method],
        verify: Verify,
        known: Mapping[str, Entry],
    ) -> None:
        self._directory = directory
        self._methods = methods
        self._verify = verify
        self._known = known
        self._impossible: set[tuple[Method, int]] = set()
        self._made: set[Path] = set()

    def put(self, source: Source) -> Entry:
        target = self._directory / relative(source.place)
        with _told(target):
            kept = self._kept(source, target)
        if kept in _OF_ITS_OWN and source.place in self._known:
            return self._known[source.place]
        is_link = kept is not None and target.is_symlink()
        real = Path(os.path.realpath(target if is_link else source.path))
        with _opened(real) as fd:
            status = os.fstat(fd)
            self._check(source, real, fd, status)
            with _told(target):
                method = kept or self._made_by(source, real, fd, target)
        return Entry(
            place=source.place,
            method=method,
            path=str(real),
            file=source.file,
            product=source.product,
            inode=status.st_ino,
            mtime_ns=status.st_mtime_ns,
        )

    def _kept(self, source: Source, target: Path) -> Method | None:
        """Return how the input came to where it is already, None if it is not there."""
        known = self._known.get(source.place)
        is_ours = known is not None and known.file.name == source.file.name
        if not target.exists():
            if is_ours and target.is_symlink():
                target.unlink()  # it leads nowhere any more
            return None
        if known is not None and is_ours and target.stat().st_size == source.file.size:
            return known.method
        if os.path.exists(source.path) and target.samefile(source.path):  # noqa: PTH110
            return Method.NONE
        if not target.is_symlink() and _is_copy(target, source.file):
            return Method.COPY
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))

    def _check(self, source: Source, real: Path, fd: int, status: os.stat_result) -> None:
        if status.st_size != source.file.size:
            problem = f"has {status.st_size} bytes, and not {source.file.size}"
            raise StorageError(ErrorClass.CONTENT, f"{real}: {problem}")
        unchanged = same_time(source.mtime_ns, status.st_mtime_ns)
        if self._verify is Verify.NEVER or (self._verify is Verify.CHANGED and unchanged):
            return
        _compare(source, hash_chunks(_chunks(fd), wanted(source.file)))

    def _make_parent(self, target: Path) -> None:
        if target.parent not in self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(target.parent)

    def _made_by(self, source: Source, real: Path, fd: int, target: Path) -> Method:
        """Put an input to its place; return how."""
        self._make_parent(target)
        status = os.fstat(fd)
        for method in self._methods:
            if (key := (method, status.st_dev)) in self._impossible:
                continue
            if method is Method.HARDLINK and status.st_mode & 0o222:
                continue
            try:
                self._carry_out(method, source, real, fd, target)
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
                self._impossible.add(key)
            else:
                return method
        allowed = ", ".join(self._methods)
        raise SiteError(f"{target}: cannot be made from {real} by {allowed}")

    def _carry_out(self, method: Method, source: Source, real: Path, fd: int, target: Path) -> None:
        match method:
            case Method.REFLINK:
                _reflink(fd, target)
            case Method.SYMLINK:
                target.symlink_to(real)
            case Method.HARDLINK:
                os.link(real, target, follow_symlinks=False)
            case Method.COPY:
                _copy(source, fd, target)
            case Method.NONE:
                raise ValueError("what is not there yet is not made by doing nothing")


@contextmanager
def _opened(real: Path) -> Iterator[int]:
    """Open a regular file; whatever else has its name does not keep us waiting."""
    try:
        fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise failure(error, str(real)) from error
    try:
        if not kinds.S_ISREG(os.fstat(fd).st_mode):
            raise StorageError(ErrorClass.CONTENT, f"{real}: is no regular file")
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise InputError(
            f"{target} is there already, and is another file",
            hint="remove or rename it, or use another workdir",
        ) from error
    except OSError as error:
        raise SiteError(f"{target}: {error.strerror}") from error


def _chunks(fd: int) -> Iterator[bytes]:
    os.lseek(fd, 0, os.SEEK_SET)
    while chunk := os.read(fd, CHUNK_BYTES):
        yield chunk


def _compare(source: Source, hasher: Hasher) -> None:
    if problem := mismatch(source.file, hasher.size, hasher.checksums()):
        raise StorageError(ErrorClass.CONTENT, f"{source.path}: {problem}")


def _is_copy(target: Path, file: File) -> bool:
    """Tell whether a file is one that was copied before somebody was killed."""
    if target.stat().st_size != file.size or not target.is_file():
        return False
    with _opened(target) as fd:
        hasher = hash_chunks(_chunks(fd), wanted(file))
    return not mismatch(file, hasher.size, hasher.checksums())


def _reflink(fd: int, target: Path) -> None:
    with _part(target) as made:
        clone(fd, made)


def _copy(source: Source, fd: int, target: Path) -> None:
    hasher = Hasher(wanted(source.file))
    with _part(target) as made:
        os.fchmod(made, 0o444)
        for chunk in _chunks(fd):
            hasher.update(chunk)
            _write(made, chunk)
        _compare(source, hasher)


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


@contextmanager
def _part(target: Path) -> Iterator[int]:
    """Give a new file that is to be `target`; it gets that name when it is whole."""
    part = target.with_name(part_path(target.name, "stage"))
    part.unlink(missing_ok=True)  # of somebody who was killed
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        try:
            yield fd
        finally:
            os.close(fd)
        publish(part, target)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
