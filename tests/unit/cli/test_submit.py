"""`submit`: what is refused before there is a job, and what the job says."""

import json
import os
import shlex
from pathlib import Path

import pytest

from euclid_dask.core.errors import EuclidDaskError
from euclid_dask.pilots.names import runner_prefix
from euclid_dask.pilots.site import read_site
from euclid_dask.runner.workspace import Lock, Workspace

SITE = """\
workspace = "{folder}/ws"
batch = "{batch}"
[defaults]
account = "euclid"
ram = "8GB"
[templates.light]
cores = 1
walltime = "2h"
[runner]
walltime = "36h"
queue = "long"
"""
WHERE = ("--site", "site.toml", "--workdir", "ws/w")
INPUTS = ("text=good.txt", "extra=None")


@pytest.fixture(autouse=True)
def site(tmp_path: Path) -> Path:
    """A site on Slurm, whose commands leave a trace when they are called."""
    (tmp_path / "ws").mkdir()
    file = tmp_path / "site.toml"
    file.write_text(SITE.format(folder=tmp_path, batch="slurm"))
    return file


@pytest.fixture(autouse=True)
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of Slurm; the jobs that they list are the lines of a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    listed = tmp_path / "listed"
    listed.touch()
    programs = {
        "sbatch": f'echo "$@" >> {tmp_path}/submitted; echo 123',
        "squeue": f"cat {listed}",
    }
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return listed


def test_the_job_says_the_same_run_where_it_was_submitted(
    cli, script: Path, tmp_path: Path
) -> None:
    options = ("--until=final", "--retries", "2", "--no-enforce-ram", "-q")
    found = cli("submit", str(script), *WHERE, *options, *INPUTS, "--dry-run")
    assert found.exit_code == 0, found.stderr
    *head, there, line = found.stdout.splitlines()
    assert {"#SBATCH -p long", "#SBATCH -A euclid", "#SBATCH -t 36:00:00"} <= set(head)
    assert there == f"cd {tmp_path} || exit 2"
    words = shlex.split(line)
    assert words[2:6] == ["-m", "euclid_dask", "run", "--spare-pilots"]
    assert set(words[6:-4]) == {
        *("--until=final", "--retries=2", "--no-enforce-ram", "--quiet"),
        *("--site=site.toml", "--workdir=ws/w"),
    }
    assert words[-4:] == ["--", str(script), *INPUTS]
    assert not (tmp_path / "submitted").exists()


