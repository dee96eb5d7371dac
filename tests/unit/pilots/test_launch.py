"""The jobs that become pilots: the supervisor's words, and where their files are."""

import os
import shlex
from pathlib import Path
from time import time

import pytest

from euclid_dask.core.ids import PilotId
from euclid_dask.pilots.batch.files import KEPT_JOBS
from euclid_dask.pilots.launch import batch_of, pilot_script
from euclid_dask.pilots.site import Limits, Pilots, Site, Template
from euclid_dask.pilots.supervisor import _options

PILOT = PilotId("light-000001")
LIGHT = Template(cores=1.5, ram_bytes=10**9, walltime_s=3600.0, disk_bytes=5 * 10**9)


def site_of(batch: str = "slurm", **more: object) -> Site:
    return Site(workspace="/ws", batch=batch, templates={"light": LIGHT}, **more)


def words_of(site: Site, **more: str) -> list[str]:
    script = pilot_script(site, PILOT, "light", workdir=Path("/ws/w"), **more)
    return shlex.split(script.splitlines()[-1])


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


@pytest.mark.parametrize(("hours", "left"), [(2, KEPT_JOBS), (1, KEPT_JOBS + 3)])
def test_files_of_jobs_of_long_ago_are_removed_but_for_the_latest(
    tmp_path: Path, hours: int, left: int
) -> None:
    now_s = time()
    for number in range(KEPT_JOBS + 3):
        for kind in ("sh", "out", "err", "job"):
            path = tmp_path / f"p-{number}.1.{kind}"
            path.touch()
            os.utime(path, (now_s - number * hours * 3600,) * 2)
    batch_of(site_of(), prefix="p-", folder=tmp_path)
    for kind in ("sh", "out", "err"):
        found = {path.name for path in tmp_path.glob(f"*.{kind}")}
        assert found == {f"p-{number}.1.{kind}" for number in range(left)}
    assert len(list(tmp_path.glob("*.job"))) == KEPT_JOBS + 3
