"""The command `site`: new, import, show."""

import json
from pathlib import Path

import pytest

CONFIGURATION = """\
pipelinerunner.pilots.light.CPUcores=2
pipelinerunner.pilots.light.rssInMB=4132
pipelinerunner.pilots.light.walltimeInMin=4320
pipelinerunner.pilots.light.maxInstances=0
pipelinerunner.workspace.rootPath=/sps/euclid
pipelinerunner.drm.defaultQueue.scheduler=SLURM
pipelinerunner.webserver.web_port=50000
"""


@pytest.fixture
def site(tmp_path: Path) -> str:
    text = f'workspace = "{tmp_path}"\nbatch = "slurm"\n'
    text += '[templates.medium]\ncores = 8\nram = "16GB"\nwalltime = "02:00:00"\n'
    (tmp_path / "site.toml").write_text(text)
    return "site.toml"


def test_a_new_site_is_written_once(cli, tmp_path: Path) -> None:
    assert cli("site", "new", "--output", "site.toml").exit_code == 0
    assert (tmp_path / "site.toml").read_text() == cli("site", "new").stdout
    again = cli("site", "new", "--output", "site.toml")
    assert again.exit_code == 2
    assert "site.toml exists" in again.stderr


def test_show_tells_the_effective_templates(cli, site: str) -> None:
    found = cli("site", "show", site)
    assert found.exit_code == 0
    assert "medium    8      16 GB  -     2h        32     10       4       -" in found.stdout
    assert 'pilots.idle_timeout = "5min"' in found.stdout
    assert found.stderr == ""


def test_show_warns(cli, site: str, tmp_path: Path) -> None:
    with (tmp_path / site).open("a") as file:
        file.write("max_running = 0\n")
    found = cli("site", "show", site)
    assert found.exit_code == 0
    assert "warning: templates: all are off (max_running = 0)" in found.stderr
    warned = json.loads(cli("site", "show", site, "--json").stdout)["warnings"]
    assert warned == ["templates: all are off (max_running = 0), so nothing will run"]


def test_show_json_has_numbers_in_bytes_and_seconds(cli, site: str) -> None:
    told = json.loads(cli("site", "show", site, "--json").stdout)
    medium = told["site"]["templates"]["medium"]
    assert told["state"] == "ok"
    assert (medium["ram_bytes"], medium["walltime_s"], medium["slots"]) == (16 * 10**9, 7200, 32)
    assert told["site"]["limits"]["grace_s"] == 3


def test_a_wrong_key_is_refused_with_file_and_line(cli, site: str, tmp_path: Path) -> None:
    with (tmp_path / site).open("a") as file:
        file.write('wallclock = "3d"\n')
    found = cli("site", "show", site)
    assert found.exit_code == 2
    assert "site.toml:7: templates.medium.wallclock: there is no such key; " in found.stderr


def test_import_writes_a_site_and_tells_what_has_no_place(cli, tmp_path: Path) -> None:
    (tmp_path / "server.cfg").write_text(CONFIGURATION)
    found = cli("site", "import", "server.cfg", "--output", "site.toml")
    assert found.exit_code == 0
    assert "line 7: pipelinerunner.webserver.web_port=50000: there is no server" in found.stderr
    assert (
        "light     2      4.13 GB  -     3d        8      off"
        in cli("site", "show", "site.toml").stdout
    )


def test_import_as_json_holds_the_file_and_what_has_no_place(cli, tmp_path: Path) -> None:
    (tmp_path / "server.cfg").write_text(CONFIGURATION)
    told = json.loads(cli("site", "import", "server.cfg", "--json").stdout)
    assert told["toml"] == cli("site", "import", "server.cfg").stdout
    assert [left["line"] for left in told["left_out"]] == [7]
    assert told["checks"] == []
