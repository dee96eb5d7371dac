"""Fixtures: real batch systems on this machine."""

import os
import shutil
from collections.abc import Iterator

import pytest
from clusters import GRID_ENGINE, Cluster, running, sge, slurm


def skip_or_fail(reason: str) -> None:
    """Skip here, but fail where everything must be installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def need_slurm() -> None:
    """Skip, or fail, where there can be no Slurm of our own."""
    for program in ("slurmctld", "slurmd", "munged", "sbatch"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            skip_or_fail(f"{program} is not installed")
    _need_root()


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[Cluster]:
    """Return a Slurm of three nodes n1 n2 n3, of two cores each."""
    need_slurm()
    with running(slurm) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def sge_cluster() -> Iterator[Cluster]:
    """Return a Grid Engine of one node with four slots, and the parallel environment `smp`."""
    if not (GRID_ENGINE / "sge_qmaster").exists():
        skip_or_fail("Grid Engine is not there: see tests/tools/sge-cluster.sh install")
    _need_root()
    with running(sge) as cluster:
        yield cluster


def _need_root() -> None:
    if os.geteuid() != 0:
        skip_or_fail("a batch system of our own needs root")
