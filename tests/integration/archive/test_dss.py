"""Files in a file store of the archive."""

import hashlib
from contextlib import closing
from pathlib import Path

import fake_archive
import pytest
from fake_archive import PASSWORD, USER, FakeArchive

from euclid_dask.core.errors import InputError
from euclid_dask.data.archive.dss import DssDriver
from euclid_dask.data.archive.session import Session
from euclid_dask.data.credentials import Credential
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.model import Access, ErrorClass, File, Replica, Storage, TransferState
from euclid_dask.data.mover import Mover, Settings
from euclid_dask.data.registry import Registry
from euclid_dask.data.storage import MARKER, Stat, StorageDriver, StorageError, part_path
from euclid_dask.data.storages.opening import open_driver
from euclid_dask.worker.clock import SystemClock

NAME = "EUC_VIS_RAW_1.fits"
CONTENT = b"SIMPLE  =                    T" + bytes(range(256)) * 40


@pytest.fixture
def store(session: Session, archive: FakeArchive) -> DssDriver:
    """A store with one file."""
    archive.files[NAME] = CONTENT
    return DssDriver(archive.url, session)


def _put(store: DssDriver, name: str, content: bytes) -> None:
    part = store.open_part(name, "1-1", len(content))
    part.write(content)
    part.sync()
    part.publish()


def test_size_md5_and_places_are_told(store: DssDriver, archive: FakeArchive) -> None:
    assert store.stat(NAME) == Stat(size=len(CONTENT))
    assert store.md5(NAME) == hashlib.md5(CONTENT).hexdigest()
    assert store.locate(NAME) == (archive.url,)
    assert store.stat("other.fits") is None
    assert store.md5("other.fits") is None
    assert archive.asked("STAT") == []


def test_a_file_is_read_from_any_byte(store: DssDriver) -> None:
    with store.open_read(NAME, 100) as reader:
        read = b"".join(iter(lambda: reader.read(1000), b""))
    assert read == CONTENT[100:]


def test_a_file_is_seen_when_its_checksums_were_compared(
    store: DssDriver, archive: FakeArchive
) -> None:
    part = store.open_part("new.fits", "1-1", 4)
    part.write(b"abcd")
    part.sync()
    assert store.stat("new.fits") is None
    part.publish()

    assert archive.files["new.fits"] == b"abcd"
    (headers,) = archive.asked("DSSSTORED")
    assert headers["MD5SUM"] == hashlib.md5(b"abcd").hexdigest()
    assert headers["SIZE"] == "4"


def test_the_same_content_again_is_fine(store: DssDriver, archive: FakeArchive) -> None:
    _put(store, NAME, CONTENT)

    assert archive.files[NAME] == CONTENT


def test_other_content_by_a_name_is_refused(store: DssDriver, archive: FakeArchive) -> None:
    with pytest.raises(StorageError, match="has another file by the name") as caught:
        _put(store, NAME, b"other")

    assert caught.value.kind is ErrorClass.EXISTS
    assert archive.files[NAME] == CONTENT


def test_an_answer_that_was_lost_is_asked_for(store: DssDriver, archive: FakeArchive) -> None:
    archive.fail("DSSSTORED", fake_archive.answers(b"lost", 502))

    _put(store, "new.fits", b"abcd")

    assert archive.files["new.fits"] == b"abcd"


@pytest.mark.parametrize(
    ("verb", "fault", "message"),
    [
        ("SIZE", fake_archive.pickled, "a Python pickle, which is never read"),
        ("SIZE", fake_archive.html, "a web page came in place of an answer"),
        ("SIZE", fake_archive.answers(b"about 7"), "asked for SIZE of .*, it answers 'about 7'"),
    ],
)
def test_what_is_no_size_is_told(
    store: DssDriver, archive: FakeArchive, verb: str, fault: fake_archive.Fault, message: str
) -> None:
    archive.fail(verb, fault)

    with pytest.raises(StorageError, match=message):
        store.stat(NAME)


def test_the_pickle_that_answers_stat_is_not_read(session: Session, store: DssDriver) -> None:
    with pytest.raises(StorageError, match="a Python pickle, which is never read") as caught:
        session.ask("GET", store.url(NAME), {"pragma": "STAT"})
    assert caught.value.kind is ErrorClass.CONTENT


