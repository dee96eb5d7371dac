"""The jobs that become pilots: names that tell whose they are, and the supervisor's words."""

import shlex
from pathlib import Path

import pytest

from euclid_dask.core.ids import PilotId
from euclid_dask.pilots.launch import batch_of, job_prefix, pilot_script
from euclid_dask.pilots.site import Limits, Pilots, Site, Template
from euclid_dask.pilots.supervisor import _options

PILOT = PilotId("light-000001")
LIGHT = Template(cores=1.5, ram_bytes=10**9, walltime_s=3600.0, disk_bytes=5 * 10**9)


def site_of(batch: str = "slurm", **more: object) -> Site:
    return Site(workspace="/ws", batch=batch, templates={"light": LIGHT}, **more)


def words_of(site: Site, **more: str) -> list[str]:
    script = pilot_script(site, PILOT, "light", workdir=Path("/ws/w"), **more)
    return shlex.split(script.splitlines()[-1])


def test_jobs_of_two_workdirs_have_names_that_begin_differently() -> None:
    site = site_of(name="sdc-xx")
    first, second = (job_prefix(site, Path(f"/ws/{name}")) for name in ("a", "b"))
    assert first != second
    assert first.startswith("euclid-dask-sdc-xx-")
    assert first == job_prefix(site, Path("/ws/a"))


def test_the_supervisor_understands_its_words() -> None:
    pilots = Pilots(python="/opt/python", scratch="$TMPDIR/x")
    words = words_of(site_of(pilots=pilots, limits=Limits(grace_s=5.0)), source=":")
    assert words[:4] == ["exec", "/opt/python", "-m", "euclid_dask.pilots.supervisor"]
    told = _options().parse_args(words[4:])
    assert (told.pilot, told.template, told.workspace) == (PILOT, "light", Path("/ws/w"))
    assert (told.cores, told.ram, told.disk, told.slots) == (1.5, 10**9, 5 * 10**9, 8)
    assert (told.walltime, told.grace, told.idle) == (3600, 30, 300)
    assert (told.scratch, told.source) == ("$TMPDIR/x", ":")


@pytest.mark.parametrize(("grace_s", "expected"), [(5.0, 30), (60.0, 85), (3600.0, 900)])
def test_what_runs_has_its_grace_before_the_end_of_the_job(grace_s: float, expected: int) -> None:
    told = _options().parse_args(words_of(site_of(limits=Limits(grace_s=grace_s)))[4:])
    assert told.grace == expected


def test_commands_of_another_host_run_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    batch = batch_of(site_of(batch_host="login1"), prefix="p-", folder=tmp_path / "jobs")
    assert batch.jobs() == []
    assert "-o BatchMode=yes login1 env LC_ALL=C" in (tmp_path / "asked").read_text()
