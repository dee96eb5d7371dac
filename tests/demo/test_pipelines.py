"""The demo's pipeline scripts, and that the engine makes of them what a shell script makes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from euclid_dask.api import Settings, run
from euclid_dask.dsl import load

FLAVOURS = ["python", "astromatic"]


def script(demo: Path, flavour: str) -> Path:
    return demo / "pipelines" / f"vis_{flavour}_pipeline.py"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_script_loads_without_a_remark(demo, flavour):
    loaded = load(script(demo, flavour))
    assert (loaded.warnings, loaded.notices) == ((), ())


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_program_knows_the_ports_of_its_definition(demo, flavour):
    for executable in load(script(demo, flavour)).flow.executables.values():
        program = executable.command[:2]
        said = subprocess.run([*program, "--help"], capture_output=True, text=True, check=True)
        known = {
            word.strip("[],") for word in said.stdout.split() if word.startswith(("--", "[--"))
        }
        ports = {f"--{port.name}" for port in (*executable.inputs, *executable.outputs)}
        assert ports | {"--workdir", "--logdir"} <= known


@pytest.mark.slow
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_engine_makes_what_the_shell_script_makes(
    field, by_hand, demo, tmp_path, flavour, request
):
    if flavour == "astromatic":
        request.getfixturevalue("astromatic")
    workdir = tmp_path / "workdir"
    shutil.copytree(field.workdir, workdir)
    result = run(
        script(demo, flavour),
        workdir=workdir,
        isf=workdir / "vis.isf",
        settings=Settings(executor="inline"),
    )
    assert result.failures == ()
    line = [sys.executable, str(demo / "compare.py"), str(by_hand(flavour).workdir), str(workdir)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "5 files are equal\n")
