"""What a task did to its inputs: harm to a replica is found, and what is the task's own is not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from euclid_dask.data.aftermath import harmed
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.model import File
from euclid_dask.data.stage import Manifest, Method, Source, stage

CONTENT = b"0123456789"


@pytest.fixture
def replica(tmp_path: Path) -> Path:
    path = tmp_path / "storage" / "a.fits"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    path.chmod(0o444)
    os.utime(path, ns=(1, 1))
    return path


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    path = tmp_path / "attempt"
    (path / "data").mkdir(parents=True)
    return path


def staged(replica: Path, attempt: Path, method: Method) -> Manifest:
    checksums = hash_chunks([CONTENT]).checksums()
    file = File(name=replica.name, size=len(CONTENT), checksums=checksums)
    source = Source(place="data/a.fits", path=str(replica), file=file, mtime_ns=1)
    return stage([source], attempt, zone="z", methods=(method,))


def write_through(place: Path) -> None:
    place.chmod(0o644)
    with place.open("r+b") as file:
        file.write(b"x")


def grow(place: Path) -> None:
    place.chmod(0o644)
    with place.open("ab") as file:
        file.write(b"x")


def put_another(place: Path) -> None:
    real = Path(os.path.realpath(place))
    other = real.with_name("other")
    other.write_bytes(CONTENT)
    os.utime(other, ns=(1, 1))
    other.replace(real)


def remove_real(place: Path) -> None:
    Path(os.path.realpath(place)).unlink()


@pytest.mark.parametrize("method", [Method.SYMLINK, Method.HARDLINK])
@pytest.mark.parametrize(
    ("harm", "what"),
    [(write_through, "was written"), (grow, "has 11 bytes now, and had 10")],
)
def test_writing_through_a_link_is_harm(
    replica: Path, attempt: Path, method: Method, harm: Callable[[Path], None], what: str
) -> None:
    manifest = staged(replica, attempt, method)
    assert harmed(manifest) == ()
    harm(attempt / "data/a.fits")
    assert [(found.entry.path, found.what) for found in harmed(manifest)] == [(str(replica), what)]


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (put_another, "was replaced"),
        (remove_real, "cannot be read any more: No such file or directory"),
    ],
)
def test_doing_away_with_a_replica_is_harm(
    replica: Path, attempt: Path, harm: Callable[[Path], None], what: str
) -> None:
    manifest = staged(replica, attempt, Method.SYMLINK)
    harm(attempt / "data/a.fits")
    assert [found.what for found in harmed(manifest)] == [what]


@pytest.mark.parametrize("method", [Method.SYMLINK, Method.HARDLINK, Method.COPY])
def test_removing_the_link_harms_nobody(replica: Path, attempt: Path, method: Method) -> None:
    manifest = staged(replica, attempt, method)
    (attempt / "data/a.fits").unlink()
    assert harmed(manifest) == ()
    assert replica.read_bytes() == CONTENT


def test_a_copy_is_the_tasks_own(replica: Path, attempt: Path) -> None:
    manifest = staged(replica, attempt, Method.COPY)
    write_through(attempt / "data/a.fits")
    assert harmed(manifest) == ()
    assert replica.read_bytes() == CONTENT
