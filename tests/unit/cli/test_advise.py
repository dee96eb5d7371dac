"""`advise` and `profiles`: from a run to a package definition that asks for what is used."""

import json
import subprocess
from pathlib import Path

import pytest

DEFS = """\
from euclid_dask import ComputingResources, Executable, Output

nap = Executable(
    "sh -c 'sleep 0.5; echo > nap/done.txt'",
    outputs=[Output("done", mime_type="txt")],
    resources=ComputingResources(cores=1, ram=0.9, walltime=2.0),  # generous
)
"""
SCRIPT = """\
from defs import nap
from euclid_dask import pipeline

@pipeline(outputs=("done",))
def rest():
    return nap()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/defs.py").write_text(DEFS)
    (tmp_path / "repo/rest.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EUCLID_DASK_PROFILES", raising=False)
    return tmp_path


def run(cli, *words: str) -> None:
    inline = ("--executor", "inline", "-q", "--fresh")
    assert cli("run", "repo/rest.py", "--workdir", "w", *inline, *words).exit_code == 0


def test_a_patch_is_applied_and_what_it_makes_is_checked(cli, here: Path) -> None:
    run(cli)
    told = cli("advise", "w", "--least", "1", "--patch")
    assert told.exit_code == 0
    subprocess.run(["patch", "-p1"], input=told.stdout.encode(), cwd=here, check=True)
    after = (here / "repo/defs.py").read_text()
    assert after == DEFS.replace("ram=0.9, walltime=2.0", "ram=0.1, walltime=0.01")
    found = json.loads(cli("check", "repo/rest.py", "--json").stdout)
    assert found["state"] == "ok"
    assert found["tasks"][0]["needs"]["ram_bytes"] == 100_000_000
    run(cli)
    assert cli("advise", "w", "--least", "1", "--patch").stdout == ""


def test_a_patch_for_files_elsewhere_says_where_to_apply_it(
    cli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(cli)
    (here / "other").mkdir()
    monkeypatch.chdir(here / "other")
    told = cli("advise", "../w", "--least", "1", "--patch")
    assert f"apply with: patch -p1 -d {here}/repo" in told.stderr
    subprocess.run(["patch", "-p1"], input=told.stdout.encode(), cwd=here / "repo", check=True)
    assert "ram=0.1" in (here / "repo/defs.py").read_text()


def test_a_definition_that_has_changed_since_is_left_alone(cli, here: Path) -> None:
    run(cli)
    (here / "repo/defs.py").write_text(DEFS.replace("ram=0.9", "ram=0.5"))
    told = cli("advise", "w", "--least", "1", "--patch")
    assert told.stdout == ""
    assert "not changed: nap" in told.stderr
    assert "the file has changed" in told.stderr


def test_advice_tells_asked_and_used(cli, here: Path) -> None:
    run(cli)
    text = cli("advise", "w").stdout
    assert "1 of the 25 tasks that are needed to ask for less" in text
    assert "nothing to change" in text
    text = cli("advise", "w", "--least", "1").stdout
    assert "900 MB -> 100 MB" in text
    assert "as a patch" in text


def test_advice_for_programs_has_numbers(cli, here: Path) -> None:
    run(cli)
    (one,) = json.loads(cli("advise", "w", "--least", "1", "--json").stdout)["advice"]
    assert one["asked"] == {
        "cores": 1.0, "ram_bytes": 900_000_000, "walltime_s": 7200.0, "disk_bytes": 0
    }  # fmt: skip
    assert one["advised"]["ram_bytes"] == 100_000_000
    assert one["risk"] == 0.5
    assert one["saved_gb_hours"] == pytest.approx(one["gb_hours"] * 8 / 9)


def test_profiles_are_kept_where_it_is_said(
    cli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(cli, "--profiles", "mine.sqlite")
    monkeypatch.setenv("EUCLID_DASK_PROFILES", str(here / "mine.sqlite"))
    run(cli)
    assert not (here / "w/.euclid-dask/profiles.sqlite").exists()
    (found,) = json.loads(cli("profiles", "show", "--store", "mine.sqlite", "--json").stdout)[
        "executables"
    ]
    assert (found["executable"], found["tasks"]) == ("nap", 2)
    assert 0.1 < found["wall_s"][0] < 60


def test_profiles_are_made_again_of_journals(cli, here: Path) -> None:
    run(cli)
    before = cli("profiles", "show", "w").stdout
    store = here / "w/.euclid-dask/profiles.sqlite"
    store.write_text("nonsense, and more than a hundred bytes of it " * 10)
    refused = cli("profiles", "show", "w")
    assert refused.exit_code == 2
    assert "profiles rebuild" in refused.stderr
    assert cli("profiles", "rebuild", "w").exit_code == 0
    assert cli("profiles", "show", "w").stdout == before
    assert [path.name for path in store.parent.glob(".*")] == []


def test_several_workdirs_make_one_file_that_is_named(cli, here: Path) -> None:
    run(cli)
    (here / "w").rename(here / "w1")
    run(cli)
    refused = cli("profiles", "rebuild", "w", "w1")
    assert refused.exit_code == 2
    assert "--store" in refused.stderr
    assert cli("profiles", "rebuild", "w", "w1", "--store", "all.sqlite").exit_code == 0
    assert "2 of the 3" in cli("advise", "--store", "all.sqlite", "--least", "3").stdout


def test_a_store_that_is_not_there_is_refused(cli, here: Path) -> None:
    assert cli("advise", "--store", "none.sqlite").exit_code == 2
    assert cli("advise", "w").exit_code == 2
    assert cli("advise", "w", "--store", "none.sqlite").exit_code == 2
