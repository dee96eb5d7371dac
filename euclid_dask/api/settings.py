"""How to run: the dials that the command line and Python share."""

import dataclasses
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from euclid_dask.core.errors import InputError
from euclid_dask.core.events import IdentityBy
from euclid_dask.core.resources import Resources
from euclid_dask.dsl import LoadedPipeline, PipelineFunction
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.loop import OnTurn, Runner
from euclid_dask.wiring import PATIENCE_S, machine

if TYPE_CHECKING:
    from euclid_dask.api.copies import Progress
    from euclid_dask.api.data import DataSettings
    from euclid_dask.pilots.site import Site

Script = str | Path | PipelineFunction | LoadedPipeline
"""A pipeline: the path of its script, the decorated function, or what `load` returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run, whatever is run. None means: by the site, or this machine, or as usual.

    With `site`, a site file, tasks run on pilots of that site; else `executor` is "auto", "dask",
    "inline" or the address of a Dask scheduler; one that goes is waited for,
    `scheduler_patience_s` seconds, then the run is stopped. `identity_by` says how input files are
    compared: "mtime" (size and mtime) or "content" (SHA-256). `profiles` is the file with what
    attempts used.
    With `spare_pilots`, SIGTERM stops the runner of a run at a site, but not its pilots.
    Questions for inputs are answered by `registry`, a file or URL, as hosts of `zone` see the
    files; with `answers`, a file that a run or campaign has written, nothing is asked again.
    Copies that must be made first are told to what `copying` opens meanwhile.
    A run shows its `progress` in a notebook or a terminal, unless it has hooks: `on_start` and
    `on_turn`, called when it begins and whenever something has happened.
    """

    site: str | Path | None = None
    executor: str = "auto"
    scheduler_patience_s: float = PATIENCE_S
    cores: float | None = None
    ram_bytes: int | None = None
    policy: str | None = None
    science_retries: int | None = None
    lost_retries: int | None = None
    larger_retries: int | None = None
    until: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    fuse: bool = True
    group: bool = True
    fresh: bool = False
    identity_by: IdentityBy = "mtime"
    enforce_ram: bool | None = None
    enforce_walltime: bool | None = None
    grace_s: float | None = None
    source: str = ""
    environments: Path | None = None
    logdir: str | None = None
    profiles: str | Path | None = None
    spare_pilots: bool = False
    registry: str = ""
    zone: str = ""
    credentials: str | Path | None = None
    answers: str | Path | None = None
    copying: "Callable[[], AbstractContextManager[Progress]] | None" = None
    progress: bool = True
    on_start: "Callable[[ActiveRun, Runner], None] | None" = None
    on_turn: OnTurn | None = None

    def offer(self) -> Resources:
        """Return what tasks may use on this machine."""
        return machine(self.cores, self.ram_bytes)

    def limit(self) -> Resources | None:
        """Return the largest task that can be placed; None if only the pilots will tell."""
        return None if self.site or "://" in self.executor else self.offer()

    def data(self) -> "DataSettings":
        """Return which registry is asked, and how hosts see storages: as set here, or by the site.

        Raises:
            SiteError: The site cannot be read, or is wrong.
        """
        from euclid_dask.api.data import DataSettings  # noqa: PLC0415  few runs ask a registry

        site = self.read_site()
        usual = DataSettings() if site is None else site.data
        return DataSettings(
            registry=self.registry or usual.registry,
            zone=self.zone or usual.zone,
            credentials=self.credentials or usual.credentials or None,
        )

    def read_site(self) -> "Site | None":
        """Return the site, None if tasks run without one.

        Raises:
            InputError: Another executor or a size of this machine is asked for, too.
            SiteError: The file cannot be read, or is wrong.
        """
        if not self.site:
            return None
        if self.executor != "auto" or self.cores is not None or self.ram_bytes is not None:
            raise InputError(
                "a site has executors, cores and RAM of its own",
                hint="leave out --executor, --cores and --ram, or --site",
            )
        from euclid_dask.pilots.site import read_site  # noqa: PLC0415  fast start

        return read_site(Path(self.site), os.environ)

    def completed(self, site: "Site | None") -> "CompleteSettings":
        """Return the values of the dials that nobody set: the site's, or the usual ones."""
        by_site = CompleteSettings() if site is None else CompleteSettings.of(site)
        names = (field.name for field in dataclasses.fields(CompleteSettings))
        own = {name: value for name in names if (value := getattr(self, name)) is not None}
        return dataclasses.replace(by_site, **own)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteSettings:
    """Dials that a site sets too."""

    policy: str = "fifo"
    science_retries: int = 0
    lost_retries: int = 5
    larger_retries: int = 1
    enforce_ram: bool = True
    enforce_walltime: bool = True
    grace_s: float = 3.0

    @classmethod
    def of(cls, site: "Site") -> "CompleteSettings":
        """Return what a site says."""
        return cls(
            policy=site.policy,
            science_retries=site.retries.science,
            lost_retries=site.retries.lost,
            larger_retries=site.retries.larger,
            enforce_ram=site.limits.enforce_ram,
            enforce_walltime=site.limits.enforce_walltime,
            grace_s=site.limits.grace_s,
        )
