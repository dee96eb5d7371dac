"""The names of our jobs, by which they are found again: whose they are, and which pilot each is.

Rule: names of one workdir begin like those of no other, and those of pilots like no runner's.
"""

import hashlib
from base64 import b32encode
from pathlib import Path
from secrets import token_hex
from typing import Final

from euclid_dask.core.ids import PilotId
from euclid_dask.core.values import Value
from euclid_dask.pilots.site import Site

MOST_TERSE: Final = 15
"""So many characters a name has at most for Torque, whose older versions take no more."""
_CHANCE: Final = 6
"""With so many characters, drawn by chance, the id of a pilot ends."""


class JobNames(Value, frozen=True, kw_only=True):
    """The names of the jobs of pilots: `prefix`, and the pilot's id or only the end of it."""

    prefix: str
    terse: bool = False

    def name(self, pilot: PilotId) -> str:
        """Return the name of the job of a pilot."""
        return self.prefix + (pilot[-_CHANCE:] if self.terse else pilot)

    def pilot(self, name: str) -> PilotId:
        """Return the pilot whose job has this name, or the end of its id."""
        return PilotId(name.removeprefix(self.prefix))


def job_names(site: Site, workdir: Path) -> JobNames:
    """Return the names of the jobs of the pilots of a workdir."""
    if _is_terse(site):
        return JobNames(prefix=f"e{_short(site, workdir)}", terse=True)
    return JobNames(prefix=f"euclid-dask-{site.name}-{_digest(workdir)}-")


def runner_prefix(site: Site, workdir: Path) -> str:
    """Return how the names of the jobs begin that are runners in a workdir; a number follows."""
    if _is_terse(site):
        return f"r{_short(site, workdir)}."
    return f"euclid-dask-{site.name}-runner-{_digest(workdir)}."


def check_name(site: Site) -> str:
    """Return a name, used once, for a job that looks around."""
    if _is_terse(site):
        return f"c{token_hex(_CHANCE)}"
    return f"euclid-dask-{site.name}-check-{token_hex(4)}"


def _is_terse(site: Site) -> bool:
    return site.batch == "torque"


def _digest(workdir: Path) -> str:
    return hashlib.sha256(str(workdir).encode()).hexdigest()[:8]


def _short(site: Site, workdir: Path) -> str:
    """Return a few characters that tell a workdir at a site from all others."""
    digest = hashlib.sha256(f"{site.name} {workdir}".encode()).digest()
    return b32encode(digest).decode()[: MOST_TERSE - 1 - _CHANCE].lower()
