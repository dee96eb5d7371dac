"""The seam of storages: one suite on all drivers, against real servers where there is one."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from time import monotonic
from typing import cast
from urllib.parse import quote

import pytest
from batch_clusters import skip_or_fail
from file_servers import CLOCK, FileServer
from memory_driver import MemoryDriver

from euclid_dask.data.markers import GuardedDriver, write_marker
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.probing import Outcome, probe
from euclid_dask.data.storage import (
    MARKER,
    StorageDriver,
    StorageError,
    part_of,
    part_path,
    same_time,
)
from euclid_dask.data.storages.exchange import HttpClient
from euclid_dask.data.storages.file import FileDriver
from euclid_dask.data.storages.patience import Patience
from euclid_dask.data.storages.s3 import S3Driver
from euclid_dask.data.storages.s3_signing import signer
from euclid_dask.data.storages.through_fsspec import open_fsspec

SERVERS = ["sftp", "http", "nginx_dav", "wsgidav", "ftp", "vsftpd", "s3"]
CONTENT = bytes(range(256)) * 4099
PATH = "level0/raw 7#%/EUC_VIS_x~1.fits"


class Archive:
    """Read in a way that cannot write, and written on the server's host."""

    def __init__(self, reading: StorageDriver, file: StorageDriver) -> None:
        self.capabilities = file.capabilities
        self.open_part, self.unlink = file.open_part, file.unlink
        self.walk = reading.walk if reading.capabilities.walks else file.walk
        self.stat, self.open_read, self.close = reading.stat, reading.open_read, reading.close


@pytest.fixture(params=["file", "memory", "fsspec", *SERVERS])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageDriver]:
    """Return each driver, of a storage of its own which is empty."""
    with closing(_driver(request.param, request, tmp_path)) as made:
        yield made


def _driver(name: str, request: pytest.FixtureRequest, folder: Path) -> StorageDriver:
    if name == "file":
        return FileDriver(folder)
    if name == "memory":
        return MemoryDriver()
    if name == "fsspec":
        reading = open_fsspec("local", str(folder), {})
        return cast("StorageDriver", Archive(reading, FileDriver(folder)))
    server: FileServer = request.getfixturevalue(f"{name}_server")
    place = f"t {token_hex(4)}"
    server.make(place)
    made = server.driver(quote(place))
    if name == "http":
        return cast("StorageDriver", Archive(made, FileDriver(server.folder / place)))
    return made


@pytest.fixture
def put(driver: StorageDriver) -> Callable[..., None]:
    def put(path: str, content: bytes = CONTENT, part: str = "1-1") -> None:
        new = driver.open_part(path, part, len(content))
        try:
            for start in range(0, len(content), 300_007):
                new.write(memoryview(content)[start : start + 300_007])
            new.sync()
            new.publish()
        finally:
            new.abandon()

    return put


def content_of(driver: StorageDriver, path: str, start: int = 0) -> bytes:
    with driver.open_read(path, start) as reader:
        return b"".join(iter(lambda: reader.read(1 << 16), b""))


def refused(call: Callable[[], object]) -> ErrorClass:
    with pytest.raises(StorageError) as error:
        call()
    return error.value.kind


def test_a_published_file_is_read_as_it_was_written(driver, put):
    put(PATH)
    assert content_of(driver, PATH) == CONTENT
    found = driver.stat(PATH)
    assert found is not None
    assert found.size == len(CONTENT)
    assert [path for path, _ in driver.walk()] == [PATH]


def test_a_reader_tells_the_size_of_the_whole_file(driver, put):
    put(PATH)
    with driver.open_read(PATH, 1000) as reader:
        assert reader.size == len(CONTENT)


def test_an_empty_file_is_a_file(driver, put):
    put(PATH, b"")
    assert content_of(driver, PATH) == b""
    assert driver.stat(PATH).size == 0


@pytest.mark.parametrize("start", [1, 70_000, len(CONTENT) - 1, len(CONTENT)])
def test_reading_begins_where_it_is_asked_to(driver, put, start):
    put(PATH)
    assert content_of(driver, PATH, start) == CONTENT[start:]


def test_a_part_has_no_final_name_before_it_is_published(driver):
    part = driver.open_part(PATH, "3-1", len(CONTENT))
    part.write(CONTENT)
    part.sync()
    assert driver.stat(PATH) is None
    part.publish()
    assert driver.stat(PATH).size == len(CONTENT)
    assert driver.stat(part_path(PATH, "3-1")) is None
    part.abandon()
    assert content_of(driver, PATH) == CONTENT


