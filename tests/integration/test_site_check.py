"""`site check`: what is tried, here and on a real Slurm, and what is told of what is wrong."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from euclid_dask.cli.app import app
from euclid_dask.core.values import json_reader
from euclid_dask.pilots import probe
from euclid_dask.pilots.lease import Seen

SITE = """\
workspace = "{workspace}"
batch = "{batch}"
{more}
[intervals]
poll = "2s"
[templates.light]
cores = 1
ram = "200MB"
walltime = "10min"
"""
LOOPBACK = '[network]\ninterface = "lo"'
ALL = [
    "templates",
    "workspace",
    "batch",
    "address",
    "submit",
    "job",
    "files",
    "locks",
    "lease",
    "network",
    "clocks",
]


class Sites:
    """Site files, and what `site check` says of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "ws").mkdir()

    def check(self, batch: str, *words: str, more: str = LOOPBACK, workspace: str = "ws") -> Any:
        """Return the exit code, the checks by name, and the scripts."""
        text = SITE.format(workspace=self.folder / workspace, batch=batch, more=more)
        (self.folder / "site.toml").write_text(text)
        line = ["site", "check", str(self.folder / "site.toml"), *words, "--json"]
        found = CliRunner().invoke(app, line)
        told = json.loads(found.stdout)
        return found.exit_code, {one["name"]: one for one in told["checks"]}, told["scripts"]


@pytest.fixture
def sites(tmp_path: Path) -> Sites:
    return Sites(tmp_path)


@pytest.mark.parametrize("batch", ["local", pytest.param("slurm", marks=pytest.mark.batch)])
def test_a_site_that_works_passes_all_checks_and_leaves_nothing(
    sites: Sites, batch: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if batch == "slurm":
        for name, value in request.getfixturevalue("slurm_cluster").environment.items():
            monkeypatch.setenv(name, value)
    code, checks, scripts = sites.check(batch)
    assert [name for name, one in checks.items() if not one["ok"]] == []
    assert list(checks) == ALL
    assert code == 0
    assert "euclid_dask.pilots.supervisor --pilot light-000000" in scripts["light"]
    assert list((sites.folder / "ws").iterdir()) == []


def test_without_a_job_only_the_cheap_things_are_tried(sites: Sites) -> None:
    code, checks, _ = sites.check("local", "--no-job")
    assert (code, list(checks)) == (0, ALL[:4])


def test_a_workspace_that_is_not_there_fails_with_the_fix(sites: Sites) -> None:
    code, checks, _ = sites.check("local", workspace="nowhere")
    assert code == 2
    assert not checks["workspace"]["ok"]
    assert checks["workspace"]["fix"] == "make the folder, or name another one as `workspace`"


def test_a_batch_system_that_is_not_there_fails_and_gets_no_job(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    code, checks, _ = sites.check("slurm")
    assert code == 2
    assert "squeue failed" in checks["batch"]["found"]
    assert "on the PATH" in checks["batch"]["fix"]
    assert "submit" not in checks


def test_an_interface_that_is_not_there_fails_with_its_name(sites: Sites) -> None:
    code, checks, _ = sites.check("local", more='[network]\ninterface = "ib7"')
    assert code == 2
    assert "there is no network interface ib7" in checks["address"]["found"]


def test_a_job_that_cannot_run_fails_with_its_last_words(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("euclid_dask.pilots.checkup._SETTLE_S", 0.2)
    code, checks, _ = sites.check("local", more='[pilots]\npython = "/no/python"')
    assert code == 2
    assert "/no/python" in checks["job"]["found"]
    assert "`pilots.python`" in checks["job"]["fix"]


def test_an_environment_that_cannot_be_sourced_fails(sites: Sites) -> None:
    code, checks, _ = sites.check("local", more='[environments]\ndefault = "/no/activate.sh"')
    assert code == 2
    assert "/no/activate.sh" in checks["host"]["found"]


@pytest.mark.parametrize(
    ("broken", "answer", "found"),
    [
        ("offer", None, "No such file or directory: "),
        (
            "look",
            Seen(touched_ns=5, lasts_s=1.0),
            "that the job has given it back is not seen here within 1 s",
        ),
    ],
)
def test_a_lease_that_the_other_side_does_not_see_fails(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, broken: str, answer: Seen | None, found: str
) -> None:
    monkeypatch.setattr(f"euclid_dask.pilots.checkup.Leases.{broken}", lambda *_: answer)
    code, checks, _ = sites.check("local", more=f'{LOOPBACK}\n[pilots]\nlease = "1s"')
    assert code == 2
    assert checks["lease"]["found"].startswith(found)
    assert "actimeo" in checks["lease"]["fix"]


def test_a_node_tells_what_it_does_not_see(tmp_path: Path) -> None:
    """It answers even so: the folder is there, the runner's file and address are not."""
    assert probe.main(["--folder", str(tmp_path), "--address", "127.0.0.1:1"]) == 0
    answer = json_reader(probe.Answer)((tmp_path / probe.ANSWER).read_bytes())
    assert (answer.host, answer.seen) == (os.uname().nodename, "")
    assert answer.reached == "Connection refused"
    assert answer.leased == f"No such file or directory: {tmp_path}/leases/probe"
    (tmp_path / probe.ANSWER).unlink()
    (tmp_path / probe.QUESTION).write_text("q")
    assert probe.main(["--folder", str(tmp_path), "--address", "127.0.0.1:1"]) == 0
    answer = json_reader(probe.Answer)((tmp_path / probe.ANSWER).read_bytes())
    assert (answer.seen, answer.exclusive) == ("q", "")
    assert answer.locked == "a file that is locked on another host can be locked once more (flock)"
