"""What a task needs and what a pilot offers: cores, RAM, disk, walltime."""

from euclid_dask.core.values import Value

GB = 1_000_000_000
"""Bytes in the gigabyte of `ComputingResources(ram=...)`."""


class Resources(Value, frozen=True, kw_only=True):
    """An amount of each resource; what a task may use, or what a pilot has.

    `cores` is a number of CPU cores, `ram_bytes` and `disk_bytes` are bytes, `walltime_s` is
    seconds. A disk of 0 means: nothing was said.
    """

    cores: float = 1.0
    ram_bytes: int = GB
    walltime_s: float = 3600.0
    disk_bytes: int = 0
