"""What a task left: harm to its inputs is found, and outputs that are no files of its directory."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.data.aftermath import harmed, left
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


def test_files_that_outputs_name_are_found_once(replica: Path, attempt: Path) -> None:
    manifest = staged(replica, attempt, Method.SYMLINK)
    (attempt / "data/b.fits").write_bytes(b"b")
    (attempt / "data/extra.fits").write_bytes(b"not named")
    found = left(attempt, manifest, {"p.xml": ["b.fits", "a.fits"], "q.xml": ["b.fits"]})
    assert [(file.name, file.path, file.size) for file in found.new] == [
        ("b.fits", str(attempt / "data/b.fits"), 1)
    ]
    assert found.inputs == ("a.fits",)


def test_a_link_within_the_directory_is_followed(attempt: Path) -> None:
    (attempt / "b.fits").write_bytes(b"b")
    (attempt / "data/b.fits").symlink_to("../b.fits")
    found = left(attempt, Manifest(zone="z", entries=()), {"p.xml": ["b.fits"]})
    assert [file.path for file in found.new] == [str(attempt / "b.fits")]


def test_all_that_is_wrong_with_outputs_is_told_at_once(attempt: Path) -> None:
    (attempt / "data/passwd").symlink_to("/etc/passwd")
    (attempt / "data/loop").symlink_to("loop")
    (attempt / "data/folder").mkdir()
    os.mkfifo(attempt / "data/pipe")
    (attempt / "outside").write_bytes(b"x")
    names = ["gone", "passwd", "folder", "pipe", "../outside", "/etc/passwd", "loop"]
    with pytest.raises(InputError) as caught:
        left(attempt, Manifest(zone="z", entries=()), {"p.xml": names})
    told = caught.value.message.split("; ")
    assert [line.partition("which ")[2] for line in told] == [
        "was not written",
        "is a link to /etc/passwd, outside of the directory of its task",
        "is no regular file",
        "is no regular file",
        "has '/': it is a path, not a name",
        "has '/': it is a path, not a name",
        "is no regular file",
    ]