def test_what_the_environment_chose_is_said_to_the_job(
    cli, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EUCLID_DASK_PROFILES", "/p/profiles")
    found = cli("submit", str(script), *WHERE, *INPUTS, "--dry-run")
    assert "--profiles=/p/profiles" in found.stdout


def test_a_submitted_job_is_told_with_all_to_follow_it(cli, script: Path, tmp_path: Path) -> None:
    found = cli("submit", str(script), *WHERE, *INPUTS, "--json")
    told = json.loads(found.stdout)
    assert (told["state"], told["job"], told["cancel"]) == ("submitted", "123", "scancel 123")
    assert told["follow"] == f"euclid-dask status {tmp_path}/ws/w"
    submitted = (tmp_path / "submitted").read_text()
    assert f"--output={told['stdout']} --error={told['stderr']}" in submitted
    assert Path(told["stdout"]).with_suffix(".sh").read_text() == told["script"]
    text = cli("submit", str(script), *WHERE, *INPUTS).stdout
    assert "job 123 was submitted" in text
    assert "scancel 123" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*WHERE, "text=none.txt"), "none.txt"),
        ((*WHERE, "extra=good.txt"), "text"),
        (("--workdir", "ws/w", *INPUTS), "a job needs a site"),
        (("--site", "site.toml", "--workdir", "elsewhere", *INPUTS), "is not in the workspace"),
        ((*WHERE, *INPUTS, "--executor", "inline"), "leave out --executor"),
        ((*WHERE, *INPUTS, "--resume", "ws/w"), "either SCRIPT or --resume"),
    ],
)
def test_what_run_refuses_is_refused_before_there_is_a_job(
    cli, script: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    found = cli("submit", str(script), *words)
    assert found.exit_code == 2
    assert message in found.stderr
    assert not (tmp_path / "submitted").exists()


def test_a_template_that_cannot_be_asked_for_is_refused(
    cli, script: Path, site: Path, tmp_path: Path
) -> None:
    text = SITE.format(folder=tmp_path, batch="sge").replace("cores = 1", "cores = 4")
    site.write_text(text)
    found = cli("submit", str(script), *WHERE, *INPUTS)
    assert found.exit_code == 2
    assert "does not know how to give 4 cores" in found.stderr


def test_a_workdir_where_a_runner_works_is_refused(cli, script: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws" / "w")
    workspace.create()
    lock = Lock.take(workspace)
    found = cli("submit", str(script), *WHERE, *INPUTS)
    lock.release()
    assert found.exit_code == 2
    assert "another runner works in" in found.stderr
    assert not (tmp_path / "submitted").exists()


def test_a_submission_leaves_no_records_of_a_run(cli, script: Path, tmp_path: Path) -> None:
    found = cli("submit", str(script), *WHERE, *INPUTS)
    assert found.exit_code == 0, found.stderr
    records = {path.name for path in (tmp_path / "ws/w/.euclid-dask").iterdir()}
    assert records <= {"lock", "jobs"}


def test_a_dry_run_leaves_nothing(cli, script: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    found = cli("submit", str(script), *WHERE, *INPUTS, "--dry-run")
    assert found.exit_code == 0, found.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words", [(*WHERE, "text=none.txt", "extra=None"), ("--workdir", "ws/w", *INPUTS)]
)
def test_what_is_refused_leaves_no_workdir_behind(
    cli, script: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    found = cli("submit", str(script), *words)
    assert found.exit_code == 2
    assert list((tmp_path / "ws").iterdir()) == []


def test_a_second_job_for_a_workdir_is_refused_while_the_first_waits(
    cli, script: Path, site: Path, slurm: Path, tmp_path: Path
) -> None:
    name = runner_prefix(read_site(site, {}), tmp_path / "ws" / "w") + "1"
    slurm.write_text(f"77|PENDING|n/a|N/A|N/A|{name}|Priority\n")
    found = cli("submit", str(script), *WHERE, *INPUTS)
    assert found.exit_code == 2
    assert "job 77 is a runner of" in found.stderr
    assert "scancel 77" in found.stderr
    assert not (tmp_path / "submitted").exists()


def test_a_runner_has_a_name_of_its_own_when_files_of_earlier_ones_are_gone(
    cli, script: Path, site: Path, tmp_path: Path
) -> None:
    jobs = tmp_path / "ws" / "w" / ".euclid-dask" / "jobs"
    jobs.mkdir(parents=True)
    prefix = runner_prefix(read_site(site, {}), tmp_path / "ws" / "w")
    (jobs / f"{prefix}5.sh").touch()
    found = cli("submit", str(script), *WHERE, *INPUTS, "--dry-run", "--json")
    assert json.loads(found.stdout)["name"] == f"{prefix}6"


def test_options_that_resume_does_not_know_are_refused(cli, tmp_path: Path) -> None:
    found = cli("submit", "--resume", "ws/w", "--policy", "fifo")
    assert found.exit_code == 2
    assert "No such option '--policy'" in found.stderr


def test_a_workdir_without_a_run_is_not_gone_on_with(cli) -> None:
    found = cli("submit", "--resume", "ws/w")
    assert found.exit_code == 2
    assert "no run was started in" in found.stderr


def test_directives_of_the_runner_are_looked_at(site: Path) -> None:
    site.write_text(f'{site.read_text()}directives = ["#SBATCH --exclusive"]\n')
    with pytest.raises(EuclidDaskError, match=r"runner.directives: .* begins with #"):
        read_site(site, {})
