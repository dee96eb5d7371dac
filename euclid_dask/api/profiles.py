"""What runs learn from those before: profiles are read when a run begins, kept when it ends.

They are in the file that the settings say, else in that of the run's site, else in the workdir.
A run never fails for them.
"""

import logging
from pathlib import Path
from typing import Final

from euclid_dask.api.settings import Settings
from euclid_dask.core.errors import EuclidDaskError
from euclid_dask.core.ids import RunId
from euclid_dask.pilots.site import Site
from euclid_dask.planner.run import Run
from euclid_dask.runner.workspace import RECORDS, Workspace

PROFILES: Final = "profiles.sqlite"
"""The name of the file, among the records of a workdir or of a site's workspace."""

log = logging.getLogger(__name__)


def profiles_of(workspace: Workspace, settings: Settings, site: Site | None = None) -> Path:
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
