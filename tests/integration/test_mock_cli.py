import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from euclid_dask.cli.app import app

PIPELINE = """
from euclid_dask import ComputingResources, Executable, Input, Output, pipeline

use = Executable("use", ["a"], ["y"], ComputingResources(cores=9999, ram=1, walltime=0.1))


@pipeline(outputs=("y",))
def one(a):
    return use(a=a)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "one.py"
    path.write_text(PIPELINE)
    return path


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["mock", *map(str, words)])


def test_the_command_tells_what_it_wrote_and_how_to_run_it(script: Path, tmp_path: Path) -> None:
    w = tmp_path / "w"
    result = call(script, "--workdir", w, "--duration", "0.1-0.2", "--set", "use.failure=hang")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"1 stand-in in {w}/mock-bin",
        f"1 input in {w}: a.xml",
        f"settings in {w}/mock.toml: edit it, and give it with --plan",
        "run it:",
        (
            f"  PATH={w}/mock-bin:$PATH euclid-dask run {script} --workdir {w} --isf {w}/mock.isf "
            "--cores 9999"
        ),
    ]
    plan = (w / "mock.toml").read_text()
    assert 'duration = "0.1-0.2"' in plan
    assert 'failure = "hang"' in plan


def test_json_holds_the_whole_report(script: Path, tmp_path: Path) -> None:
    result = call(script, "--workdir", tmp_path / "w", "--json")
    told = json.loads(result.stdout)
    assert told["state"] == "ok"
    assert told["inputs"] == {"a": "a.xml"}
    assert told["stand_ins"] == {"use": f"{tmp_path}/w/mock-bin/use"}
    assert told["command"].startswith("PATH=")


def test_a_warning_goes_to_stderr(script: Path, tmp_path: Path) -> None:
    result = call(script, "--workdir", tmp_path / "w", "--ram", "2GB")
    assert result.stderr == "warning: 'use' will use more RAM than it declares: a run kills it\n"


def test_a_wrong_setting_is_refused_with_exit_code_2(script: Path, tmp_path: Path) -> None:
    result = call(script, "--workdir", tmp_path / "w", "--failure-rate", "1.5")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: use.failure_rate: 1.5 is not from 0 to 1\n  hint: 1 % is written 0.01\n"
    )
