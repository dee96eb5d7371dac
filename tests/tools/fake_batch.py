"""A batch system in memory, whose commands fail when told to."""

from collections.abc import Callable
from dataclasses import dataclass, field

from euclid_dask.core.errors import BatchError, BatchUnreachableError, SubmitUnknownError
from euclid_dask.core.ids import JobId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.core.values import replace


class Crash(BaseException):
    """The runner was killed here."""


@dataclass
class FakeBatch:
    """A batch system in memory. `faults` are what the next commands do instead of answering."""

    made: dict[JobId, Job] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    late: list[Callable[[], None]] = field(default_factory=list)

    def submit(self, script: str, name: str) -> JobId:
        fault = self._called("submit")
        if fault == "unreachable":
            raise BatchUnreachableError("no controller")
        if fault == "refused":
            raise BatchError("invalid partition", hint="see sinfo")
        if fault == "crash before":
            raise Crash
        job = JobId(str(len(self.made) + len(self.late) + 1))
        made = Job(id=job, name=name, state=JobState.QUEUED, reason="Priority")
        if fault == "late":
            self.late.append(lambda: self.made.update({job: made}))
        elif fault != "not done":
            self.made[job] = made
        if fault == "crash after":
            raise Crash
        if fault in {"done", "not done", "late"}:
            raise SubmitUnknownError("no answer")
        return job

    def jobs(self) -> list[Job]:
        fault = self._called("jobs")
        if fault == "crash":
            raise Crash
        if fault == "unreachable":
            raise BatchUnreachableError("no controller")
        if fault == "refused":
            raise BatchError("not to be understood")
        return list(self.made.values())

    def cancel(self, jobs: list[JobId]) -> None:
        fault = self._called("cancel")
        if fault == "unreachable":
            raise BatchUnreachableError("no controller")
        if fault == "crash":
            raise Crash
        for job in jobs:
            if fault != "ignored" and job in self.made:
                self.become(JobState.ENDED, "CANCELLED", job=job)

    def last_words(self, name: str) -> str:
        return self.words.get(name, "")

    def become(
        self, state: JobState, reason: str = "", *, job: JobId | None = None, host: str = ""
    ) -> None:
        """Change the state of a job, of the latest one if none is named."""
        job = job or list(self.made)[-1]
        self.made[job] = replace(self.made[job], state=state, reason=reason, host=host)

    def living(self) -> list[str]:
        return [job.name for job in self.made.values() if job.state is not JobState.ENDED]

    def _called(self, command: str) -> str:
        self.calls.append(command)
        faults = self.faults.get(command)
        return faults.pop(0) if faults else ""
