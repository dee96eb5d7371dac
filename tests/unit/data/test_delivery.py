"""The next copies to be queued follow from where the files are now."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from euclid_dask.data.delivery import copies_to_storage, copies_to_zone
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.model import Access, File, Replica, Storage
from euclid_dask.data.registry import Registry
from euclid_dask.data.routes import NoRouteError

FILE = File(name="a.fits", size=1, checksums=hash_chunks([b"x"]).checksums())


@pytest.fixture
def registry(tmp_path: Path, seed_accesses: Sequence[Access]) -> Iterator[Registry]:
    with Registry(tmp_path / "registry.db") as made:
        for name in ("fr", "eas", "sub", "exec"):
            made.storages.put(Storage(name=name, marker=name))
        made.storages.put_access(seed_accesses)
        made.register([FILE], [Replica(file="a.fits", storage="fr", path="a.fits")])
        yield made


def arrive(registry: Registry, storage: str) -> None:
    registry.register([], [Replica(file="a.fits", storage=storage, path="a.fits")])


def test_a_copy_is_asked_for_when_its_source_has_arrived(registry: Registry) -> None:
    names, seen = ["a.fits"], []
    while copies := copies_to_zone(registry, names, "execution", keep=["eas"]):
        seen += copies
        arrive(registry, copies[0][1])
    assert seen == [("a.fits", "eas"), ("a.fits", "sub"), ("a.fits", "exec")]


def test_a_storage_gets_a_file_by_way_of_others(registry: Registry) -> None:
    assert copies_to_storage(registry, ["a.fits"], "exec") == [("a.fits", "sub")]
    arrive(registry, "sub")
    assert copies_to_storage(registry, ["a.fits"], "exec") == [("a.fits", "exec")]
    arrive(registry, "exec")
    assert copies_to_storage(registry, ["a.fits"], "exec") == []


def test_a_file_that_is_nowhere_is_told(registry: Registry) -> None:
    with pytest.raises(NoRouteError):
        copies_to_zone(registry, ["unknown.fits"], "execution")
