"""What only a file system can do to us."""

import os
from pathlib import Path

import pytest

from euclid_dask.data import local
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import StorageError
from euclid_dask.data.storages import file
from euclid_dask.data.storages.failures import failure
from euclid_dask.data.storages.file import FileDriver


@pytest.fixture
def driver(tmp_path: Path) -> FileDriver:
    (tmp_path / "root").mkdir()
    return FileDriver(tmp_path / "root")


def refused(call) -> ErrorClass:
    with pytest.raises(StorageError) as error:
        call()
    return error.value.kind


def read(driver: FileDriver, path: str) -> bytes:
    with driver.open_read(path) as reader:
        return b"".join(iter(lambda: reader.read(100), b""))


def test_a_replica_is_read_only(driver, tmp_path):
    part = driver.open_part("x", "1-1")
    part.write(b"x")
    part.sync()
    part.publish()
    assert (tmp_path / "root/x").stat().st_mode & 0o777 == 0o444


def test_the_disk_begins_with_a_part_while_more_of_it_comes(driver, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(file, "BEHIND_BYTES", 4)
    monkeypatch.setattr(file, "begin_sync", begun.append)
    part = driver.open_part("x", "1-1")
    lengths = []
    for data in (b"123", b"45", b"6", b"789"):
        part.write(data)
        lengths.append(len(begun))
    assert lengths == [0, 1, 1, 2]
    part.sync()
    part.publish()
    assert (tmp_path / "root/x").read_bytes() == b"123456789"


def test_that_the_disk_cannot_begin_is_no_failure(tmp_path):
    reading, writing = os.pipe()
    with (tmp_path / "x").open("wb") as content:
        content.write(b"x")
        content.flush()
        local.begin_sync(content.fileno())
    local.begin_sync(writing)  # a pipe has no disk
    os.close(reading)
    os.close(writing)


def test_a_fifo_a_directory_and_a_link_are_no_files(driver, tmp_path):
    root = tmp_path / "root"
    (tmp_path / "secret").write_text("secret")
    os.mkfifo(root / "fifo")
    (root / "directory").mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to("loop")
    for path in ("fifo", "directory", "link", "loop"):
        assert refused(lambda path=path: read(driver, path)) is ErrorClass.POLICY
        assert driver.stat(path) is None
    assert list(driver.walk()) == []


def test_a_link_to_a_directory_outside_leads_nowhere(driver, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").write_text("x")
    (tmp_path / "root/link").symlink_to(tmp_path / "outside")
    for call in (driver.stat, driver.unlink, lambda path: read(driver, path)):
        assert refused(lambda call=call: call("link/x")) is ErrorClass.POLICY
    assert refused(lambda: driver.open_part("link/y", "1-1")) is ErrorClass.POLICY
    assert refused(lambda: list(driver.walk("link"))) is ErrorClass.POLICY
    assert list(driver.walk()) == []


def test_a_link_to_a_directory_inside_is_a_directory(driver, tmp_path):
    (tmp_path / "root/disk1").mkdir()
    (tmp_path / "root/disk1/x").write_text("x")
    (tmp_path / "root/2024").symlink_to("disk1")
    assert read(driver, "2024/x") == b"x"


def test_a_root_that_is_not_there_is_away_and_not_made(tmp_path):
    driver = FileDriver(tmp_path / "unmounted")
    for call in (driver.stat, driver.unlink, lambda path: read(driver, path)):
        assert refused(lambda call=call: call("x")) is ErrorClass.AWAY
    assert refused(lambda: driver.open_part("a/x", "1-1")) is ErrorClass.AWAY
    assert refused(lambda: list(driver.walk())) is ErrorClass.AWAY
    assert not (tmp_path / "unmounted").exists()


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        (OSError(116, "Stale file handle"), ErrorClass.NETWORK),
        (PermissionError(13, "Permission denied"), ErrorClass.POLICY),
    ],
)
def test_a_root_that_cannot_be_looked_at_is_no_mistake_of_ours(
    driver, tmp_path, monkeypatch, failing, kind
):
    def fail(*_args, **_named):
        raise failing

    monkeypatch.setattr(Path, "is_dir", fail)
    for call in (driver.stat, driver.unlink, lambda path: read(driver, path)):
        assert refused(lambda call=call: call("x")) is kind
    assert refused(lambda: list(driver.walk())) is kind
    monkeypatch.undo()
    monkeypatch.setattr(Path, "exists", fail)
    assert refused(lambda: driver.open_part("a/x", "1-1")) is kind


