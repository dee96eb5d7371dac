"""The marker: a missing or wrong disk is told, and nothing in it is lost or written."""

from contextlib import closing
from pathlib import Path

import pytest
from memory_driver import MemoryDriver

from euclid_dask.data.markers import GuardedDriver, check_marker, write_marker
from euclid_dask.data.model import Access, ErrorClass, Storage, StorageState
from euclid_dask.data.probing import Outcome, check_storage, probe
from euclid_dask.data.storage import MARKER, StorageError
from euclid_dask.data.storages.file import FileDriver
from euclid_dask.data.storages.opening import open_storage


class NoClock:
    def now_s(self) -> float:
        return 0.0

    def wait_until(self, deadline_s: float) -> None:
        raise AssertionError


def refused(call) -> ErrorClass:
    with pytest.raises(StorageError) as error:
        call()
    return error.value.kind


def put(driver, path: str = "a/x.fits") -> None:
    part = driver.open_part(path, "1-1")
    part.write(b"x")
    part.sync()
    part.publish()


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """Return the root of a storage marked `m1` with a file in it."""
    root = tmp_path / "mount"
    root.mkdir()
    driver = FileDriver(root)
    write_marker(driver, "m1")
    put(driver)
    return root


def test_a_marker_is_written_once(mount):
    driver = FileDriver(mount)
    write_marker(driver, "m1")
    check_marker(driver, "m1")
    assert refused(lambda: write_marker(driver, "m2")) is ErrorClass.POLICY
    check_marker(driver, "m1")
    assert {path for path, _ in driver.walk()} == {MARKER, "a/x.fits"}


@pytest.mark.parametrize("state", ["missing", "empty", "other"])
def test_a_disk_that_is_away_or_wrong_is_told_and_not_touched(mount, state):
    guarded = GuardedDriver(FileDriver(mount), "m1")
    mount.rename(mount.with_name("unmounted"))
    if state != "missing":
        mount.mkdir()
    if state == "other":
        write_marker(FileDriver(mount), "m2")
    before = sorted(mount.rglob("*")) if mount.exists() else None

    def read() -> None:
        with guarded.open_read("a/x.fits"):
            pass

    for call in (
        lambda: guarded.stat("a/x.fits"),
        read,
        lambda: guarded.open_part("a/y.fits", "1-1"),
        lambda: guarded.unlink("a/x.fits"),
        lambda: list(guarded.walk()),
    ):
        assert refused(call) is ErrorClass.AWAY
    assert before == (sorted(mount.rglob("*")) if mount.exists() else None)


def test_a_disk_that_goes_away_while_it_is_listed_is_told(mount):
    guarded = GuardedDriver(FileDriver(mount), "m1")
    listing = guarded.walk()
    next(listing)
    mount.rename(mount.with_name("unmounted"))
    assert refused(lambda: list(listing)) is ErrorClass.AWAY


def test_a_missing_file_of_a_storage_that_is_there_is_missing(mount):
    guarded = GuardedDriver(FileDriver(mount), "m1")
    assert guarded.stat("a/y.fits") is None
    assert not guarded.unlink("a/y.fits")
    put(guarded, "a/y.fits")
    assert guarded.stat("a/y.fits") is not None

    def read() -> None:
        with guarded.open_read("b"):
            pass

    assert refused(read) is ErrorClass.MISSING


def test_an_opened_storage_is_guarded_by_its_marker(mount):
    access = Access(storage="s", zone="z", root=mount.as_uri())
    with closing(open_storage(Storage(name="s", marker="m2"), access, {}, NoClock())) as driver:
        assert refused(lambda: driver.stat("none")) is ErrorClass.AWAY
    with closing(open_storage(Storage(name="s", marker=""), access, {}, NoClock())) as driver:
        assert driver.stat("none") is None


def test_a_check_tells_what_a_storage_can_do_and_leaves_nothing(mount):
    access = Access(storage="s", zone="z", root=mount.as_uri())
    findings = check_storage(Storage(name="s", marker="m1"), access, {}, NoClock())
    assert not [finding for finding in findings if finding.outcome is Outcome.FAILED]
    told = {finding.question: finding.outcome for finding in findings}
    assert told["refuses to replace a file"] is Outcome.YES
    assert told["has hard links"] is Outcome.YES
    assert {path.name for path in mount.rglob("*")} == {MARKER, "a", "x.fits"}


def test_a_check_of_a_disk_that_is_away_ends_with_that(mount):
    access = Access(storage="s", zone="z", root=(mount / "a").as_uri())
    (finding,) = check_storage(Storage(name="s", marker="m1"), access, {}, NoClock())
    assert finding.outcome is Outcome.FAILED
    assert "is its disk mounted?" in finding.detail


@pytest.mark.parametrize("change", [{"write": 0}, {"delete": 0}])
def test_what_must_not_be_written_is_not_probed(mount, change):
    access = Access(storage="s", zone="z", root=mount.as_uri(), **change)
    assert len(check_storage(Storage(name="s", marker="m1"), access, {}, NoClock())) == 1
    access = Access(storage="s", zone="z", root=mount.as_uri())
    closed = Storage(name="s", marker="m1", state=StorageState.READONLY)
    assert len(check_storage(closed, access, {}, NoClock())) == 1


class Replacing(MemoryDriver):
    """A storage that replaces, as a server may that knows no better."""

    def add(self, path: str, content: bytes) -> None:
        self.files[path] = content


def test_a_storage_that_replaces_is_found_out():
    findings = probe(Replacing())
    assert findings[-1].question == "refuses to replace a file"
    assert findings[-1].outcome is Outcome.FAILED


def test_a_storage_that_cannot_be_written_is_found_out(tmp_path):
    (tmp_path / "root").write_text("not a directory")
    (finding,) = probe(FileDriver(tmp_path / "root"))
    assert finding.outcome is Outcome.FAILED
