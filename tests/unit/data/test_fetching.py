"""Files are brought from whichever source has them, and go on where they were cut."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.data.fetching import Fetcher, Outcome, Wanted
from euclid_dask.data.filling import Fetched, How
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.model import Access, ErrorClass, File
from euclid_dask.data.resolve import Location
from euclid_dask.data.storage import BLOCK_BYTES, Reader, StorageError

CONTENT = bytes(range(256)) * 4096 * 3  # three blocks
NAME = "EUC_a.fits"
FILE = File(name=NAME, size=len(CONTENT), checksums=hash_chunks([CONTENT]).checksums())
PART = f"data/.{NAME}.part-get"


class Bytes:
    """The bytes of a file, until its line is cut after some."""

    def __init__(self, content: bytes, start: int, cut: int | None) -> None:
        self._rest = memoryview(content)[start:]
        self._left = len(self._rest) if cut is None else cut
        self.size = len(content)

    def read(self, n: int, /) -> bytes:
        if self._rest and not self._left:
            raise StorageError(ErrorClass.NETWORK, "the line was cut")
        found = bytes(self._rest[: min(n, self._left)])
        self._rest = self._rest[len(found) :]
        self._left -= len(found)
        return found


class Archive:
    """A storage of one file, that can be away, wrong, or cut each line after some bytes."""

    def __init__(
        self,
        content: bytes = CONTENT,
        *,
        cut: int | None = None,
        error: ErrorClass | None = None,
        cuts: int = 1000,
    ) -> None:
        self._content = content
        self._cut = cut
        self._error = error
        self._cuts = cuts
        self.starts: list[int] = []

    @contextmanager
    def open_read(self, _: str, start: int = 0) -> Iterator[Reader]:
        self.starts.append(start)
        if self._error is not None:
            raise StorageError(self._error, "planted")
        self._cuts -= 1
        yield Bytes(self._content, start, self._cut if self._cuts >= 0 else None)

    def close(self) -> None:
        pass


def place(name: str) -> Location:
    return Location(access=Access(storage=name, zone="z", root=f"http://{name}"), path=NAME)


def fetch(
    to: Path, *archives: Archive, file: File = FILE, watch: Callable[[int], None] = lambda _: None
) -> tuple[Outcome, Fetcher]:
    drivers = {f"s{number}": archive for number, archive in enumerate(archives)}
    fetcher = Fetcher(
        lambda access: drivers[access.storage],  # type: ignore[arg-type,return-value]
        to,
        watch,
        pauses_s=(0.0,),
    )
    wanted = Wanted(file=file, place=f"data/{NAME}", sources=tuple(map(place, drivers)))
    return fetcher.fetch([wanted])[NAME], fetcher


def refused(outcome: Outcome) -> str:
    assert isinstance(outcome, Exception)
    return str(outcome)


def test_a_file_is_brought_compared_and_kept(tmp_path: Path) -> None:
    seen: list[int] = []
    outcome, _ = fetch(tmp_path, Archive(), watch=seen.append)
    assert outcome == Fetched(name=NAME, how=How.COPIED, size=FILE.size, brought=FILE.size)
    assert (tmp_path / "data" / NAME).read_bytes() == CONTENT
    assert sum(seen) == FILE.size
    again, _ = fetch(tmp_path, Archive(error=ErrorClass.AWAY))
    assert again == Fetched(name=NAME, how=How.KEPT, size=FILE.size, brought=0)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [NAME]


def test_another_source_is_taken_where_one_fails(tmp_path: Path) -> None:
    outcome, fetcher = fetch(
        tmp_path,
        Archive(error=ErrorClass.AUTH),
        Archive(b"\1" + CONTENT[1:]),
        Archive(),
    )
    assert isinstance(outcome, Fetched)
    assert (tmp_path / "data" / NAME).read_bytes() == CONTENT
    first, second = (one.message for one in fetcher.troubles)
    assert first == "planted"
    assert second.startswith(f"http://s1/{NAME}: ")
    assert "adler32" in second


def test_what_was_cut_goes_on_from_another_source(tmp_path: Path) -> None:
    second = Archive()
    outcome, _ = fetch(tmp_path, Archive(cut=1000), second)
    assert isinstance(outcome, Fetched)
    assert second.starts == [1000]
    assert (tmp_path / "data" / NAME).read_bytes() == CONTENT


def test_what_an_earlier_process_left_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / PART).write_bytes(CONTENT[:BLOCK_BYTES])
    archive = Archive()
    outcome, _ = fetch(tmp_path, archive)
    assert outcome == Fetched(
        name=NAME, how=How.RESUMED, size=FILE.size, brought=FILE.size - BLOCK_BYTES
    )
    assert archive.starts == [BLOCK_BYTES]


def test_what_an_earlier_process_left_and_is_wrong_is_brought_anew(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / PART).write_bytes(b"\1" * 1000)
    outcome, _ = fetch(tmp_path, Archive())
    assert isinstance(outcome, Fetched)
    assert outcome.how is How.COPIED
    assert (tmp_path / "data" / NAME).read_bytes() == CONTENT


def test_a_line_that_is_cut_again_and_again_brings_it_nevertheless(tmp_path: Path) -> None:
    archive = Archive(cut=BLOCK_BYTES)
    outcome, _ = fetch(tmp_path, archive)
    assert isinstance(outcome, Fetched)
    assert archive.starts == [0, BLOCK_BYTES, 2 * BLOCK_BYTES]


def test_what_fails_in_a_way_that_may_pass_is_tried_once_more(tmp_path: Path) -> None:
    archive = Archive(cut=1000, cuts=1)
    outcome, _ = fetch(tmp_path, archive)
    assert isinstance(outcome, Fetched)
    assert archive.starts == [0, 1000]


def test_a_file_that_nobody_has_right_gets_no_name(tmp_path: Path) -> None:
    outcome, _ = fetch(tmp_path, Archive(b"\1" + CONTENT[1:]))
    assert "adler32" in refused(outcome)
    assert list((tmp_path / "data").iterdir()) == []


def test_what_is_there_with_other_content_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / NAME).write_text("mine")
    outcome, _ = fetch(tmp_path, Archive())
    assert isinstance(outcome, InputError)
    assert (tmp_path / "data" / NAME).read_text() == "mine"


def test_a_file_without_checksums_is_refused(tmp_path: Path) -> None:
    outcome, _ = fetch(tmp_path, Archive(), file=File(name=NAME, size=FILE.size))
    assert "nobody knows a checksum" in refused(outcome)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    outcome, _ = fetch(tmp_path, Archive())
    assert str(tmp_path / "data") in refused(outcome)


def test_of_two_that_want_one_file_one_brings_it(tmp_path: Path) -> None:
    archive = Archive()
    found: list[Outcome] = []
    both = [
        threading.Thread(target=lambda: found.append(fetch(tmp_path, archive)[0])) for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(one.how for one in found if isinstance(one, Fetched)) == ["copied", "kept"]
    assert archive.starts == [0]


def test_what_is_stopped_does_not_go_on_as_after_a_cut_line(tmp_path: Path) -> None:
    archive = Archive()
    fetcher = Fetcher(
        lambda _: archive,  # type: ignore[arg-type,return-value]
        tmp_path,
        lambda _: fetcher.stop(),
    )
    wanted = Wanted(file=FILE, place=f"data/{NAME}", sources=(place("s0"),))
    assert "stopped on request" in refused(fetcher.fetch([wanted])[NAME])
    assert archive.starts == [0]
    assert (tmp_path / PART).stat().st_size == BLOCK_BYTES


def test_an_interrupt_leaves_a_part_to_go_on_with(tmp_path: Path) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, Archive(), watch=interrupted)
    assert (tmp_path / PART).stat().st_size == BLOCK_BYTES
    archive = Archive()
    fetch(tmp_path, archive)
    assert archive.starts == [BLOCK_BYTES]
