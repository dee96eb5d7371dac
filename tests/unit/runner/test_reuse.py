"""Which outputs are not as they were made."""

import os
from pathlib import Path

import pytest

from euclid_dask.core.attempts import Fingerprint
from euclid_dask.runner.reuse import gone
from euclid_dask.worker.fingerprints import named_identity

PRODUCT = "<P><FileName>d.fits</FileName><FileName>never_there.fits</FileName></P>"


@pytest.fixture
def made(tmp_path: Path) -> Fingerprint:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "d.fits").write_text("pixels")
    (tmp_path / "p.xml").write_text(PRODUCT)
    status = (tmp_path / "p.xml").stat()
    return Fingerprint(
        path="p.xml",
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        named=named_identity(tmp_path, "p.xml"),
    )


def test_an_output_as_it_was_made_is_not_gone(tmp_path: Path, made: Fingerprint) -> None:
    assert gone(str(tmp_path), {"out": made}) == ""


def test_an_output_of_another_time_was_changed(tmp_path: Path, made: Fingerprint) -> None:
    os.utime(tmp_path / "p.xml", ns=(0, made.mtime_ns + 1))
    assert gone(str(tmp_path), {"out": made}) == "its output out (p.xml) was changed"


def test_an_output_of_another_size_was_changed(tmp_path: Path, made: Fingerprint) -> None:
    (tmp_path / "p.xml").write_text(PRODUCT + " ")
    os.utime(tmp_path / "p.xml", ns=(0, made.mtime_ns))
    assert gone(str(tmp_path), {"out": made}) == "its output out (p.xml) was changed"


def test_an_output_without_a_file_that_it_named_was_changed(
    tmp_path: Path, made: Fingerprint
) -> None:
    (tmp_path / "data" / "d.fits").unlink()
    reason = "a file named by its output out (p.xml) is gone or was changed"
    assert gone(str(tmp_path), {"out": made}) == reason


def test_of_named_files_that_were_not_noted_nothing_is_known(
    tmp_path: Path, made: Fingerprint
) -> None:
    (tmp_path / "data" / "d.fits").write_text("other pixels")
    old = Fingerprint(path=made.path, size=made.size, mtime_ns=made.mtime_ns)
    assert gone(str(tmp_path), {"out": old}) == ""
