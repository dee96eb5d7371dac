"""Job scripts, as dask-jobqueue and we write them."""

from pathlib import Path

import pytest

from euclid_dask.core.errors import SiteError
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.values import replace
from euclid_dask.pilots.batch.systems import DIALECTS, LOCAL
from euclid_dask.pilots.scripts import SYSTEMS, JobRequest, job_script

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "scripts"
COMMAND = ("/opt/my python", "-m", "euclid_dask.pilots.supervisor", "--site=it's")
LIGHT = JobRequest(command=COMMAND, offer=Resources(cores=1, ram_bytes=GB, walltime_s=1800))
HEAVY = JobRequest(
    command=COMMAND,
    offer=Resources(cores=16, ram_bytes=64 * GB, walltime_s=90_061, disk_bytes=50 * GB),
    queue="long",
    account="euclid",
    prologue=("module load python", "export OMP_NUM_THREADS=1"),
)
DIRECTIVES = {
    "local": (),
    "slurm": ("--constraint=ib", "--exclusive"),
    "openpbs": ("-m n",),
    "torque": ("-m n",),
    "sge": ("-pe smp 16", "-l h_vmem=4G"),
    "htcondor": ("+JobFlavour = long", "requirements = (OpSysMajorVer == 9)"),
}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("template", ["light", "heavy"])
def test_the_script_of_a_template(system: str, template: str) -> None:
    heavy = replace(HEAVY, directives=DIRECTIVES[system])
    script = job_script(system, heavy if template == "heavy" else LIGHT)
    assert script == (GOLDEN / f"{system}-{template}.txt").read_text()


@pytest.mark.parametrize(
    ("system", "line"), [("slurm", "#SBATCH --exclude=n1,n2"), ("sge", "#$ -l h=!(n1|n2)")]
)
def test_a_job_is_kept_off_hosts_where_that_can_be_said(system: str, line: str) -> None:
    script = job_script(system, replace(LIGHT, avoid=("n2", "n1")))
    assert script.replace(f"{line}\n", "") == job_script(system, LIGHT)
    assert line in script.splitlines()


def test_there_are_scripts_for_every_batch_system() -> None:
    assert set(SYSTEMS) == {LOCAL, *DIALECTS}


def test_the_users_own_settings_of_dask_jobqueue_are_not_read() -> None:
    import dask  # noqa: PLC0415 - only here

    before = job_script("slurm", LIGHT)
    with dask.config.set({"jobqueue.slurm.queue": "mine", "jobqueue.slurm.name": "mine"}):
        assert job_script("slurm", LIGHT) == before


def test_cores_of_grid_engine_need_its_parallel_environment() -> None:
    with pytest.raises(SiteError, match="16 cores") as caught:
        job_script("sge", HEAVY)
    assert "-pe smp 16" in caught.value.hint


def test_a_job_without_a_walltime_is_refused() -> None:
    endless = replace(LIGHT, offer=Resources(walltime_s=0))
    for system in DIALECTS:
        with pytest.raises(SiteError, match="needs a walltime"):
            job_script(system, endless)


def test_a_directive_of_htcondor_is_a_pair() -> None:
    with pytest.raises(SiteError, match="not a directive: '--exclusive'"):
        job_script("htcondor", replace(LIGHT, directives=("--exclusive",)))


def test_an_unknown_batch_system_is_refused() -> None:
    with pytest.raises(SiteError, match="no batch system 'lsf'"):
        job_script("lsf", LIGHT)