def test_what_is_no_md5_is_told(store: DssDriver, archive: FakeArchive) -> None:
    archive.fail("MD5SUM", fake_archive.answers(b"0"))

    with pytest.raises(StorageError, match="asked for MD5SUM"):
        store.md5(NAME)


def test_a_login_page_is_no_file(store: DssDriver, archive: FakeArchive) -> None:
    archive.fail("DSSGET", fake_archive.html)

    with (
        pytest.raises(StorageError, match="a web page came in place of the file"),
        store.open_read(NAME),
    ):
        pass


@pytest.mark.parametrize("name", ["../x", "", "a/.hidden", "x y", "a//b", "a/"])
def test_what_can_be_no_name_is_refused(store: DssDriver, name: str) -> None:
    with pytest.raises(StorageError) as caught:
        store.stat(name)
    assert caught.value.kind is ErrorClass.POLICY


def test_nothing_is_removed_or_listed(store: DssDriver) -> None:
    with pytest.raises(StorageError, match="nothing is removed from the archive"):
        store.unlink(NAME)
    with pytest.raises(StorageError, match="lists no files"):
        store.walk()


def _opened(root: str) -> StorageDriver:
    access = Access(storage="eas", zone="z", root=root, credential="me")
    known = {"me": Credential(user=USER, password=PASSWORD)}
    return open_driver(access, known, SystemClock())


def test_a_store_is_a_storage_with_a_scheme_of_its_own(archive: FakeArchive) -> None:
    archive.files[NAME] = CONTENT

    with closing(_opened(archive.url.replace("http://", "dss+http://"))) as driver:
        assert driver.stat(NAME) == Stat(size=len(CONTENT))
        assert not driver.unlink(part_path(NAME, "7-1"))


def test_a_password_goes_nowhere_in_clear() -> None:
    with pytest.raises(InputError, match="spoken to by https://"):
        _opened("dss+http://dss.example")


def test_a_busy_storage_says_when_to_come_again(archive: FakeArchive) -> None:
    archive.fail("SIZE", fake_archive.busy(99))

    with (
        closing(_opened(archive.url.replace("http://", "dss+http://"))) as driver,
        pytest.raises(StorageError) as caught,
    ):
        driver.stat(NAME)
    assert (caught.value.kind, caught.value.retry_after_s) == (ErrorClass.BUSY, 99)


@pytest.mark.parametrize(("source", "goal"), [("eas", "here"), ("here", "eas")])
def test_the_mover_brings_files_from_a_store_and_to_it(
    archive: FakeArchive, tmp_path: Path, source: str, goal: str
) -> None:
    known = {"me": Credential(user=USER, password=PASSWORD)}
    file = File(name=NAME, size=len(CONTENT), checksums=hash_chunks([CONTENT]).checksums())
    paths = {"eas": NAME, "here": f"in/{NAME}"}
    if source == "eas":
        archive.files[NAME] = CONTENT
    else:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / NAME).write_bytes(CONTENT)
    (tmp_path / MARKER).write_text("here\n")
    roots = {"eas": archive.url.replace("http://", "dss+http://"), "here": f"file://{tmp_path}"}
    with Registry(tmp_path / "r.sqlite") as registry:
        for name, root in roots.items():
            registry.storages.put(Storage(name=name, marker="" if name == "eas" else name))
            credential = "me" if name == "eas" else ""
            way = Access(storage=name, zone="z", root=root, credential=credential)
            registry.storages.put_access([way])
        registry.register([file], [Replica(file=NAME, storage=source, path=paths[source])])
        registry.transfers.enqueue([(NAME, goal)])

        clock = SystemClock()
        mover = Mover(
            registry,
            lambda access: open_driver(access, known, clock),
            clock,
            Settings(worker="w", zone="z"),
        )
        mover.drain()
        mover.close()

        (done,) = registry.transfers.of_files([NAME])
        assert (done.state, done.error) == (TransferState.DONE, "")
    assert archive.files[NAME] == CONTENT
