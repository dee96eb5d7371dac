"""Our engine on pilots: the same script as elsewhere, with a site file."""

from benchmarks.engines import Engine, Job, ours
from benchmarks.engines.slurm_floor import PILOT_CORES, pilots

SITE = """\
workspace = "{workdir}"
batch = "slurm"
[network]
interface = "lo"
[templates.pilot]
cores = {cores}
ram = "1GB"
walltime = "4h"
boot = "3s"
max_running = {count}
prologue = ["export TICK_LOG={workdir}/tick.log"]
"""


def _prepare(job: Job, *options: str) -> list[str]:
    site = job.workdir / "site.toml"
    text = SITE.format(workdir=job.workdir, cores=PILOT_CORES, count=pilots(job.slots))
    site.write_text(text)
    path = ours.write_script(job)
    ports = [f"{port}={file}" for port, file in ours.inputs(job).items()]
    program = str(job.python.parent / "euclid-dask")
    where = ["--workdir", str(job.workdir), "--site", str(site)]
    return [program, "run", str(path), *ports, *where, "--json", *options]


def _engine(name: str, title: str, *options: str) -> Engine:
    return Engine(
        name=name,
        title=title,
        duties=ours.DUTIES,
        requirements=ours.OURS,
        prepare=lambda job: _prepare(job, *options),
        shows=("dask", "distributed", "dask-jobqueue"),
    )


ENGINES = (
    _engine("ours", "euclid_dask"),
    _engine("ours-one-by-one", "euclid_dask, no bundles", "--one-by-one"),
)