def test_an_abandoned_part_leaves_nothing(driver):
    part = driver.open_part(PATH, "3-1", len(CONTENT))
    part.write(CONTENT[:1000])
    part.abandon()
    part.abandon()
    deadline = monotonic() + 60
    while list(driver.walk()) and monotonic() < deadline:  # a server may still be writing
        driver.unlink(part_path(PATH, "3-1"))
    assert list(driver.walk()) == []


def test_publishing_does_not_replace(driver, put):
    put(PATH, b"the first")
    assert refused(lambda: put(PATH, b"another")) is ErrorClass.EXISTS
    assert content_of(driver, PATH) == b"the first"
    assert [path for path, _ in driver.walk()] == [PATH]


def test_of_many_that_publish_one_name_one_does(driver):
    if not driver.capabilities.refuses_existing:
        pytest.skip("its scheme cannot: it has one writer")
    contents = [b"%d" % number * 1000 for number in range(4)]
    parts = [driver.open_part(PATH, f"{n}-1", len(c)) for n, c in enumerate(contents)]
    won: list[bytes] = []

    def publish(part, content):
        part.write(content)
        part.sync()
        with suppress(StorageError):
            part.publish()
            won.append(content)
        part.abandon()

    pairs = zip(parts, contents, strict=True)
    threads = [threading.Thread(target=publish, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [content_of(driver, PATH)]
    assert [path for path, _ in driver.walk()] == [PATH]


def test_what_a_crash_left_is_found_by_its_name_and_removed(driver):
    part = driver.open_part(PATH, "17-2", 10)
    part.write(b"0123456789")
    part.sync()
    left = [path for path, _ in driver.walk() if part_of(path)]
    if left:  # an object store shows no part before it is published
        assert [part_of(path) for path in left] == [(PATH, "17-2")]
        assert driver.unlink(left[0])
    assert list(driver.walk()) == []
    part.abandon()


def test_a_missing_file_is_told(driver, put):
    put("other/x.fits")
    assert driver.stat(PATH) is None
    assert refused(lambda: content_of(driver, PATH)) is ErrorClass.MISSING
    assert not driver.unlink(PATH)
    assert list(driver.walk("level0")) == []


def test_a_file_is_removed_once(driver, put):
    put(PATH)
    assert driver.unlink(PATH)
    assert not driver.unlink(PATH)
    assert driver.stat(PATH) is None


def test_walking_finds_the_files_below_a_directory(driver, put):
    for path in ("a/b/c.fits", "a/b2.fits", "ab/d.fits"):
        put(path, path.encode())
    assert {path: found.size for path, found in driver.walk("a")} == {
        "a/b/c.fits": 10,
        "a/b2.fits": 9,
    }
    assert len(list(driver.walk())) == 3


def test_hidden_files_are_seen_too(request, driver, put):
    if "nginx_dav" in request.node.name:
        pytest.skip("nginx lists no hidden files; they are found by name")
    put(MARKER, b"x")
    assert [path for path, _ in driver.walk()] == [MARKER]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "a/./b", "a/../b", "", "a\0b"])
def test_no_path_leaves_the_root(driver, path):
    for call in (driver.stat, driver.unlink, lambda p: content_of(driver, p)):
        assert refused(lambda call=call: call(path)) is ErrorClass.POLICY
    assert refused(lambda: driver.open_part(path, "1-1")) is ErrorClass.POLICY


def test_a_server_that_is_only_read_refuses_to_write(http_server):
    with closing(http_server.driver()) as driver:
        assert not driver.capabilities.writes
        assert refused(lambda: driver.open_part(PATH, "1-1")) is ErrorClass.POLICY
        assert refused(lambda: driver.unlink(PATH)) is ErrorClass.POLICY
        assert refused(lambda: list(driver.walk())) is ErrorClass.POLICY


def test_a_part_is_made_once(driver):
    if isinstance(driver, S3Driver):
        pytest.skip("an object store has no part files")
    part = driver.open_part(PATH, "1-1", 4)
    part.write(b"mine")
    part.sync()
    assert refused(lambda: driver.open_part(PATH, "1-1", 5)) is ErrorClass.EXISTS
    part.publish()
    assert content_of(driver, PATH) == b"mine"


def test_a_directory_is_no_file_and_is_not_removed(driver, put):
    put("a/b/c.fits", b"x")
    assert driver.stat("a/b") is None
    with suppress(StorageError):
        driver.unlink("a/b")
    assert content_of(driver, "a/b/c.fits") == b"x"


def test_bytes_are_written_without_their_number_told_before(driver):
    part = driver.open_part(PATH, "1-1")
    part.write(b"one ")
    part.write(b"")
    part.write(memoryview(b"two"))
    part.sync()
    part.publish()
    assert content_of(driver, PATH) == b"one two"


