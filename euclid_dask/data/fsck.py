"""Compares a storage with what the registry says of it.

    look    list all files: which are odd, which rows have no file, which files have no row
    judge   look again at each of those, and read it; what only happened meanwhile is no finding
    tell    change the registry

Rule 1: the marker is seen before the first file and after the last; else nothing is known, and
nothing changed: the files of a disk that is away are not lost.
Rule 2: what is found wrong becomes suspect. It is lost or bad only when a person confirms what an
earlier check found, and it is found again.
Rule 3: no file is removed but parts of transfers that have ended; what nobody knows is listed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import PurePosixPath
from typing import Final, TypeVar

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value, replace
from euclid_dask.data.drivers import Opener, seen
from euclid_dask.data.hashing import hash_chunks, mismatch, wanted
from euclid_dask.data.markers import GuardedDriver
from euclid_dask.data.model import ErrorClass, File, Replica, ReplicaState, Transfer
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.holdings import Holding, Holdings
from euclid_dask.data.registry.seen import Seen
from euclid_dask.data.resolve import Use, usable
from euclid_dask.data.states import ACTIVE, REPLICA, ReplicaCue
from euclid_dask.data.storage import (
    BLOCK_BYTES,
    MARKER,
    Stat,
    StorageError,
    part_of,
    same_time,
)

T = TypeVar("T")
_BATCH: Final = 1000
_LEFT_ALONE: Final = frozenset({ReplicaState.DELETING, ReplicaState.OFFLINE})
_EXPECTED: Final = frozenset({ReplicaState.AVAILABLE, ReplicaState.SUSPECT})


class What(StrEnum):
    """What was found."""

    LOST = "lost"
    """There is a replica in the registry, and no file."""
    CHANGED = "changed"
    """The file is not what the registry says."""
    GOOD = "good"
    """It was doubted, or touched; its content is right."""
    UNREAD = "unread"
    """It could not be read, or there is nothing to compare it with."""
    DARK = "dark"
    """There is a file, and the registry does not know it."""
    PART = "part"
    """A part file of no transfer that is under way."""


_CUES: Final = {What.LOST: ReplicaCue.LOSE, What.CHANGED: ReplicaCue.SPOIL}
"""What is wrong, and what a person confirms by that."""


class Finding(Value, frozen=True, kw_only=True):
    """Something that is not as it should be."""

    what: What
    path: str
    """Relative to the storage's root."""
    file: str = ""
    """The name of the file, if the registry knows it."""
    detail: str = ""
    done: str = ""
    """What was made of it: a state of the replica, or `removed`; empty when nothing was."""


class Report(Value, frozen=True, kw_only=True):
    """What the check of a storage found."""

    storage: str
    files: int = 0
    """Files that are there."""
    findings: tuple[Finding, ...] = ()
    error: str = ""
    """Why the storage could not be checked: nothing is known, and nothing was changed."""


class Choices(Value, frozen=True, kw_only=True):
    """How a storage is checked."""

    confirm: bool = False
    """Whether a person says that what was suspect before, and is wrong still, is lost or bad, and
    that parts which nobody knows may go."""
    read_all: bool = False
    """Whether all files are read, and not only those whose size or time is odd."""
    dry_run: bool = False
    """Whether nothing is changed."""


LOOKING: Final = Choices()
"""What is odd becomes suspect, and no more."""


def fsck(
    registry: Registry,
    open_driver: Opener,
    zone: str,
    storage: str,
    choices: Choices = LOOKING,
    watch: Callable[[], None] = lambda: None,
) -> Report:
    """Check a storage as it is seen from a zone; `watch` is called for each file.

    Raises:
        InputError: There is no such storage.
    """
    known = registry.storages.get(storage)
    accesses = registry.storages.accesses(zone)
    reads, removes = (
        list(usable(accesses, {storage: known}, use)) for use in (Use.READ, Use.DELETE)
    )
    try:
        check = _Check(registry, seen(open_driver, known, reads, Use.READ), storage, choices)
        check.look(watch)
        check.judge()
    except StorageError as error:
        return Report(storage=storage, error=error.message)
    if not choices.dry_run:
        check.tell()
        with suppress(StorageError):  # parts are listed, and another host may remove them
            check.remove_parts(seen(open_driver, known, removes, Use.DELETE))
    return check.report()


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    """What was found of a replica, as it was when it was looked at for the second time."""

    replica: Replica
    what: What
    detail: str
    mtime_ns: int | None = None


@dataclass(kw_only=True)
class _Seen:
    """What the first look found."""

    files: int = 0
    odd: list[str] = field(default_factory=list)
    """Paths of replicas to be looked at again."""
    dark: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)


