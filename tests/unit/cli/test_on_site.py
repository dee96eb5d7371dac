"""Pipelines at a site, before anything runs: what is refused, and which dials are the site's."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from euclid_dask import api
from euclid_dask.core.errors import InputError

SITE = """\
workspace = "{folder}/ws"
batch = "{batch}"
policy = "critical-path"
[retries]
science = 2
lost = 7
[limits]
enforce_ram = false
grace = "9s"
[intervals]
sample = "3s"
[environments]
default = "/opt/usual.sh"
"eden-2.1" = "/opt/eden.sh"
[templates.light]
cores = 1
ram = "{ram}"
walltime = "2h"
"""

MakeSite = Callable[..., Path]


@pytest.fixture
def make_site(tmp_path: Path) -> MakeSite:
    def make(ram: str = "8GB", batch: str = "local") -> Path:
        (tmp_path / "ws").mkdir()
        file = tmp_path / "site.toml"
        file.write_text(SITE.format(folder=tmp_path, ram=ram, batch=batch))
        return file

    return make


def test_a_task_that_no_template_holds_is_refused_with_the_smallest_fix(
    cli, script: Path, make_site: MakeSite
) -> None:
    site = make_site(ram="100MB")
    found = cli("check", str(script), "--site", str(site), "--workdir", "ws/w")
    assert found.exit_code == 2
    assert "no template holds it" in found.stderr
    assert "hint: Give 'light' RAM " in found.stderr
    assert "(now 0.1 GB), or ask for at most RAM 0.1 GB" in found.stderr


def test_a_workdir_that_pilots_do_not_see_is_refused(
    cli, script: Path, make_site: MakeSite, tmp_path: Path
) -> None:
    found = cli("run", str(script), "--site", str(make_site()), "--workdir", "w")
    assert found.exit_code == 2
    assert f"{tmp_path}/w is not in the workspace of the site, {tmp_path}/ws" in found.stderr
    assert f"--workdir {tmp_path}/ws/w" in found.stderr
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("word", [("--executor", "inline"), ("--cores", "2"), ("--ram", "1GB")])
def test_a_site_and_this_machine_are_not_both_chosen(
    cli, script: Path, make_site: MakeSite, word: tuple[str, str]
) -> None:
    found = cli("run", str(script), "--site", str(make_site()), "--workdir", "ws/w", *word)
    assert found.exit_code == 2
    assert "leave out --executor, --cores and --ram, or --site" in found.stderr


def test_a_site_file_that_is_wrong_is_refused(cli, script: Path, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('batch = "slrm"\n')
    found = cli("run", str(script), "--site", "site.toml")
    assert found.exit_code == 2
    assert "site.toml:1" in found.stderr


def test_inputs_that_nodes_may_not_see_are_told_of(
    script: Path, make_site: MakeSite, tmp_path: Path
) -> None:
    settings = api.Settings(site=make_site(batch="slurm"))
    (tmp_path / "ws" / "link.txt").symlink_to("/proc/version")
    for text, is_seen in (
        (tmp_path / "good.txt", True),
        ("/proc/version", False),
        (tmp_path / "ws" / "link.txt", False),
    ):
        _, warnings = api.prepare(
            script,
            pkgrepo=None,
            workdir=tmp_path / "ws" / "w",
            isf=None,
            settings=settings,
            inputs={"text": text, "extra": None},
        )
        told = [one for one in warnings if "nodes may not see inputs" in one]
        assert told == [] if is_seen else f"text ({text})" in told[0]


def prepared(script: Path, folder: Path, settings: api.Settings, isf: Path | None = None):
    return api.prepare(
        script,
        pkgrepo=None,
        workdir=folder / "ws" / "w",
        isf=isf,
        settings=settings,
        inputs={} if isf else {"text": folder / "good.txt", "extra": None},
    )[0]


def test_dials_that_nobody_sets_are_the_sites(
    script: Path, make_site: MakeSite, tmp_path: Path
) -> None:
    settings = api.Settings(site=make_site())
    request = prepared(script, tmp_path, settings)
    assert request.options.policy == "critical-path"
    assert (request.options.science_retries, request.options.lost_retries) == (2, 7)
    assert (request.enforce_ram, request.enforce_walltime, request.grace_s) == (False, True, 9.0)
    assert request.sample_interval_s == 3.0
    assert request.source == "/opt/usual.sh"
    own = dataclasses.replace(settings, policy="fifo", science_retries=0, enforce_ram=True)
    request = prepared(script, tmp_path, own)
    assert (request.options.policy, request.options.science_retries) == ("fifo", 0)
    assert request.enforce_ram


def test_the_version_of_a_data_file_chooses_the_environment_of_the_site(
    script: Path, make_site: MakeSite, tmp_path: Path
) -> None:
    settings = api.Settings(site=make_site())
    isf = tmp_path / "a.isf"
    isf.write_text(f"text={tmp_path}/good.txt\nextra=None\nedenVersion=EDEN-2.1\n")
    assert prepared(script, tmp_path, settings, isf).source == "/opt/eden.sh"
    isf.write_text(f"text={tmp_path}/good.txt\nextra=None\nedenVersion=EDEN-9\n")
    with pytest.raises(InputError, match="no environment of version 'EDEN-9'"):
        prepared(script, tmp_path, settings, isf)
