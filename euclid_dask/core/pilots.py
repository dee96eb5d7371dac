"""Kinds of pilots, and the batch jobs that pilots are: values only, of no batch system."""

from enum import StrEnum
from math import ceil, inf

from euclid_dask.core.ids import JobId
from euclid_dask.core.resources import Resources
from euclid_dask.core.values import Value


class PilotTemplate(Value, frozen=True, kw_only=True):
    """A kind of pilot, as the planner sees it: what each offers, and how many there may be.

    `offer.walltime_s` is the walltime of the job, from its start. `slots` is the largest number
    of bundles that a pilot runs at once. At most `max_running` pilots of the kind live at a time,
    queued ones included, and at most `max_queued` of them wait in the queue; a `max_running` of 0
    turns the template off. `boot_s` is how long a pilot takes from the start of its job until it
    joins.

    What runs on a pilot is ended `farewell_s` before the end of its job.
    """

    name: str
    offer: Resources
    slots: int
    max_running: int
    max_queued: int = 1
    boot_s: float = 60.0
    farewell_s: float = 0.0

    @property
    def enabled(self) -> bool:
        """Tell whether pilots of this kind may be requested at all."""
        return self.max_running > 0

    @property
    def left_s(self) -> float:
        """How long a pilot is to have left when it joins: its walltime without start and end.

        It alone says what the template holds: pilots that come late make nothing impossible.
        """
        walltime_s = self.offer.walltime_s
        return walltime_s - self.boot_s - self.farewell_s if walltime_s else inf


class JobState(StrEnum):
    """Where a batch job stands, in the words of no batch system."""

    QUEUED = "queued"
    """It waits for its turn."""
    HELD = "held"
    """It waits, and nothing will start it until somebody acts."""
    RUNNING = "running"
    """It runs, or is being started or ended on its hosts: its processes may live."""
    ENDED = "ended"
    """It is over, however it ended, as far as the batch system knows."""
    ABANDONED = "abandoned"
    """The batch system has given it up, as it cannot reach the host: its processes may live."""
    UNKNOWN = "unknown"
    """The batch system does not say; nothing may be concluded."""


class Job(Value, frozen=True, kw_only=True):
    """A batch job as the batch system reports it.

    `reason` is the batch system's own word for why it waits or how it ended, or for a state that is
    not known here, `host` the first host it runs on; both are "" when nothing is said. `starts_s`
    is when it started or is expected to, `ends_s` when it ended or will at the latest, in seconds
    since the epoch; 0 when nothing is said. An end `is_confirmed` if the host itself has told it:
    no process of the job lives.
    """

    id: JobId
    name: str
    state: JobState
    reason: str = ""
    host: str = ""
    starts_s: float = 0.0
    ends_s: float = 0.0
    is_confirmed: bool = False


def usual_slots(cores: float) -> int:
    """Return how many bundles a pilot of so many cores runs at once: some need no core."""
    return 4 * max(1, ceil(cores))