def test_an_object_is_sent_in_pieces(s3_server):
    url = f"http://127.0.0.1:{s3_server.port}/bucket/{token_hex(4)}"
    signed = HttpClient(Patience(), signer(s3_server.credential, "us-east-1", CLOCK.now_s))
    content = bytes(range(251)) * (12 << 12)
    with closing(S3Driver(url, signed, piece_bytes=5 << 20)) as driver:
        for expected in (None, ErrorClass.EXISTS):
            part = driver.open_part("a/x.fits", "1-1")
            part.write(content)
            part.sync()
            if expected is None:
                assert driver.stat("a/x.fits") is None
                part.publish()
            else:
                assert refused(part.publish) is expected
            part.abandon()
        assert content_of(driver, "a/x.fits") == content


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of one MB that is mounted."""
    if os.geteuid() != 0:
        skip_or_fail("mounting needs root")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if done.returncode:
        skip_or_fail(f"no mount: {done.stderr!r}")
    yield place
    subprocess.run(["umount", "-l", place], capture_output=True, check=False)


@pytest.mark.parametrize("before", [0, 1 << 19], ids=["at the first byte", "in the middle"])
@pytest.mark.parametrize("scheme", ["file", "sftp"])
def test_a_full_disk_takes_no_file(disk, request, scheme, before):
    server = request.getfixturevalue("sftp_server")
    (disk / "filling").write_bytes(bytes((1 << 20) - before))
    reached = replace(server, path=str(disk), folder=None) if scheme == "sftp" else None
    with closing(reached.driver() if reached else FileDriver(disk)) as driver:
        part = driver.open_part("x.fits", "1-1")

        def write() -> None:
            part.write(CONTENT)
            part.sync()

        assert refused(write) is ErrorClass.FULL
        part.abandon()
        assert [path for path, _ in driver.walk()] == ["filling"]


def test_a_disk_that_is_unmounted_is_away(disk):
    driver = FileDriver(disk)
    write_marker(driver, "m1")
    guarded = GuardedDriver(driver, "m1")
    assert guarded.stat("x") is None
    subprocess.run(["umount", disk], check=True)
    assert refused(lambda: guarded.stat("x")) is ErrorClass.AWAY
    assert refused(lambda: guarded.open_part("x", "1-1")) is ErrorClass.AWAY
    assert list(disk.iterdir()) == []


def test_a_disk_that_is_read_only_takes_no_file(disk):
    (disk / "x").write_text("x")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    driver = FileDriver(disk)
    assert refused(lambda: driver.open_part("y", "1-1")) is ErrorClass.POLICY
    assert refused(lambda: driver.unlink("x")) is ErrorClass.POLICY
    assert content_of(driver, "x") == b"x"


@pytest.mark.parametrize("server", ["sftp", "nginx_dav", "wsgidav", "ftp", "vsftpd", "s3"])
def test_what_a_server_can_do_is_found_out(request, server):
    reached: FileServer = request.getfixturevalue(f"{server}_server")
    place = token_hex(4)
    reached.make(place)
    with closing(reached.driver(place)) as driver:
        told = {finding.question: finding.outcome for finding in probe(driver)}
        assert list(driver.walk()) == []
    assert Outcome.FAILED not in told.values()
    assert (told["lists hidden files, as parts are"] is Outcome.NO) == (server == "nginx_dav")


@pytest.mark.parametrize("server", ["sftp", "http", "nginx_dav", "wsgidav", "ftp", "vsftpd"])
def test_a_file_has_one_time_however_it_is_looked_at(request, server):
    reached: FileServer = request.getfixturevalue(f"{server}_server")
    place = token_hex(4)
    reached.make(place)
    (reached.folder / place / "x.fits").write_bytes(CONTENT)
    with closing(reached.driver(place)) as driver:
        far, near = driver.stat("x.fits"), FileDriver(reached.folder / place).stat("x.fits")
    assert far.size == near.size
    assert same_time(far.mtime_ns, near.mtime_ns)


def test_ftp_goes_through_tls(vsftpd_tls_server):
    vsftpd_tls_server.make("here")
    with closing(vsftpd_tls_server.driver("here")) as driver:
        part = driver.open_part("a/x.fits", "1-1")
        part.write(CONTENT)
        part.sync()
        part.publish()
        assert content_of(driver, "a/x.fits") == CONTENT
        assert [path for path, _ in driver.walk()] == ["a/x.fits"]
    with closing(replace(vsftpd_tls_server, options=()).driver("here")) as distrustful:
        assert refused(lambda: distrustful.stat("a/x.fits")) is ErrorClass.AUTH
