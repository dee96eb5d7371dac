"""Where what is put into a storage goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from euclid_dask.data.copying import new_path
from euclid_dask.data.depositing import Depositor
from euclid_dask.data.drivers import Drivers
from euclid_dask.data.markers import write_marker
from euclid_dask.data.model import Access, Storage
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.unruled import UNRULED
from euclid_dask.data.storages.file import FileDriver
from euclid_dask.data.survey import Find, Lying

NAME = "EUC_a.fits"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    (tmp_path / "b").mkdir()
    write_marker(FileDriver(tmp_path / "b"), "b")
    with Registry(tmp_path / "registry.db") as made:
        made.storages.put(Storage(name="b", marker="b"))
        made.storages.put_access([Access(storage="b", zone="z", root=f"file://{tmp_path}/b")])
        yield made


def put(registry: Registry, path: Path) -> str:
    """Put a file; return where it is."""
    drivers = Drivers(lambda access: FileDriver(Path(access.root.removeprefix("file://"))))
    status = path.stat()
    lying = Lying(
        name=path.name,
        path=str(path),
        storage="",
        place=str(path).removeprefix("/"),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )
    done = Depositor(registry, drivers, "b", "z").put(Find(files=(lying,), products={}))
    assert done.copied == (path.name,)
    (replica,) = registry.locate([path.name])[path.name]
    return replica.path


def test_a_file_that_two_cleaners_removed_is_put_to_another_path(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(b"x")
    assert put(registry, tmp_path / NAME) == new_path(NAME)
    registry.pins.remove(UNRULED)
    registry.deletions.request([(NAME, "b")], "test", last_copy=True)
    registry.deletions.claim("stalled", 1, -1.0)
    (claimed,) = registry.deletions.claim("other", 1, 60.0)
    (tmp_path / "b" / new_path(NAME)).unlink()
    registry.deletions.finish(claimed)
    assert put(registry, tmp_path / NAME) == new_path(NAME, 1)
