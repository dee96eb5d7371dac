"""What runs learn from those before: profiles are read when a run begins, kept when it ends.

They are in the file that the settings say, else in that of the run's site, else in the workdir.
A run never fails for them. From the same profiles comes advice on what to ask for.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from euclid_dask.api.settings import Settings
from euclid_dask.core.errors import EuclidDaskError, InputError
from euclid_dask.core.ids import RunId
from euclid_dask.planner.run import Run
from euclid_dask.runner.workspace import RECORDS, Workspace

PROFILES: Final = "profiles.sqlite"
"""The name of the file, among the records of a workdir or of a site's workspace."""

if TYPE_CHECKING:
    from euclid_dask.pilots.site import Site
    from euclid_dask.report.advice import Advice
    from euclid_dask.runner.profiles import ProfileStore

log = logging.getLogger(__name__)


def profiles_of(workspace: Workspace, settings: Settings, site: "Site | None" = None) -> Path:
    """Return the file with the profiles of the runs of a workdir."""
    if settings.profiles is not None:
        return Path(settings.profiles).absolute()
    folder = workspace.workdir if site is None else Path(site.workspace)
    return folder / RECORDS / PROFILES


def learn(run: Run, store: Path) -> None:
    """Have a run know how long its executables took before; nothing if there is no such file."""
    if not store.is_file():
        return
    from euclid_dask.runner.profiles import ProfileStore  # noqa: PLC0415  fast start

    versions = {key: run.options.versions.get(key, "") for key in run.flow.executables}
    try:
        with ProfileStore.open(store) as profiles:
            known = profiles.durations(versions, but=RunId(run.id))
    except EuclidDaskError as error:
        log.warning("a run begins without profiles: %s", error)
        return
    run.share({run.duration_key(key): duration for key, duration in known.items()})


def keep(workspace: Workspace, store: Path) -> None:
    """Add what the runs of a workdir used."""
    from euclid_dask.runner.profiles import ProfileStore  # noqa: PLC0415  fast start

    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with ProfileStore.open(store) as profiles:
            problems = profiles.take_in_workdir(workspace)
    except (EuclidDaskError, OSError) as error:
        problems = [str(error)]
    for problem in problems:
        log.warning("profiles were not kept: %s", problem)


@contextmanager
def open_profiles(
    workdir: str | Path | None, store: str | Path | None = None
) -> "Iterator[ProfileStore]":
    """Open the profiles of a workdir, with all that its journals tell; or the file `store`.

    Raises:
        InputError: There is no such run or file, or it cannot be used.
    """
    from euclid_dask.runner.profiles import ProfileStore  # noqa: PLC0415  fast start

    if store is not None:
        if workdir is not None:
            raise InputError("a workdir and a store are given", hint="leave one of them out")
        path = Path(store).absolute()
        if not path.is_file():
            raise InputError(
                f"there are no profiles: {path}",
                hint="make them of journals: euclid-dask profiles rebuild WORKDIR --store FILE",
            )
        with ProfileStore.open(path) as profiles:
            yield profiles
        return
    workspace = Workspace(Path(workdir or ".").absolute())
    workspace.find(None)
    own: Path | None = workspace.records / PROFILES
    if not os.access(workspace.records, os.W_OK):
        own = None
    with ProfileStore.open(own) as profiles:
        for problem in profiles.take_in_workdir(workspace):
            log.warning("profiles are not complete: %s", problem)
        yield profiles


def advise(
    workdir: str | Path | None = None,
    *,
    store: str | Path | None = None,
    goal: str = "waste",
    least: int = 25,
) -> "list[Advice]":
    """Return what executables should ask for, from what they used in the runs of a workdir.

    `store` is a file of profiles instead. `goal` is "waste", "throughput" or "safe". With fewer
    than `least` tasks nothing is advised to ask for less. What saves most comes first.

    Raises:
        InputError: There is no such run or file, or it cannot be used.
    """
    from euclid_dask.planner.sizing import Goal  # noqa: PLC0415  fast start
    from euclid_dask.report import advice  # noqa: PLC0415

    with open_profiles(workdir, store) as profiles:
        found = [
            advice.advise(one, profiles.usages(one.executable, one.version), Goal(goal), least)
            for one in profiles.definitions()
        ]
    known = [one for one in found if one is not None]
    return sorted(known, key=lambda one: (-one.saved_core_hours, -one.saved_gb_hours))
