"""What a storage can really do: found out by doing it, since documents and servers differ."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from secrets import token_hex

from euclid_dask.core.errors import EuclidDaskError
from euclid_dask.core.seams import Clock
from euclid_dask.core.values import Value
from euclid_dask.data import local
from euclid_dask.data.credentials import Credential
from euclid_dask.data.markers import check_marker
from euclid_dask.data.model import Access, ErrorClass, Storage, StorageState
from euclid_dask.data.storage import StorageDriver, StorageError
from euclid_dask.data.storages.file import FileDriver
from euclid_dask.data.storages.opening import open_driver

PROBE = bytes(range(256)) * 33


class Outcome(StrEnum):
    """What came of a question to a storage."""

    YES = "yes"
    """It does so."""
    NO = "no"
    """It does not; we do without."""
    FAILED = "failed"
    """It must, and does not."""


class Finding(Value, frozen=True, kw_only=True):
    """What was found out of a storage."""

    question: str
    outcome: Outcome
    detail: str = ""


Question = tuple[str, bool, Callable[[], bool]]
"""What is asked, whether it must be so, and how it is found out."""


def check_storage(
    storage: Storage, access: Access, credentials: Mapping[str, Credential], clock: Clock
) -> Sequence[Finding]:
    """Find out whether a storage is reached and what it can do; leave nothing behind.

    Only what the storage's state and the access row allow is tried.

    Raises:
        InputError: when the access row is wrong.
    """
    with closing(open_driver(access, credentials, clock)) as driver:
        marked = partial(_marked, driver, storage)
        findings = list(_asked([("is the storage that it should be", True, marked)]))
        writes = access.write and access.delete and storage.state is StorageState.ENABLED
        if findings[0].outcome is Outcome.YES and writes and driver.capabilities.writes:
            findings += probe(driver)
    return findings


def _marked(driver: StorageDriver, storage: Storage) -> bool:
    if storage.marker:
        check_marker(driver, storage.marker)
    return True


def probe(driver: StorageDriver) -> Sequence[Finding]:
    """Find out what a storage that is written can do, in a directory of its own in it."""
    place = f"eufas-probe-{token_hex(4)}"
    try:
        findings = [*_asked(_questions(driver, place))]
        if isinstance(driver, FileDriver) and findings[0].outcome is Outcome.YES:
            findings += _asked(_local_questions(driver.local_path(f"{place}/a.fits")))
    finally:
        _clean(driver, place)
    return findings


def _asked(questions: Sequence[Question]) -> Iterator[Finding]:
    """Ask one after the other; after a failure no more, since they stand on each other."""
    for question, needed, ask in questions:
        detail = ""
        try:
            yes = ask()
        except (EuclidDaskError, OSError) as error:
            yes, detail = False, str(error)
        bad = Outcome.FAILED if needed else Outcome.NO
        yield Finding(question=question, outcome=Outcome.YES if yes else bad, detail=detail)
        if needed and not yes:
            return


def _questions(driver: StorageDriver, place: str) -> Sequence[Question]:
    path = f"{place}/a.fits"
    return (
        ("writes and publishes a file", True, lambda: _put(driver, path)),
        ("reads the same bytes", True, lambda: _content(driver, path) == PROBE),
        ("reads from a position", True, lambda: _content(driver, path, 1000) == PROBE[1000:]),
        ("refuses to replace a file", True, lambda: _refuses(driver, path)),
        (
            "promises so in a race",
            False,
            lambda: driver.capabilities.refuses_existing,
        ),
        ("promises to write to the disk", False, lambda: driver.capabilities.syncs),
        ("tells when a file was changed", False, lambda: _times(driver, path)),
        ("lists files", False, lambda: [path] == [found for found, _ in driver.walk(place)]),
        ("lists hidden files, as parts are", False, lambda: _lists(driver, place, ".b.fits")),
        ("tells a.fits from A.fits", False, lambda: driver.stat(f"{place}/A.fits") is None),
        ("removes a file", True, lambda: _removes(driver, f"{place}/b.fits")),
    )


def _put(driver: StorageDriver, path: str) -> bool:
    part = driver.open_part(path, f"0-{token_hex(4)}", len(PROBE))
    try:
        part.write(PROBE)
        part.sync()
        part.publish()
    finally:
        part.abandon()
    return True


def _content(driver: StorageDriver, path: str, start: int = 0) -> bytes:
    with driver.open_read(path, start) as reader:
        return b"".join(iter(lambda: reader.read(len(PROBE)), b""))


def _refuses(driver: StorageDriver, path: str) -> bool:
    try:
        _put(driver, path)
    except StorageError as error:
        if error.kind is not ErrorClass.EXISTS:
            raise
        return True
    return False


def _times(driver: StorageDriver, path: str) -> bool:
    found = driver.stat(path)
    return found is not None and found.mtime_ns is not None


def _lists(driver: StorageDriver, place: str, name: str) -> bool:
    path = f"{place}/{name}"
    _put(driver, path)
    listed = path in [found for found, _ in driver.walk(place)]
    return driver.unlink(path) and listed


def _removes(driver: StorageDriver, path: str) -> bool:
    _put(driver, path)
    return driver.unlink(path) and driver.stat(path) is None


def _local_questions(file: Path) -> Sequence[Question]:
    """Ask what a file system can do, in the directory of a file that is there."""
    free = file.with_name("free")
    kind = local.filesystem_type(file)
    return (
        (f"is a file system that tells its type: {kind}", False, lambda: bool(kind)),
        ("renames without replacing", False, partial(_renames, file)),
        ("has hard links", False, partial(_tried, os.link, file, free)),
        ("has symbolic links", False, partial(_tried, os.symlink, file, free)),
        ("has reflinks, copies of no bytes", False, partial(_tried, _clone, file, free)),
        ("keeps files read only", False, lambda: file.stat().st_mode & 0o777 == 0o444),
    )


def _renames(file: Path) -> bool:
    other = file.with_name("other")
    other.write_bytes(b"")
    try:
        local.rename_noreplace(other, file)
    except FileExistsError:
        return True
    finally:
        other.unlink()
    return False


def _tried(make: Callable[[Path, Path], None], file: Path, free: Path) -> bool:
    try:
        make(file, free)
    finally:
        free.unlink(missing_ok=True)
    return True


def _clone(file: Path, free: Path) -> None:
    with file.open("rb") as source, free.open("wb") as target:
        local.clone(source.fileno(), target.fileno())


def _clean(driver: StorageDriver, place: str) -> None:
    """Remove what was written, and the directory where we can."""
    with suppress(StorageError):
        for path, _ in list(driver.walk(place)):
            driver.unlink(path)
    if isinstance(driver, FileDriver):
        with suppress(OSError, StorageError):
            driver.local_path(f"{place}/x").parent.rmdir()