def test_a_root_with_an_endless_name_is_refused():
    assert refused(lambda: FileDriver(Path("/" + "a" * 300)).stat("x")) is ErrorClass.POLICY


@pytest.mark.parametrize("change", [b"x" * 3000, b"y" * 5000])
def test_a_file_that_changes_while_it_is_read_is_told(driver, tmp_path, change):
    file = tmp_path / "root/x"
    file.write_bytes(b"x" * 4000)
    os.utime(file, ns=(1, 1))
    with driver.open_read("x") as reader:
        reader.read(1000)
        file.write_bytes(change)
        with pytest.raises(StorageError) as error:
            list(iter(lambda: reader.read(1000), b""))
    assert error.value.kind in {ErrorClass.CONTENT, ErrorClass.NETWORK}


def test_a_file_is_linked_in_and_never_over_another(driver, tmp_path):
    (tmp_path / "made").write_text("made")
    driver.link(tmp_path / "made", "a/x")
    assert (tmp_path / "root/a/x").stat().st_ino == (tmp_path / "made").stat().st_ino
    (tmp_path / "other").write_text("other")
    assert refused(lambda: driver.link(tmp_path / "other", "a/x")) is ErrorClass.EXISTS
    assert read(driver, "a/x") == b"made"


def test_publishing_on_a_file_system_that_cannot_rename_so_links(tmp_path):
    source, target = tmp_path / "part", tmp_path / "final"
    source.write_text("x")
    local.link_noreplace(source, target)
    assert (target.read_text(), source.exists()) == ("x", False)
    source.write_text("y")
    with pytest.raises(FileExistsError):
        local.link_noreplace(source, target)
    assert target.read_text() == "x"


def test_a_name_that_is_ours_already_was_published_by_us(tmp_path):
    source, target = tmp_path / "part", tmp_path / "final"
    source.write_text("x")
    os.link(source, target)  # NFS has done it, and lost the answer
    local.publish(source, target)
    assert (target.read_text(), source.exists()) == ("x", False)


def test_a_name_that_is_anothers_stays(tmp_path):
    source, target = tmp_path / "part", tmp_path / "final"
    source.write_text("x")
    target.write_text("y")
    with pytest.raises(FileExistsError):
        local.publish(source, target)
    assert (source.read_text(), target.read_text()) == ("x", "y")


def test_a_file_system_tells_its_type(tmp_path):
    assert local.filesystem_type(tmp_path)
    assert local.filesystem_type(Path("/proc")) == "proc"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), ErrorClass.FULL),
        (OSError(122, "Disk quota exceeded"), ErrorClass.FULL),
        (OSError(5, "Input/output error"), ErrorClass.IO),
        (OSError(30, "Read-only file system"), ErrorClass.POLICY),
        (OSError(116, "Stale file handle"), ErrorClass.NETWORK),
        (OSError(-2, "Name or service not known"), ErrorClass.NETWORK),
        (PermissionError(13, "Permission denied"), ErrorClass.POLICY),
        (ConnectionResetError(104, "Connection reset"), ErrorClass.NETWORK),
        (TimeoutError("timed out"), ErrorClass.TIMEOUT),
    ],
)
def test_an_error_of_the_system_has_a_kind(error, kind):
    assert failure(error, "/x").kind is kind
