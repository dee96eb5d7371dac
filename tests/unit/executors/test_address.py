"""The scheduler file, as it is read on another host."""

import subprocess
import sys
from pathlib import Path

import pytest

from euclid_dask.executors.dask.address import read_address, write_address

OPENED = """
import sys
from pathlib import Path

from euclid_dask.executors.dask.address import read_address

file = Path(sys.argv[1])
ours = {str(file): "file", str(file.parent): "folder"}
sys.addaudithook(lambda event, words: event == "open" and str(words[0]) in ours
                 and print(ours[str(words[0])]))
read_address(file)
"""


def test_the_address_that_was_written_last_is_read(tmp_path: Path) -> None:
    assert read_address(tmp_path / "scheduler.json") == ""
    for address in ("tls://a:1", "tls://b:2"):
        write_address(tmp_path, address, "id")
        assert read_address(tmp_path / "scheduler.json") == address


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"address": 1}'])
def test_what_is_no_address_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "scheduler.json").write_text(text)
    assert read_address(tmp_path / "scheduler.json") == ""


def test_the_folder_is_opened_before_the_file(tmp_path: Path) -> None:
    """By that NFS asks its server again, and sees a file that took the place of another."""
    write_address(tmp_path, "tls://a:1", "id")
    line = [sys.executable, "-c", OPENED, str(tmp_path / "scheduler.json")]
    assert subprocess.check_output(line, text=True).split() == ["folder", "file"]