class _Check:
    """One check of one storage."""

    def __init__(
        self, registry: Registry, driver: GuardedDriver, storage: str, choices: Choices
    ) -> None:
        self._registry = registry
        self._driver = driver
        self._storage = storage
        self._choices = choices
        self._holdings = Holdings(registry.database, storage)
        self._seen = _Seen()
        self._verdicts: list[_Verdict] = []
        self._findings: dict[str, Finding] = {}

    def report(self) -> Report:
        """Return what was found, by path."""
        found = tuple(self._findings[path] for path in sorted(self._findings))
        return Report(storage=self._storage, files=self._seen.files, findings=found)

    def look(self, watch: Callable[[], None]) -> None:
        """List all files, and compare the list with the registry."""
        with Seen() as there:
            for batch in _batches(self._files()):
                known = self._at([path for path, _ in batch])
                there.add(known)
                for path, stat in batch:
                    watch()
                    if holding := known.get(path):
                        if self._is_odd(holding, stat):
                            self._seen.odd.append(path)
                    else:
                        is_part = part_of(path) is not None
                        (self._seen.parts if is_part else self._seen.dark).append(path)
            for page in _batches(self._expected()):
                paths = [one.replica.path for one in page if one.replica.state in _EXPECTED]
                self._seen.odd += there.missing(paths)
            self._seen.files = there.count + len(self._seen.dark) + len(self._seen.parts)

    def judge(self) -> None:
        """Look again at what is odd, when all else has been seen; the storage is still there."""
        for batch in _batches(self._seen.odd):
            known = self._at(batch)
            files = self._registry.files([one.replica.file for one in known.values()])
            for holding in known.values():
                if holding.replica.state not in _LEFT_ALONE:
                    self._judge(holding.replica, files[holding.replica.file])
        for batch in _batches(self._seen.dark):
            self._judge_unknown(batch)
        for batch in _batches(self._seen.parts):
            finals = {path: (part_of(path) or ("", ""))[0] for path in batch}
            transfers = self._transfers(finals.values())
            for path, final in finals.items():
                self._judge_part(path, transfers.get(PurePosixPath(final).name, ()))
        self._driver.check()

    def tell(self) -> None:
        """Tell the registry what was found."""
        good = [one for one in self._verdicts if one.what is What.GOOD]
        for batch in _batches(good):
            self._verify(batch)
        wrong = [one for one in self._verdicts if one.what in _CUES]
        is_new = [one for one in wrong if one.replica.state is ReplicaState.AVAILABLE]
        self._change_all((ReplicaCue.SUSPECT, one) for one in is_new)
        self._change_all((_CUES[one.what], one) for one in wrong if self._is_confirmed(one))

    def remove_parts(self, driver: GuardedDriver) -> None:
        """Remove parts of transfers that have ended, and with a person's word others too."""
        for path, finding in self._findings.items():
            if finding.what is What.PART and (finding.file or self._choices.confirm):
                driver.unlink(path)
                self._done([path], "removed")

    def _files(self) -> Iterator[tuple[str, Stat]]:
        if self._driver.capabilities.walks:
            yield from (found for found in self._driver.walk() if found[0] != MARKER)
            return
        for holding in self._expected():  # it cannot list its files, but tell of each
            path = holding.replica.path
            if holding.replica.state not in _LEFT_ALONE and (stat := self._driver.stat(path)):
                yield path, stat

    def _expected(self) -> Iterator[Holding]:
        after = ""
        while page := self._holdings.page(after=after, limit=_BATCH):
            yield from page
            after = page[-1].replica.path

    def _at(self, paths: Sequence[str]) -> dict[str, Holding]:
        """Return what should be at these paths, of which some may be no text at all."""
        return self._holdings.at([path for path in paths if _is_text(path)])

    def _is_odd(self, holding: Holding, stat: Stat) -> bool:
        replica = holding.replica
        if replica.state in _LEFT_ALONE:
            return False
        is_doubted = replica.state is not ReplicaState.AVAILABLE
        is_other = stat.size != holding.size or _is_touched(replica, stat)
        return is_doubted or is_other or self._choices.read_all

    def _judge(self, replica: Replica, file: File) -> None:
        stat = self._driver.stat(replica.path)
        if stat is None:
            what, detail = What.LOST, "there is no such file"
        elif problem := mismatch(replace(file, checksums=()), stat.size, ()):
            what, detail = What.CHANGED, problem
        elif not file.checksums:
            what, detail = What.UNREAD, "no checksum of it is known"
        else:
            what, detail = self._read(replica, file)
        is_news = replica.state is not ReplicaState.AVAILABLE or _is_touched(replica, stat)
        if what is What.GOOD and not is_news:
            return
        if what is What.UNREAD and not is_news and not file.checksums:
            return
        found = Finding(what=what, path=replica.path, file=replica.file, detail=detail)
        self._findings[replica.path] = found
        mtime_ns = None if stat is None else stat.mtime_ns
        self._verdicts.append(
            _Verdict(replica=replica, what=what, detail=detail, mtime_ns=mtime_ns)
        )

    def _read(self, replica: Replica, file: File) -> tuple[What, str]:
        """Return whether the content of a file of the right size is right."""
        try:
            with self._driver.open_read(replica.path) as reader:
                blocks = iter(lambda: reader.read(BLOCK_BYTES), b"")
                hasher = hash_chunks(blocks, wanted(file))
        except StorageError as error:
            if error.kind is ErrorClass.AWAY:
                raise
            return What.UNREAD, error.message
        problem = mismatch(file, hasher.size, hasher.checksums())
        return (What.CHANGED, problem) if problem else (What.GOOD, "its content is right")

    def _judge_unknown(self, paths: Sequence[str]) -> None:
        transfers = self._transfers(paths)  # first: one that ends then has its replica below
        known = self._at(paths)
        for path in paths:
            coming = transfers.get(PurePosixPath(path).name, ())
            is_coming = any(it.state in ACTIVE for it in coming)
            if path not in known and not is_coming and self._driver.stat(path):
                self._findings[path] = Finding(what=What.DARK, path=path)

    def _transfers(self, paths: Iterable[str]) -> dict[str, list[Transfer]]:
        """Return all transfers to this storage of files of these names."""
        names = {PurePosixPath(path).name for path in paths if _is_text(path)}
        found = defaultdict(list)
        for transfer in self._registry.transfers.of_files(sorted(names)):
            if transfer.destination == self._storage:
                found[transfer.file].append(transfer)
        return found

    def _judge_part(self, path: str, transfers: Sequence[Transfer]) -> None:
        final, part = part_of(path) or ("", "")
        name = PurePosixPath(final).name
        for transfer in transfers:
            number, _, fence = part.partition("-")
            if number == str(transfer.id):
                if transfer.state in ACTIVE and fence == str(transfer.fence):
                    return
                detail = f"transfer {transfer.id} is {transfer.state}"
                self._findings[path] = Finding(what=What.PART, path=path, file=name, detail=detail)
                return
        detail = "of no transfer of this registry; perhaps somebody writes it"
        self._findings[path] = Finding(what=What.PART, path=path, detail=detail)

    def _is_confirmed(self, verdict: _Verdict) -> bool:
        return self._choices.confirm and verdict.replica.state is ReplicaState.SUSPECT

    def _verify(self, good: Sequence[_Verdict]) -> None:
        """Register replicas as verified again: all at once, one by one when one is refused."""
        fresh = [
            replace(
                one.replica, state=ReplicaState.AVAILABLE, mtime_ns=one.mtime_ns, checked_at_s=0.0
            )
            for one in good
        ]
        try:
            self._registry.register(replicas=fresh)
        except InputError:  # one is being removed meanwhile
            if len(good) > 1:
                for one in good:
                    self._verify([one])
            return
        self._done([one.path for one in fresh], ReplicaState.AVAILABLE)

    def _change_all(self, wrong: Iterable[tuple[ReplicaCue, _Verdict]]) -> None:
        alike = defaultdict(list)
        for cue, one in wrong:
            alike[cue, f"fsck: {one.detail}"].append(one)
        for (cue, detail), verdicts in alike.items():
            for batch in _batches(verdicts):
                self._change(batch, cue, detail)

    def _change(self, wrong: Sequence[_Verdict], cue: ReplicaCue, detail: str) -> None:
        pairs = [(one.replica.file, self._storage) for one in wrong]
        try:
            self._registry.change_replicas(pairs, cue, detail, confirmed=self._choices.confirm)
        except InputError:  # one is being removed meanwhile, or was found good
            if len(wrong) > 1:
                for one in wrong:
                    self._change([one], cue, detail)
            return
        self._done([one.replica.path for one in wrong], REPLICA.target(cue))

    def _done(self, paths: Iterable[str], done: str) -> None:
        for path in paths:
            self._findings[path] = replace(self._findings[path], done=str(done))


def _is_touched(replica: Replica, stat: Stat | None) -> bool:
    if stat is None or stat.mtime_ns is None or replica.mtime_ns is None:
        return False
    return not same_time(stat.mtime_ns, replica.mtime_ns)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8: no name in the registry
        return False
    return True


def _batches(things: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(things)
    while batch := list(islice(rest, _BATCH)):
        yield batch
