"""A storage that is written by one scheme and read by another tells two times of one file."""

import os
from pathlib import Path

import pytest

from euclid_dask.data import stage as staging
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.linking import linkable
from euclid_dask.data.model import Access, File, Storage
from euclid_dask.data.resolve import Location
from euclid_dask.data.stage import Source, stage
from euclid_dask.data.storage import same_time
from euclid_dask.data.storages.file import FileDriver

EXACT_NS = 1_700_000_000_123_456_789
SECONDS_NS = 1_700_000_000_000_000_000
CONTENT = b"SIMPLE  ="


@pytest.mark.parametrize(
    ("told_ns", "same"),
    [
        (EXACT_NS, True),
        (SECONDS_NS, True),
        (1_700_000_000_123_000_000, True),
        (1_700_000_000_123_456_700, True),
        (EXACT_NS + 1, False),
        (1_700_000_000_124_000_000, False),
        (SECONDS_NS + 1_000_000_000, False),
        (SECONDS_NS - 1_000_000_000, False),
        (None, False),
    ],
)
def test_times_are_compared_as_exactly_as_both_were_told(told_ns: int | None, same: bool) -> None:
    assert same_time(EXACT_NS, told_ns) is same
    assert same_time(told_ns, EXACT_NS) is same


@pytest.fixture
def replica(tmp_path: Path) -> Path:
    path = tmp_path / "storage" / "a.fits"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    path.chmod(0o444)
    os.utime(path, ns=(EXACT_NS, EXACT_NS))
    return path


def test_an_input_whose_time_was_told_in_seconds_is_not_read_again(
    replica: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(
        staging, "hash_chunks", lambda *given: (read.append(1), hash_chunks(*given))[1]
    )
    file = File(name="a.fits", size=len(CONTENT), checksums=hash_chunks([CONTENT]).checksums())
    for number, (told_ns, reads) in enumerate([(SECONDS_NS, 0), (SECONDS_NS - 10**9, 1)]):
        (tmp_path / str(number)).mkdir()
        source = Source(place="data/a.fits", path=str(replica), file=file, mtime_ns=told_ns)
        stage([source], tmp_path / str(number), zone="z")
        assert len(read) == reads


def test_an_output_whose_time_was_told_in_seconds_is_linked(replica: Path, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    access = Access(storage="run", zone="z", root=f"file://{replica.parent}")
    for told_ns, linked in ((SECONDS_NS, True), (SECONDS_NS + 10**9, False)):
        part = linkable(
            FileDriver(tmp_path / "archive"),
            "a.fits",
            FileDriver(replica.parent),
            Location(access=access, path="a.fits", mtime_ns=told_ns),
            Storage(name="run", marker="", durable=False),
        )
        assert (part is not None) is linked
