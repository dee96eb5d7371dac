import os
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.runner.environments import read_environments, source_text, sourcing_script

IAL = """
# what the original's debug configuration looks like
pipelinerunner.concurrentruns=50
environment.sourcingScripts.eden-2.1=/cvmfs/euclid.example/EDEN-2.1/bin/activate
environment.sourcingScripts.Eden-2.1-dev=/cvmfs/dev/activate && export A=1
environment.sourcingScripts.none=; echo
environment.sourcingScriptsDefault=/cvmfs/default.sh
"""


def test_a_configuration_of_the_ial_names_scripts_by_version_in_any_case(tmp_path: Path) -> None:
    path = tmp_path / "server.cfg"
    path.write_text(IAL)
    found = read_environments(path)
    assert sourcing_script(found, "Eden-2.1") == "/cvmfs/euclid.example/EDEN-2.1/bin/activate"
    assert sourcing_script(found, "eden-2.1-DEV") == "/cvmfs/dev/activate && export A=1"
    assert sourcing_script(found, "none") == "; echo"
    assert sourcing_script(found, None) == "/cvmfs/default.sh"


def test_a_toml_file_names_scripts_by_version(tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    path.write_text('[environments]\n"Eden-3.0" = "/opt/eden.sh"\n')
    found = read_environments(path)
    assert found == {"eden-3.0": "/opt/eden.sh"}
    assert sourcing_script(found, None) == ""


def test_a_version_that_is_not_there_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    path = tmp_path / "e.cfg"
    path.write_text(IAL)
    with pytest.raises(InputError, match=r"f.isf:3: there is no environment.*'Eden-2.2'") as caught:
        sourcing_script(read_environments(path), "Eden-2.2", "f.isf:3")
    assert "eden-2.1" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.toml", "[environments\n", "cannot read the environments"),
        ("e.toml", "[environments]\na = 1\n", "environments.a is not a text"),
        ("e.toml", "[other]\n", "names no environment"),
        ("e.cfg", "a=b\n", "names no environment"),
    ],
)
def test_a_file_that_names_no_environment_is_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SiteError, match=message):
        read_environments(tmp_path / name)


def test_a_missing_file_of_environments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="cannot read the environments"):
        read_environments(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ("set.sh", "{here}/set.sh"),
        ("a b/set up.sh", "'{here}/a b/set up.sh'"),
        ("set.sh 2.1 && export A=1", "{here}/set.sh 2.1 && export A=1"),
        ("set.sh; export A=1", "{here}/set.sh; export A=1"),
        ("; export A=1", "; export A=1"),
        ("", ""),
    ],
)
def test_a_file_to_source_is_named_from_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str, text: str
) -> None:
    for name in ("set.sh", "a b/set up.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert source_text(wish) == text.format(here=tmp_path)


def test_a_file_to_source_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match=r"--source no\.sh && x: there is no file no\.sh"):
        source_text("no.sh && x")


def test_a_pipe_of_environments_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "e.toml")
    with pytest.raises(SiteError, match="it is a pipe or a device, not a file"):
        read_environments(tmp_path / "e.toml")
