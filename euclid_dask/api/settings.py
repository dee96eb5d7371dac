"""How to run: the dials that the command line and Python share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from euclid_dask.core.events import IdentityBy
from euclid_dask.core.resources import Resources
from euclid_dask.dsl import LoadedPipeline, PipelineFunction
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.loop import OnTurn, Runner
from euclid_dask.wiring import machine

Script = str | Path | PipelineFunction | LoadedPipeline
"""A pipeline: the path of its script, the decorated function, or what `load` returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run, whatever is run. None means: by this machine.

    `executor` is "auto", "dask", "inline" or the address of a Dask scheduler. `identity_by` says
    how input files are compared: "mtime" (size and mtime) or "content" (SHA-256).
    """

    executor: str = "auto"
    cores: float | None = None
    ram_bytes: int | None = None
    policy: str = "fifo"
    science_retries: int = 0
    lost_retries: int = 5
    until: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    fuse: bool = True
    group: bool = True
    fresh: bool = False
    identity_by: IdentityBy = "mtime"
    enforce_ram: bool = True
    enforce_walltime: bool = True
    grace_s: float = 5.0
    source: str = ""
    environments: Path | None = None
    logdir: str | None = None
    on_start: "Callable[[ActiveRun, Runner], None] | None" = None
    on_turn: OnTurn | None = None

    def offer(self) -> Resources:
        """Return what tasks may use on this machine."""
        return machine(self.cores, self.ram_bytes)

    def limit(self) -> Resources | None:
        """Return the largest task that can be placed; None if only the pilots will tell."""
        return None if "://" in self.executor else self.offer()
