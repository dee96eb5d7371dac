"""The names of jobs tell whose they are, and are short where they must be."""

from pathlib import Path

import pytest

from euclid_dask.core.ids import PilotId
from euclid_dask.pilots.names import check_name, job_names, runner_prefix
from euclid_dask.pilots.site import Site, Template

A, B = Path("/ws/a"), Path("/ws/b")
PILOT = PilotId("a-template-of-forty-characters-1234567890-00a1b2")


def site_of(batch: str, name: str = "sdc-xx") -> Site:
    light = Template(cores=1, ram_bytes=10**9, walltime_s=3600.0)
    return Site(name=name, workspace="/ws", batch=batch, templates={"light": light})  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", ["slurm", "torque"])
def test_jobs_of_other_workdirs_sites_and_kinds_have_names_that_begin_differently(
    batch: str,
) -> None:
    site, other = site_of(batch), site_of(batch, "sdc-xx-runner")
    begins = [job_names(one, workdir).prefix for one in (site, other) for workdir in (A, B)]
    begins += [runner_prefix(one, workdir) for one in (site, other) for workdir in (A, B)]
    assert not any(a.startswith(b) for a in begins for b in begins if a is not b)
    assert begins[0] == job_names(site_of(batch), A).prefix


def test_a_name_tells_the_site_and_the_pilot() -> None:
    names = job_names(site_of("slurm"), A)
    assert names.name(PILOT).startswith("euclid-dask-sdc-xx-")
    assert names.pilot(names.name(PILOT)) == PILOT


def test_names_are_short_on_torque() -> None:
    site = site_of("torque", "a-site-whose-name-has-forty-characters-1")
    names = [job_names(site, A).name(PILOT), f"{runner_prefix(site, A)}12345", check_name(site)]
    for name in names:
        assert len(name) <= 15
        assert name[0].isalpha()
        assert name.replace(".", "").isalnum()
