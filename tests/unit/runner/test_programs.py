"""What a program is known by."""

import os
from pathlib import Path

import pytest

from euclid_dask.runner.programs import program_identity


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    workdir = tmp_path / "w"
    workdir.mkdir()
    for path, text, mtime in (
        (tmp_path / "bin" / "prog", "#!/bin/sh", 5),
        (workdir / "tool", "#!/bin/bash", 6),
        (workdir / "s.py", "x", 7),
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        os.utime(path, (mtime, mtime))
    return workdir


@pytest.mark.parametrize(
    ("command", "known_by"),
    [
        (("prog", "word", "no/such"), "9:5000000000"),
        (("prog", "s.py"), "9:5000000000 1:7000000000"),
        (("../bin/prog", "./s.py"), "9:5000000000 1:7000000000"),
        (("./tool",), "11:6000000000"),
        (("tool",), ""),
        (("none", "{workdir}/s.py"), "1:7000000000"),
    ],
)
def test_a_program_is_known_by_the_files_among_its_words(
    workdir: Path, command: tuple[str, ...], known_by: str
) -> None:
    words = tuple(word.format(workdir=workdir) for word in command)
    assert program_identity(words, workdir, f"/nowhere:{workdir.parent}/bin") == known_by
