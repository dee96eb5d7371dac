"""What file systems of fsspec do that is not as the seam has it."""

from collections.abc import Iterator
from typing import Any

import pytest
from file_servers import CLOCK
from fsspec.implementations.memory import MemoryFileSystem

from euclid_dask.core.errors import InputError
from euclid_dask.data.credentials import Credential
from euclid_dask.data.model import Access, ErrorClass
from euclid_dask.data.storage import StorageDriver, StorageError
from euclid_dask.data.storages.opening import open_driver
from euclid_dask.data.storages.through_fsspec import FsspecDriver

CONTENT = bytes(range(256)) * 100


def opened(root: str, credential: str = "", **options: str) -> StorageDriver:
    access = Access(storage="s", zone="z", root=root, credential=credential, options=options)
    known = {"me": Credential(user="ada", password="secret", token="t")}
    return open_driver(access, known, CLOCK)


@pytest.fixture
def store() -> Iterator[dict[str, Any]]:
    MemoryFileSystem.store.clear()
    MemoryFileSystem().pipe_file("/data/raw/x 7.fits", CONTENT)
    yield MemoryFileSystem.store
    MemoryFileSystem.store.clear()


def refused(call: Any) -> ErrorClass:
    with pytest.raises(StorageError) as error:
        call()
    return error.value.kind


def read(driver: StorageDriver, path: str, start: int = 0) -> bytes:
    with driver.open_read(path, start) as reader:
        return b"".join(iter(lambda: reader.read(1000), b""))


def test_a_file_system_is_read_and_listed_and_never_written(store: dict[str, Any]) -> None:
    driver = opened("fsspec+memory:///data")
    assert driver.stat("raw/x 7.fits").size == len(CONTENT)  # type: ignore[union-attr]
    assert read(driver, "raw/x 7.fits", 1000) == CONTENT[1000:]
    assert [path for path, _ in driver.walk()] == ["raw/x 7.fits"]
    assert driver.stat("raw") is None
    assert list(driver.walk("none")) == []
    assert refused(lambda: read(driver, "none")) is ErrorClass.MISSING
    assert not driver.capabilities.writes
    assert refused(lambda: driver.open_part("y", "1-1")) is ErrorClass.POLICY
    assert refused(lambda: driver.unlink("raw/x 7.fits")) is ErrorClass.POLICY
    assert list(store) == ["/data/raw/x 7.fits"]


def test_a_file_that_changes_while_it_is_read_is_told(store: dict[str, Any]) -> None:
    driver = opened("fsspec+memory:///data")
    with driver.open_read("raw/x 7.fits") as reader:
        reader.read(10)
        MemoryFileSystem().pipe_file("/data/raw/x 7.fits", CONTENT + b"more")
        rest = iter(lambda: reader.read(1 << 20), b"")
        assert refused(lambda: list(rest)) is ErrorClass.CONTENT


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (FileNotFoundError("gone"), ErrorClass.MISSING),
        (PermissionError("not you"), ErrorClass.AUTH),
        (TimeoutError(), ErrorClass.TIMEOUT),
        (RuntimeError("what its library calls it"), ErrorClass.NETWORK),
    ],
)
def test_what_a_file_system_raises_has_a_kind(raised: Exception, kind: ErrorClass) -> None:
    class Failing(MemoryFileSystem):
        def info(self, path: str, **_: Any) -> dict[str, Any]:
            return {"name": path, "type": "file", "size": 3}

        def open(self, *_: Any, **__: Any) -> Any:
            raise raised

    driver = FsspecDriver(Failing(skip_instance_cache=True), "memory", "/")
    assert refused(lambda: read(driver, "x")) is kind


def test_a_file_whose_size_is_not_told_is_refused() -> None:
    class Silent(MemoryFileSystem):
        def info(self, path: str, **_: Any) -> dict[str, Any]:
            return {"name": path, "type": "file", "size": None}

    driver = FsspecDriver(Silent(skip_instance_cache=True), "memory", "/")
    assert refused(lambda: driver.stat("x")) is ErrorClass.POLICY


def test_credentials_and_options_are_given_to_the_file_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}

    def filesystem(protocol: str, **options: Any) -> MemoryFileSystem:
        given.update(options, protocol=protocol)
        return MemoryFileSystem(skip_instance_cache=True)

    monkeypatch.setattr("fsspec.filesystem", filesystem)
    opened("fsspec+hdfs://node/data", "me", kerb_ticket="/tmp/t")
    assert {name: given[name] for name in ("protocol", "username", "password", "token")} == {
        "protocol": "hdfs",
        "username": "ada",
        "password": "secret",
        "token": "t",
    }
    assert given["kerb_ticket"] == "/tmp/t"


def test_a_protocol_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="nosuch"):
        opened("fsspec+nosuch://x/y")
