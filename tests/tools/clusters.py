"""Real batch systems on this machine, for tests and benchmarks: private folders, own ports."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ports import free_ports

TOOLS = Path(__file__).resolve().parent
GRID_ENGINE = Path("/usr/lib/gridengine")


@dataclass(frozen=True)
class Cluster:
    """A batch system that runs; `environment` is what its commands need.

    `host` is what comes before a command that is to run on the hosts of the cluster, if they are
    not this one.
    """

    script: str
    settings: Mapping[str, str]
    environment: Mapping[str, str]
    host: tuple[str, ...] = ()

    def act(self, *words: str) -> None:
        """Do something to the cluster itself: see the script."""
        environment = {**os.environ, **self.settings}
        line = [*self.host, str(TOOLS / self.script), *words]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"

    def run(self, *command: str) -> str:
        """Return what a command of the batch system writes."""
        environment = {**os.environ, **self.environment}
        line = [*self.host, *command]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def running(describe: Callable[[str], Cluster]) -> Iterator[Cluster]:
    """Have a cluster run that is described for a folder; needs root."""
    folder = tempfile.mkdtemp(prefix="batch-")  # short: the path of a socket has 107 bytes at most
    Path(folder).chmod(0o755)
    cluster = describe(folder)
    try:
        cluster.act("start")
        yield cluster
    finally:
        cluster.act("stop")
        shutil.rmtree(folder, ignore_errors=True)


def slurm(folder: str) -> Cluster:
    """Describe a Slurm of three nodes n1 n2 n3, of two cores each."""
    return Cluster(
        "slurm-cluster.sh",
        {"SLURM_TEST_DIR": folder, "PORT0": str(free_ports(10))},
        {"SLURM_CONF": f"{folder}/slurm.conf"},
    )


def sge(folder: str) -> Cluster:
    """Describe a Grid Engine of one node with four slots, and the parallel environment `smp`."""
    port = free_ports(2)
    return Cluster(
        "sge-cluster.sh",
        {"SGE_TEST_DIR": folder, "SGE_TEST_PORT": str(port)},
        {
            "SGE_ROOT": f"{folder}/sge",
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": str(port),
            "SGE_EXECD_PORT": str(port + 1),
            "PATH": f"{GRID_ENGINE}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": str(GRID_ENGINE),
        },
    )
