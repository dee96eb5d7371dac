"""Files that are given by a user are not waited for."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from euclid_dask.core.errors import EuclidDaskError
from euclid_dask.data.archive.settings import read_settings
from euclid_dask.data.credentials import read_credentials
from euclid_dask.data.regular import regular


@pytest.mark.parametrize("read", [read_settings, read_credentials])
def test_a_pipe_is_refused_at_once(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "netrc", 0o600)
    with pytest.raises(EuclidDaskError, match="netrc: it is a pipe or a device, not a file"):
        read(tmp_path / "netrc")


def test_a_device_is_refused_and_what_is_not_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it is a pipe or a device"):
        regular(Path("/dev/zero"))
    assert regular(tmp_path / "none") == tmp_path / "none"


def test_what_a_shell_opens_for_us_is_read() -> None:
    command = "import sys, pathlib; from euclid_dask.data.regular import regular; "
    command += "print(regular(pathlib.Path(sys.argv[1])).read_text())"
    words = ["bash", "-c", f"{sys.executable} -c '{command}' <(echo given)"]
    assert subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout == b"given\n\n"
