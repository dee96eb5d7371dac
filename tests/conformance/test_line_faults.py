"""Spoilt lines: each ends in a verified file or in an error that says what it is."""

import hashlib
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from secrets import token_hex

import file_servers
import psutil
import pytest
from file_servers import FileServer
from line_faults import Fault, Mode, Relay, relay
from memory_driver import MemoryDriver
from ports import free_ports

from euclid_dask.data.credentials import Credential
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import StorageDriver, StorageError, part_of
from euclid_dask.data.storages.file import FileDriver
from euclid_dask.data.storages.opening import open_driver

SIZE = 1_500_000
CONTENT = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(SIZE // 32))
READ = ["sftp", "http", "nginx_dav", "wsgidav", "ftp", "s3"]
WRITTEN = ["sftp", "nginx_dav", "wsgidav", "ftp", "s3"]
BROKEN = {ErrorClass.NETWORK, ErrorClass.TIMEOUT, ErrorClass.BUSY}
PATH = "raw/EUC_x.fits"
IMPATIENT = {"timeout_s": "0.4"}


def copy(source: StorageDriver, target: StorageDriver, content: bytes = CONTENT) -> None:
    """Copy as the mover does: no name before size and checksum are those of the file."""
    part = target.open_part(PATH, f"1-{token_hex(2)}", len(content))
    try:
        came = hashlib.sha256()
        with source.open_read(PATH) as reader:
            while block := reader.read(1 << 18):
                came.update(block)
                part.write(block)
        if came.digest() != hashlib.sha256(content).digest():
            raise StorageError(ErrorClass.CONTENT, "other bytes came")
        part.sync()
        part.publish()
    finally:
        part.abandon()


def outcome(source: StorageDriver, target: StorageDriver) -> ErrorClass | None:
    """Return what kind of error a copy ended with, or None when it did not."""
    told = None
    try:
        copy(source, target)
    except StorageError as error:
        told = error
    assert file_servers.USER.password not in str(told)
    return told and told.kind


def kind_of(driver: StorageDriver) -> ErrorClass:
    """Return what kind of error a driver ends with that is asked for the first time."""
    with closing(driver), pytest.raises(StorageError) as error:
        driver.stat(PATH)
    assert "guessed" not in str(error.value)
    return error.value.kind


def holding(content: bytes = CONTENT) -> MemoryDriver:
    return MemoryDriver({PATH: content})


@pytest.fixture
def server(request: pytest.FixtureRequest) -> FileServer:
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture
def place(server: FileServer) -> str:
    """Return a directory of the server which is empty."""
    place = token_hex(4)
    server.make(place)
    return place


@pytest.fixture
def filled(server: FileServer, place: str) -> str:
    """Return a directory of the server with the file in it."""
    if server.folder is None:
        with closing(server.driver(place)) as driver:
            copy(holding(), driver)
    else:
        (server.folder / place / "raw").mkdir()
        (server.folder / place / PATH).write_bytes(CONTENT)
    return place


@pytest.fixture
def broken(server: FileServer) -> Iterator[Relay]:
    """Return a relay to the server which is whole as yet."""
    with relay(server.port, ftp=server.scheme == "ftp") as made:
        yield made


def seen(driver: StorageDriver) -> list[bytes]:
    """Return what is in a storage under final names."""
    contents = []
    for path in [path for path, _ in driver.walk() if part_of(path) is None]:
        with driver.open_read(path) as reader:
            contents.append(b"".join(iter(lambda r=reader: r.read(1 << 20), b"")))
    return contents


@pytest.fixture
def direct(server: FileServer, place: str) -> Iterator[StorageDriver]:
    """Return a driver of the directory whose line is whole."""
    with closing(server.driver(place)) as driver:
        yield driver


@pytest.mark.parametrize("mode", [Mode.CLOSE, Mode.RESET], ids=lambda mode: mode.value)
@pytest.mark.parametrize("server", READ, indirect=True)
def test_a_line_that_breaks_while_reading_leaves_no_file(server, filled, broken, mode, tmp_path):
    target = FileDriver(tmp_path)
    for tenth in range(1, 10):
        broken.fault = Fault(mode, SIZE * tenth // 10)
        with closing(server.through(broken.port).driver(filled, timeout_s="5")) as source:
            assert outcome(source, target) in BROKEN
        assert list(target.walk()) == []
    assert broken.hits() >= 9


@pytest.mark.parametrize("mode", [Mode.CLOSE, Mode.RESET], ids=lambda mode: mode.value)
@pytest.mark.parametrize("server", WRITTEN, indirect=True)
def test_a_line_that_breaks_while_writing_leaves_no_part_under_a_final_name(
    server, place, broken, mode, direct
):
    for tenth in range(1, 11):
        broken.fault = Fault(mode, SIZE * tenth // 10, up=True)
        with closing(server.through(broken.port).driver(place, timeout_s="5")) as target:
            kind = outcome(holding(), target)
        broken.fault = None
        if kind is None:
            assert seen(direct) == [CONTENT]
            assert direct.unlink(PATH)
        else:
            assert kind in BROKEN
            assert seen(direct) in ([], [CONTENT])  # its last answer may have been lost


@pytest.mark.parametrize("mode", [Mode.SILENCE, Mode.LORIS], ids=lambda mode: mode.value)
@pytest.mark.parametrize("server", READ, indirect=True)
def test_a_line_that_brings_too_little_is_given_up(server, filled, broken, mode, tmp_path):
    if mode is Mode.LORIS and server.scheme == "sftp":
        pytest.skip("a single wrong byte breaks it: it is encrypted")
    broken.fault = Fault(mode, SIZE // 2)
    target = FileDriver(tmp_path)
    with closing(server.through(broken.port).driver(filled, **IMPATIENT)) as source:
        assert outcome(source, target) is ErrorClass.TIMEOUT
    assert list(target.walk()) == []


@pytest.mark.parametrize("server", WRITTEN, indirect=True)
def test_a_server_that_takes_no_more_is_given_up(server, place, broken, direct):
    broken.fault = Fault(Mode.SILENCE, SIZE // 2, up=True)
    with closing(server.through(broken.port).driver(place, **IMPATIENT)) as target:
        assert outcome(holding(CONTENT * 20), target) is not None
    broken.fault = None
    assert seen(direct) == []


@pytest.mark.parametrize("server", READ, indirect=True)
def test_the_next_copy_uses_a_new_line(server, filled, broken, tmp_path):
    broken.fault = Fault(Mode.CLOSE, SIZE // 2)
    target = FileDriver(tmp_path)
    with closing(server.through(broken.port).driver(filled)) as source:
        assert outcome(source, target) in BROKEN
        broken.fault = None
        assert outcome(source, target) is None


@pytest.mark.parametrize("server", READ, indirect=True)
def test_a_server_that_is_not_there_is_a_matter_of_the_network(server):
    nobody = server.through(free_ports())
    assert kind_of(nobody.driver("x")) is ErrorClass.NETWORK


def test_a_wrong_host_key_is_refused(sftp_server, tmp_path):
    other = (Path(sftp_server.credential.key).parent / "id.pub").read_text().split()
    (tmp_path / "known").write_text(f"* {other[0]} {other[1]}\n")
    for known in ("known", "there-is-none"):
        options = {"known_hosts": str(tmp_path / known)}
        assert kind_of(sftp_server.driver(**options)) is ErrorClass.AUTH


def test_a_wrong_password_is_refused(sftp_server):
    wrong = Credential(user="test", password="guessed")
    driver = open_driver(sftp_server.access(), {"the-one": wrong}, file_servers.CLOCK)
    assert kind_of(driver) is ErrorClass.AUTH


def test_a_server_with_no_more_sessions_is_busy(tmp_path):
    with file_servers.sftp(tmp_path, extra="MaxSessions 0\n") as server:
        assert kind_of(server.driver()) is ErrorClass.BUSY


def test_a_server_that_is_killed_while_read_is_used_again_when_it_is_back(tmp_path):
    with file_servers.sftp(tmp_path) as server:
        (server.folder / "x.fits").write_bytes(CONTENT * 4)
        driver = server.driver()
        with driver.open_read("x.fits") as reader:
            reader.read(1000)
            _kill_with_children(server.pid)
            with pytest.raises(StorageError) as error:
                list(iter(lambda: reader.read(1 << 20), b""))
        assert error.value.kind in BROKEN
    with file_servers.sftp(tmp_path, server.port), closing(driver):
        assert driver.stat("x.fits").size == len(CONTENT) * 4


def _kill_with_children(pid: int) -> None:
    family = psutil.Process(pid).children(recursive=True)
    for process in (*family, psutil.Process(pid)):
        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (" 421 too many", ErrorClass.BUSY),
        ("PASS 530 no", ErrorClass.AUTH),
        ("PASV 425 no data connection", ErrorClass.NETWORK),
        ("RETR 425 no data connection", ErrorClass.NETWORK),
        ("RETR 426 aborted", ErrorClass.NETWORK),
        ("RETR 450 busy", ErrorClass.BUSY),
        ("RETR 550 not allowed", ErrorClass.POLICY),
        ("SIZE 550 no such file", ErrorClass.MISSING),
        ("SIZE 213 many", ErrorClass.CONTENT),
        (f"SIZE 213 {SIZE + 1}", ErrorClass.NETWORK),
    ],
)
@pytest.mark.parametrize("server", ["ftp"], indirect=True)
def test_what_an_ftp_server_answers_tells_the_kind(server, filled, broken, tmp_path, told, kind):
    broken.answers = dict([told.split(" ", 1)])
    target = FileDriver(tmp_path)
    with closing(server.through(broken.port).driver(filled, timeout_s="60")) as source:
        assert outcome(source, target) is kind
    assert list(target.walk()) == []


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("STOR 452 no space", ErrorClass.FULL),
        ("STOR 552 over quota", ErrorClass.FULL),
        ("STOR 553 name not allowed", ErrorClass.POLICY),
        ("RNTO 421 closing", ErrorClass.BUSY),
    ],
)
@pytest.mark.parametrize("server", ["ftp"], indirect=True)
def test_an_ftp_server_that_takes_no_file_has_none(server, place, broken, direct, told, kind):
    broken.answers = dict([told.split(" ", 1)])
    with closing(server.through(broken.port).driver(place, timeout_s="60")) as target:
        assert outcome(holding(), target) is kind
    assert seen(direct) == []


@pytest.mark.parametrize("server", ["ftp"], indirect=True)
def test_another_host_that_an_ftp_server_names_is_not_connected(server, filled, broken, tmp_path):
    broken.passive_host = "192,0,2,77"
    with closing(server.through(broken.port).driver(filled, timeout_s="60")) as source:
        assert outcome(source, FileDriver(tmp_path)) is None
