"""The command line with streams that are closed or full, and where file names are ASCII."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """\
from euclid_dask import Executable, Output, pipeline

copy = Executable("{program}", inputs=["source"], outputs=[Output("copy", mime_type="txt")])


@pipeline(outputs=("result",))
def {name}(source):
    return copy(source=source)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pipeline of one task, and its input."""
    program = tmp_path / "program.sh"
    program.write_text('#!/bin/sh\nfor word in "$@"; do [ "${word#--copy=}" = "$word" ] || '
                       'echo made > "${word#--copy=}"; done\n')  # fmt: skip
    program.chmod(0o755)
    for name in ("plain", "na\u00efve"):
        text = PIPELINE.format(program=program, name=name)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "x.txt").write_text("x\n")
    return tmp_path


def shell(folder: Path, line: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Have a shell call the command line; `$RUN` is a run of the pipeline `plain`."""
    command = f"{sys.executable} -m euclid_dask"
    run = f"{command} run plain.py source=x.txt --workdir w --executor inline"
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "RUN": run, "COMMAND": command, **environment},
        text=True,
        encoding="utf-8",
        capture_output=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_run_is_done_whoever_listens(folder: Path, streams: str) -> None:
    done = shell(folder, f"$RUN {streams}")
    assert done.returncode == 0
    assert (folder / "w/copy/copy.txt").read_text() == "made\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("options", ["", "--json"])
def test_an_outcome_that_cannot_be_told_is_a_failure(
    folder: Path, options: str, unbuffered: str
) -> None:
    done = shell(folder, f"$RUN --quiet {options} >/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == "error: cannot write to stdout: No space left on device\n"
    assert (folder / "w/copy/copy.txt").is_file()


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "--json >/dev/full"])
def test_a_refusal_that_cannot_be_told_keeps_its_code(folder: Path, streams: str) -> None:
    done = shell(folder, f"$COMMAND check nothing.py {streams}")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.parametrize(
    "words",
    ["run plain.py source=x.txt --workdir w\u00ef", "run na\u00efve.py", "run *ve.py source=x.txt"],
)
def test_names_that_this_environment_cannot_have_are_refused(folder: Path, words: str) -> None:
    done = shell(folder, f"$COMMAND {words}", LC_ALL="C", PYTHONUTF8="0")
    assert done.returncode == 2
    assert "file names are ascii in this environment" in done.stderr
    assert "hint: set LC_ALL=C.UTF-8" in done.stderr


def test_files_in_the_current_folder_are_not_modules_that_we_import(tmp_path: Path) -> None:
    for name in ("pickle", "decimal", "click", "msgspec"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user')\n")
    told = subprocess.run(
        [sys.executable, "-m", "euclid_dask", "--version"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (told.returncode, told.stderr) == (0, "")
