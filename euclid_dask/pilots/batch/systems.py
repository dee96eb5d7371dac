"""Which batch systems there are, and how they are opened."""

import shlex
from pathlib import Path
from types import MappingProxyType
from typing import Final

from euclid_dask.core.errors import SiteError
from euclid_dask.core.ids import JobId
from euclid_dask.core.seams import BatchSystem
from euclid_dask.pilots.batch.commands import Calls, CommandBatch
from euclid_dask.pilots.batch.htcondor import HTCONDOR
from euclid_dask.pilots.batch.local import MARK, LocalBatch
from euclid_dask.pilots.batch.pbs import PBS
from euclid_dask.pilots.batch.sge import SGE
from euclid_dask.pilots.batch.slurm import SLURM
from euclid_dask.worker import procfs

LOCAL: Final = "local"
DIALECTS: Final = MappingProxyType(
    {"slurm": SLURM, "openpbs": PBS, "torque": PBS, "sge": SGE, "htcondor": HTCONDOR}
)


def open_batch(
    system: str, *, prefix: str, folder: Path, calls: Calls | None = None
) -> BatchSystem:
    """Return a batch system by its name; `prefix` and `folder` as for `CommandBatch`.

    Raises:
        SiteError: There is no such batch system.
    """
    if system == LOCAL:
        return LocalBatch(prefix=prefix, folder=folder)
    if system not in DIALECTS:
        raise SiteError(
            f"there is no batch system {system!r}",
            hint=f"there are: {', '.join((LOCAL, *DIALECTS))}",
        )
    return CommandBatch(DIALECTS[system], prefix=prefix, folder=folder, calls=calls)


def cancel_line(system: str, job: JobId) -> str:
    """Return the line of shell by which the owner of a job cancels it."""
    if system == LOCAL:  # its pilots may be below it, and are not meant
        return f"kill {' '.join(str(process.pid) for process in procfs.marked({MARK: job}))}"
    return shlex.join(DIALECTS[system].cancel([job]))
