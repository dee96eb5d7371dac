"""The one place that picks implementations: this machine's size, executors, pilots of a site."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from euclid_dask.core import amounts
from euclid_dask.core.errors import InputError
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.seams import Executor

DASK_AFTER_S: Final = 3.0
"""A run that has ended by then does not wait for Dask to be imported, half a second of CPU."""

PATIENCE_S: Final = 900.0
"""How long a run waits for the scheduler of somebody else that has gone."""

_CGROUP: Final = Path("/sys/fs/cgroup")
_NO_LIMIT: Final = 1 << 60


def machine(cores: float | None = None, ram_bytes: int | None = None) -> Resources:
    """Return what this machine offers, or what of it the caller allows.

    Cores are those that this process may use (affinity and cgroup limits); RAM is that of the
    machine or of the cgroup, whichever is less. There is no limit of walltime (0).
    """
    return Resources(
        cores=cores if cores is not None else _cores(),
        ram_bytes=ram_bytes if ram_bytes is not None else _ram_bytes(),
        walltime_s=0.0,
    )


def make_executor(kind: str, offer: Resources, patience_s: float = PATIENCE_S) -> Executor:
    """Return an executor: "auto", "dask", "inline", or a scheduler's address.

    "dask" is embedded, "inline" is without Dask, "auto" begins without it and embeds it if the
    run goes on for a while. A scheduler that goes is waited for, `patience_s` seconds.

    Raises:
        InputError: There is no such executor.
    """
    if kind == "inline":
        from euclid_dask.executors.local import LocalExecutor  # noqa: PLC0415  fast start

        return LocalExecutor(offer=offer)
    if kind in {"auto", "dask"} or "://" in kind:
        from euclid_dask.executors.dask.executor import DaskExecutor  # noqa: PLC0415  fast start

        if kind == "dask":
            return DaskExecutor(offer=offer)
        if kind == "auto":
            return DaskExecutor(offer=offer, after_s=DASK_AFTER_S)
        return DaskExecutor(address=kind, patience_s=patience_s)
    raise InputError(
        f"there is no executor {kind!r}",
        hint="executors: auto, dask, inline, or the address of a Dask scheduler: tcp://host:8786",
    )


def parse_size(text: str) -> int:
    """Return a number of bytes from a text like "16GB" or "512 MiB".

    Raises:
        InputError: It is not one.
    """
    try:
        return amounts.parse_size(text)
    except ValueError:
        raise InputError(f"not a size: {text!r}", hint='write it like "16GB" or "512MiB"') from None


def _cores() -> float:
    cores = float(len(os.sched_getaffinity(0)))
    with suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1.0, int(quota) / int(period)))
    with suppress(OSError, ValueError):
        quota_us = int((_CGROUP / "cpu/cpu.cfs_quota_us").read_text())
        period_us = int((_CGROUP / "cpu/cpu.cfs_period_us").read_text())
        if quota_us > 0:
            cores = min(cores, max(1.0, quota_us / period_us))
    return cores


def _ram_bytes() -> int:
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limit = int((_CGROUP / name).read_text())
            if 0 < limit < _NO_LIMIT:
                limits.append(limit)
    return min(limits) // GB * GB or min(limits)
