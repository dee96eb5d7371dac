"""From ports to a command line."""

import shlex
import subprocess
from pathlib import Path

import pytest

from euclid_dask.core.attempts import InputArgument, Order, OutputArgument, Place
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.worker.commands import pasteable, render, sourced

PLACE = Place(run=RunId("r"), workdir="/data/w", logdir="logs", records="/data/w/.r")


def _order(*inputs: InputArgument) -> Order:
    return Order(
        task=TaskId("correct.iterations.1.dark"),
        attempt=2,
        executable="vis_correct_dark",
        command=("E-Run", "VIS", "1.0", "dark", "--fast"),
        inputs=inputs,
        outputs=(
            OutputArgument(
                port="image", path="correct.iterations.1.dark/image.xml", mime_type="xml"
            ),
            OutputArgument(port="log", path="correct.iterations.1.dark/log.txt", mime_type="txt"),
        ),
        needs=Resources(),
    )


def test_a_command_line_has_directories_inputs_and_all_outputs() -> None:
    frame = InputArgument(port="frame", text="in/frame.xml")
    count = InputArgument(port="n", text="5", is_file=False)
    assert render(_order(frame, count), PLACE) == (
        "E-Run",
        "VIS",
        "1.0",
        "dark",
        "--fast",
        "--workdir=/data/w",
        "--logdir=logs/correct.iterations.1.dark",
        "--frame=in/frame.xml",
        "--n=5",
        "--image=correct.iterations.1.dark/image.xml",
        "--log=correct.iterations.1.dark/log.txt",
    )


def test_an_absent_input_has_no_option() -> None:
    absent = InputArgument(port="mask", text="")
    assert not [word for word in render(_order(absent), PLACE) if word.startswith("--mask")]


def test_without_a_source_the_command_is_run_as_it_is() -> None:
    assert sourced(("a", "b"), " ") == ("a", "b")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{setup}", "from-setup|"),
        ("{setup} && export B=2", "from-setup|2"),
        ("{setup} && export B=2;", "from-setup|2"),
        ("{setup} # the old one", "from-setup|"),
        ("; echo", "|"),
    ],
)
def test_a_sourced_environment_reaches_the_command(
    tmp_path: Path, source: str, expected: str
) -> None:
    setup = tmp_path / "setup.sh"
    setup.write_text("export A=from-setup; test $# -eq 0\n")
    command = ("sh", "-c", 'echo "$A|$B|$1"', "sh", "a b")
    words = sourced(command, source.format(setup=setup))
    answer = subprocess.run(words, capture_output=True, text=True, check=True, env={})
    assert answer.stdout.strip() == f"{expected}|a b"


def test_a_command_is_not_run_when_its_environment_cannot_be_sourced(tmp_path: Path) -> None:
    words = sourced(("touch", str(tmp_path / "ran")), "/nowhere/setup.sh")
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    assert "sourcing the environment failed" in answer.stderr.splitlines()[-1]
    assert not (tmp_path / "ran").exists()


def test_a_pasted_command_has_the_same_words(tmp_path: Path) -> None:
    place = Place(run=RunId("r"), workdir=str(tmp_path), logdir="l", records="/r", source="x && y")
    line = pasteable(("run", "--a=b c", "it's"), place)
    assert line.startswith(f"cd {tmp_path} && source x && y && ")
    assert shlex.split(line)[-3:] == ["run", "--a=b c", "it's"]


def test_an_environment_that_ends_the_shell_says_so(tmp_path: Path) -> None:
    setup = tmp_path / "setup.sh"
    setup.write_text("exit 3\n")
    words = sourced(("touch", str(tmp_path / "ran")), str(setup))
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (answer.returncode, (tmp_path / "ran").exists()) == (3, False)
    assert answer.stderr == "euclid-dask: sourcing the environment ended the shell\n"
