"""Retrievals from the archive that are cut off by signals, in processes of their own."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fake_archive
import pytest
from fake_archive import PASSWORD, USER, FakeArchive

CONTENT = bytes(range(256)) * 10_000
XML = (
    b'<x:DpdVisRawFrame xmlns:x="http://euclid.esa.org/schema/dpd/vis/raw"><Header><ProductId>1'
    b"</ProductId></Header><Data><S filestatus='COMMITTED'><FileName>a.fits</FileName></S></Data>"
    b"</x:DpdVisRawFrame>"
)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    """An archive that sends its one file slowly."""
    with fake_archive.serving() as running:
        running.files["a.fits"] = CONTENT
        running.add_product(XML)
        running.pace = 4096
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
        netrc.chmod(0o600)
        (tmp_path / "archive.toml").write_text(
            f'metadata = "{running.url}"\nfiles = ["{running.url}"]\ncredentials = "{netrc}"\n'
        )
        yield running
        running.hurry.set()


def _get(folder: Path) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "euclid_dask", "archive", "get", "DpdVisRawFrame", "--to", "w"]
    words = ["env", "--default-signal=INT", *words]  # which we may have to ignore
    return subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_retrieval_that_is_cut_off_goes_on(
    archive: FakeArchive, tmp_path: Path, sign: signal.Signals, code: int
) -> None:
    part = tmp_path / "w/data/.a.fits.part-get"
    first = _get(tmp_path)
    deadline = time.monotonic() + 100
    while not (part.exists() and part.stat().st_size > 30_000):
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(sign)
    first.communicate()
    left = part.stat().st_size
    assert first.returncode == code
    assert not (tmp_path / "w/data/a.fits").exists()

    archive.hurry.set()
    second = _get(tmp_path)
    _, told = second.communicate()

    assert second.returncode == 0, told
    assert "a.fits: resumed" in told
    assert (tmp_path / "w/data/a.fits").read_bytes() == CONTENT
    assert not part.exists()
    assert archive.asked("DSSGET")[-1]["Range"] == f"bytes={left - 1}-"
