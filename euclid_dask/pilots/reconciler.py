"""What pilots are wanted, what jobs there are, and what to do and tell about the difference.

Rule 1: a pilot has one job at most, ever. A submit whose outcome is unknown is not tried again:
the job is looked up by its name, and the pilot is given up if there is none. Rule 2: a failed poll
tells nothing; no job has ended by it. Rule 3: a job of ours that nobody believes in is cancelled.
Rule 4: that a job is over, or not to be found, is no proof that its tasks are dead. A pilot is gone
when the host has told the end of its job, when it has given its lease back or never took it up,
or some time after its lease was taken away.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol

from euclid_dask.core.errors import (
    BatchError,
    BatchUnreachableError,
    EuclidDaskError,
    SubmitUnknownError,
)
from euclid_dask.core.events import (
    PilotDraining,
    PilotEvent,
    PilotLeft,
    PilotQueued,
    PilotStarting,
    PilotSubmitted,
)
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.core.seams import BatchSystem
from euclid_dask.core.values import Value
from euclid_dask.pilots.lease import Leases, Seen, lease_path
from euclid_dask.pilots.names import JobNames
from euclid_dask.pilots.selftest import unfit_host
from euclid_dask.worker.clock import now_s

log = logging.getLogger(__name__)

_WAITS: Final = frozenset({JobState.QUEUED, JobState.HELD})
_LIVES: Final = _WAITS | {JobState.RUNNING}
SPEAKER: Final = "euclid-dask pilot: "
"""How the lines begin that a pilot itself writes to its stderr."""

_CHATTER: Final = " - distributed."
"""What is in the lines that the Dask worker of a pilot logs, whatever happens."""

_WATCH_S: Final = 30.0
"""For so long after a submit, a start or the loss of a job the queue is looked at more often."""


class Script(Protocol):
    """Writes job scripts."""

    def __call__(self, pilot: PilotId, template: str, avoid: Sequence[str]) -> str:
        """Return the script of the job that becomes this pilot, on none of the hosts `avoid`."""


class Pace(Value, frozen=True, kw_only=True):
    """How often the batch system is asked, and what is concluded; all times are seconds.

    `watch_s` is the time between two looks at the queue shortly after a submit or a start. What is
    concluded from a job that is not listed is concluded when it was not for `settle_s`. `leases`
    are those of the pilots: they say when a pilot is dead.
    """

    leases: Leases
    poll_s: float = 20.0
    watch_s: float = 2.0
    submit_s: float = 1.0
    settle_s: float = 15.0


@dataclass(slots=True)
class _Pilot:
    """A pilot that is not gone. `submitted_s` is None as long as no submit was tried.

    Its job is not listed since `missed_s`. `said` is what was told of it last, `unknown` the last
    state of its job that is not known here; `cancelled` says why
    its job is to end, "" if it is not, and `given_up` why nobody waits for it any more: it is gone
    at `dead_at_s`. While its job is missed, its lease rests as `touched_ns` since `rests_s`.
    """

    id: PilotId
    template: str = ""
    avoid: Sequence[str] = ()
    job: JobId | None = None
    submitted_s: float | None = None
    missed_s: float | None = None
    said: tuple[str, str] = ("", "")
    unknown: str = ""
    cancelled: str = ""
    is_cancelling: bool = False
    given_up: str = ""
    dead_at_s: float = inf
    touched_ns: int = -1
    rests_s: float = inf


class Reconciler:
    """Brings the jobs of a batch system in line with the pilots that are wanted; one thread's.

    Args:
        batch: The batch system.
        names: How jobs are named after pilots.
        script: Writes job scripts.
        tell: Takes events of pilots.
        time: Returns seconds that never go back.
    """

    def __init__(
        self,
        batch: BatchSystem,
        *,
        names: JobNames,
        script: Script,
        tell: Callable[[PilotEvent], None],
        time: Callable[[], float],
        pace: Pace,
    ) -> None:
        self._batch, self._names, self._script = batch, names, script
        self._tell, self._time, self._pace = tell, time, pace
        self._leases = pace.leases
        self._pilots: dict[PilotId, _Pilot] = {}
        self._ids: dict[str, PilotId] = {}  # by the names of their jobs, also of those that left
        self._poll_at_s = self._submit_at_s = self._watch_until_s = -inf
        self._trouble = ""

    def believe(self, believed: Mapping[PilotId, JobId]) -> None:
        """Take over pilots of an earlier runner, with their jobs ("" if none is known)."""
        with suppress(OSError):  # then nothing is concluded from any lease
            self._leases.prepare()
        for pilot, job in believed.items():
            self._ids[self._names.name(pilot)] = pilot
            now_s = self._time()
            self._pilots[pilot] = _Pilot(
                pilot, job=job or None, submitted_s=now_s, missed_s=None if job else now_s
            )

    def request(self, pilot: PilotId, template: str, avoid: Sequence[str] = ()) -> None:
        """Want a pilot, on none of the hosts `avoid`."""
        self._ids[self._names.name(pilot)] = pilot
        self._pilots[pilot] = _Pilot(pilot, template, avoid)

    def cancel(self, pilot: PilotId, reason: str) -> None:
        """Want a pilot no more, whatever it does."""
        known = self._pilots.get(pilot)
        if known is None:
            return
        known.cancelled = known.cancelled or reason
        if known.submitted_s is None:
            self._leave(known, reason)

    def cancel_all(self, reason: str) -> bool:
        """Have all jobs end; return whether nothing is left to be done for that."""
        for pilot in list(self._pilots.values()):
            self.cancel(pilot.id, reason)
        if any(not pilot.job for pilot in self._pilots.values()):
            self._poll()
        self._cancel()
        return all(pilot.is_cancelling for pilot in self._pilots.values())

    def step(self) -> float:
        """Do what is due; return the seconds until something else is.

        Raises:
            BatchError: The batch system refuses to be asked.
        """
        if self._time() >= self._poll_at_s:
            self._poll()
        self._bury()
        self._cancel()
        if self._time() >= self._submit_at_s:
            self._submit()
        due_s = min(self._poll_at_s, *(pilot.dead_at_s for pilot in self._pilots.values()), inf)
        if self._next() is not None:
            due_s = min(due_s, self._submit_at_s)
        return max(0.0, due_s - self._time())

    # ---- what there is

    def _poll(self) -> None:
        self._poll_at_s = self._time() + self._pace.poll_s
        try:
            jobs = self._batch.jobs()
        except BatchUnreachableError as error:
            self._troubled(error.message)
            return
        self._trouble = ""
        listed = self._by_pilot(jobs)
        for pilot in list(self._pilots.values()):
            if pilot.submitted_s is not None:
                self._compare(pilot, listed.get(pilot.id))
        self._disown(listed)
        self._poll_at_s = self._time() + self._interval_s()

    def _by_pilot(self, jobs: Iterable[Job]) -> dict[PilotId, Job]:
        found: dict[PilotId, Job] = {}
        for job in jobs:
            pilot = self._ids.get(job.name) or self._names.pilot(job.name)
            if pilot not in found or job.state in _LIVES:
                found[pilot] = job
        return found

    def _compare(self, pilot: _Pilot, job: Job | None) -> None:
        if job is None:
            self._missed(pilot)
            return
        pilot.missed_s, pilot.is_cancelling = None, False
        if not pilot.job:
            pilot.job = job.id
            self._tell(PilotSubmitted(pilot=pilot.id, job=job.id, at_s=now_s()))
        if job.state in _WAITS:
            held = "held: " if job.state is JobState.HELD else ""
            self._say_queued(pilot, held + job.reason)
        elif job.state is JobState.RUNNING:
            self._say_starting(pilot, job.host)
        elif job.state is JobState.ENDED:
            self._ended(pilot, job)
        elif job.state is JobState.ABANDONED:
            self._over(pilot, f"the batch system has given its job up ({job.reason})")
        else:
            self._say_unknown(pilot, job)

    def _missed(self, pilot: _Pilot) -> None:
        """Take notice that a job is not listed; one answer may be wrong, or come too early."""
        if pilot.missed_s is None:
            pilot.missed_s, pilot.touched_ns = self._time(), -1
        self._over(pilot, "the batch system knows no such job")

    def _ended(self, pilot: _Pilot, job: Job) -> None:
        if job.host:  # it may have run between two looks
            self._say_starting(pilot, job.host)
        reason = f"its job ended ({job.reason})" if job.reason else "its job ended"
        if job.is_confirmed:
            self._leave(pilot, reason)
        else:
            self._over(pilot, reason)

    def _over(self, pilot: _Pilot, reason: str) -> None:
        """Have a pilot leave whose job is over, or give it up, as its tasks may live."""
        try:
            lease = self._leases.look(pilot.id)
            if not self._is_sure(pilot, lease):
                return
            if lease.is_free:
                self._leases.take_away(pilot.id)
                self._leave(pilot, reason)
            elif not pilot.given_up:
                self._give_up(pilot, lease, reason)
        except OSError as error:
            log.warning("nobody knows whether tasks of %s live: %s", pilot.id, error)

    def _is_sure(self, pilot: _Pilot, lease: Seen) -> bool:
        """Tell whether a job is over; if it is only missed, a lease that is touched denies it."""
        if pilot.missed_s is None or lease.is_returned:
            return True
        if lease.touched_ns != pilot.touched_ns:
            pilot.touched_ns, pilot.rests_s = lease.touched_ns, self._time()
        rests = lease.is_free or self._time() - pilot.rests_s >= lease.rests_after_s
        is_missed = self._time() - pilot.missed_s >= self._pace.settle_s
        return is_missed and (rests or bool(pilot.cancelled))

    def _give_up(self, pilot: _Pilot, lease: Seen, reason: str) -> None:
        """Take the lease of a pilot away, if that ends its tasks; it is gone when it has."""
        if lease.dead_after_s < inf:
            self._leases.take_away(pilot.id)
            pilot.dead_at_s = self._time() + lease.dead_after_s
        else:
            path = lease_path(self._leases.records, pilot.id)
            log.warning("nobody knows whether tasks of %s live; if not, rm %s", pilot.id, path)
        pilot.given_up = reason
        self._tell(PilotDraining(pilot=pilot.id, reason=reason, at_s=now_s()))

    def _bury(self) -> None:
        """Have those leave that were given up, and have had the time to die."""
        for pilot in list(self._pilots.values()):
            if self._time() >= pilot.dead_at_s:
                self._leave(pilot, pilot.given_up)

    def _disown(self, listed: Mapping[PilotId, Job]) -> None:
        """Have jobs end that nobody believes in; that they did is told, whoever had believed."""
        for pilot, job in listed.items():
            if pilot not in self._pilots and job.state in _LIVES:
                log.warning("cancelling job %s (%s): nobody waits for it", job.id, job.name)
                self._pilots[pilot] = _Pilot(
                    pilot,
                    job=job.id,
                    submitted_s=self._time(),
                    cancelled="nobody waited for it",
                )

    def _interval_s(self) -> float:
        unsure_s = self._time() - _WATCH_S
        unsettled = any(
            p.submitted_s is not None
            and (p.missed_s >= unsure_s if p.missed_s is not None else p.cancelled)
            for p in self._pilots.values()
        )
        if unsettled or self._time() < self._watch_until_s:
            return min(self._pace.watch_s, self._pace.poll_s)
        return self._pace.poll_s

    def _watch(self) -> None:
        """Look at the queue more often for a while."""
        self._watch_until_s = self._time() + _WATCH_S
        self._poll_at_s = min(self._poll_at_s, self._time() + self._interval_s())

    # ---- what is done

    def _cancel(self) -> None:
        """Ask for the end of what is to end; what still lives at the next look is asked again."""
        doomed = {
            pilot.job: pilot
            for pilot in self._pilots.values()
            if pilot.cancelled and pilot.job and not pilot.is_cancelling
        }
        if not doomed:
            return
        try:
            self._batch.cancel(list(doomed))
        except BatchError as error:
            self._troubled(error.message)
            return
        for pilot in doomed.values():
            pilot.is_cancelling = True
        self._poll_at_s = min(self._poll_at_s, self._time() + self._interval_s())

    def _next(self) -> _Pilot | None:
        """Return the pilot that is to be submitted next."""
        return next((p for p in self._pilots.values() if p.submitted_s is None), None)

    def _submit(self) -> None:
        pilot = self._next()
        if pilot is None:
            return
        self._submit_at_s = self._time() + self._pace.submit_s
        try:
            self._leases.offer(pilot.id)
        except OSError as error:
            self._postpone(pilot, f"the workspace cannot be written: {error}")
            return
        pilot.submitted_s = pilot.missed_s = self._time()
        try:
            script = self._script(pilot.id, pilot.template, pilot.avoid)
            pilot.job = self._batch.submit(script, self._names.name(pilot.id))
        except BatchUnreachableError as error:
            self._postpone(pilot, error.message)
        except SubmitUnknownError as error:
            log.warning("%s; looking for job %s", error.message, self._names.name(pilot.id))
            self._watch()
        except EuclidDaskError as error:
            self._leave(pilot, " ".join(str(error).split()))
        else:
            self._tell(PilotSubmitted(pilot=pilot.id, job=pilot.job, at_s=now_s()))
            self._watch()

    def _postpone(self, pilot: _Pilot, reason: str) -> None:
        pilot.submitted_s = None
        self._submit_at_s = self._time() + self._pace.poll_s
        self._troubled(reason)
        self._say_queued(pilot, f"not submitted yet: {reason}")

    # ---- what is told

    def _say_queued(self, pilot: _Pilot, reason: str) -> None:
        if pilot.said != ("queued", reason):
            pilot.said = ("queued", reason)
            self._tell(PilotQueued(pilot=pilot.id, reason=reason, at_s=now_s()))

    def _say_unknown(self, pilot: _Pilot, job: Job) -> None:
        """Warn once of a state that is not known here; it is why a pilot waits, if it does."""
        reason = f"its job {job.id} is in a state that is not known here: {job.reason}"
        if pilot.unknown != reason:
            pilot.unknown = reason
            log.warning("%s: %s; nothing is concluded from it", pilot.id, reason)
        if pilot.said[0] != "starting":
            self._say_queued(pilot, reason)

    def _say_starting(self, pilot: _Pilot, host: str) -> None:
        if pilot.said[0] != "starting":
            self._watch()
        if pilot.said != ("starting", host):
            pilot.said = ("starting", host)
            self._tell(PilotStarting(pilot=pilot.id, host=host, at_s=now_s()))

    def _leave(self, pilot: _Pilot, reason: str) -> None:
        del self._pilots[pilot.id]
        with suppress(OSError):  # it is of no use to anybody
            self._leases.take_away(pilot.id)
        words = "" if pilot.cancelled else self._last_line(pilot)
        if words:
            reason = f"{reason}; it said: {words}"
        reason, unfit = pilot.cancelled or reason, unfit_host(words)
        self._tell(PilotLeft(pilot=pilot.id, reason=reason, unfit=unfit, at_s=now_s()))

    def _last_line(self, pilot: _Pilot) -> str:
        """Return the end of what a pilot's job wrote to its stderr: most often an error."""
        said = self._batch.last_words(self._names.name(pilot.id)).split("\n")
        lines = [line.strip() for line in said if line.strip() and _CHATTER not in line]
        return lines[-1].removeprefix(SPEAKER) if lines else ""

    def _troubled(self, reason: str) -> None:
        """Warn once of what cannot be reached."""
        if reason != self._trouble:
            self._trouble = reason
            log.warning("%s; jobs go on meanwhile", reason)
