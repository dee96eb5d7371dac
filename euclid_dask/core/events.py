"""What can happen: the lines of a journal, in the past tense.

A run is the fold of its events. The runner writes an event down before anything is done about
it. Pilots belong to no run, so their events have a journal of their own.
"""

from typing import Literal

from euclid_dask.core.attempts import Failure, Fingerprint, Place, Profile
from euclid_dask.core.flow import Flow
from euclid_dask.core.ids import JobId, PilotId, RunId, SplitId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.states import RunState
from euclid_dask.core.values import Event, Value

JOURNAL_VERSION = 1
"""Version of the journal's format; every version we ever wrote stays readable."""


class InputFile(Value, frozen=True, kw_only=True):
    """A file from outside: path relative to the workdir, and the identity of its content.

    An absent optional input has the path "". An element of a list may be a plain text, which is
    no file.
    """

    path: str
    identity: str = ""
    is_file: bool = True


IdentityBy = Literal["mtime", "content"]
"""How files from outside are compared: by size and mtime, or by the SHA-256 of their content."""


class RunOptions(Value, frozen=True, kw_only=True):
    """What the caller chose for a run.

    `science_retries` and `lost_retries` are further attempts after a failed or lost one,
    `larger_retries` those with more RAM or walltime after one that had too little of it.
    `until`, `from_`, `skip` are task or block paths; `given` maps `task.port` to a file;
    `pkgrepo` is the folder that package definitions were imported from, "" for the script's own.
    `site` is the site file of its pilots, "" for none.
    `asked` are the questions that were asked for ports, which files of the workdir answer;
    `answers` is the file with the answers, relative to the workdir.
    `fresh` means that no earlier work is used, `again` that none is for these tasks: ids, and
    beginnings of ids that end in a dot.
    """

    policy: str = "fifo"
    science_retries: int = 0
    lost_retries: int = 5
    larger_retries: int = 1
    until: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    given: dict[str, InputFile] = {}
    versions: dict[str, str] = {}
    identity_by: IdentityBy = "mtime"
    fresh: bool = False
    again: tuple[str, ...] = ()
    pkgrepo: str = ""
    site: str = ""
    fuse: bool = True
    group: bool = True
    asked: dict[str, str] = {}
    answers: str = ""


class RunStarted(Event, frozen=True, kw_only=True):
    """The first line of a journal: everything that the run is made of.

    `options.versions` maps an executable's key to the identity of its program. `place` says how
    attempts work; when the workdir has moved since, its paths are no longer true.
    """

    run: RunId
    flow: Flow
    inputs: dict[str, InputFile]
    place: Place
    options: RunOptions = RunOptions()
    journal_version: int
    software: str = ""


class RunResumed(Event, frozen=True, kw_only=True):
    """A runner took the run up again; failed, blocked and cancelled tasks get another chance.

    `again` are tasks whose result must be made anew.
    """

    again: tuple[TaskId, ...] = ()


class TasksOrdered(Event, frozen=True, kw_only=True):
    """A bundle of attempts was given to a pilot, in this order. The numbers count attempts.

    `match_s` is how long the runner had been at work, in this turn of its loop, until it was.
    """

    pilot: PilotId
    tasks: tuple[tuple[TaskId, int], ...]
    match_s: float = 0.0


class TaskStarted(Event, frozen=True, kw_only=True):
    """The executable of an attempt runs; not written of an attempt that ended at once."""

    task: TaskId
    attempt: int
    host: str = ""


class TaskSucceeded(Event, frozen=True, kw_only=True):
    """An attempt succeeded and its outputs were checked. `noted_s` is when the runner knew it."""

    task: TaskId
    attempt: int
    outputs: dict[str, Fingerprint] = {}
    identity: str = ""
    profile: Profile = Profile()
    started_s: float = 0.0
    noted_s: float = 0.0
    warnings: tuple[str, ...] = ()


class TaskErred(Event, frozen=True, kw_only=True):
    """An attempt failed through the science program, its outputs or its limits.

    `noted_s` is when the runner knew it. `larger` is what the next attempt asks for instead, if
    this one asked for too little; `final` says that no further attempt helps. `host` is to be
    avoided by the next attempt, "" if it is not to blame. If it is `excused` it counts as lost:
    the machine failed.
    """

    task: TaskId
    attempt: int
    failure: Failure
    larger: Resources | None = None
    final: bool = False
    host: str = ""
    excused: bool = False
    profile: Profile = Profile()
    started_s: float = 0.0
    noted_s: float = 0.0


class TaskLost(Event, frozen=True, kw_only=True):
    """An attempt was lost with its pilot or runner; it is provably dead.

    `expired` says that the pilot only reached its walltime. `host` is to be avoided by the next
    attempt, "" if it is not to blame.
    """

    task: TaskId
    attempt: int
    reason: str
    expired: bool = False
    host: str = ""


class TaskReturned(Event, frozen=True, kw_only=True):
    """An attempt was given back un-started: its bundle ended before it.

    `reason` says what went wrong if it was the attempt itself: its carrier lost it, or its inputs
    were gone.
    """

    task: TaskId
    attempt: int
    reason: str = ""


class TaskReused(Event, frozen=True, kw_only=True):
    """A task was skipped: an earlier run made the same outputs from the same inputs."""

    task: TaskId
    identity: str
    outputs: dict[str, Fingerprint]
    run: RunId


class OutputsMissed(Event, frozen=True, kw_only=True):
    """A finished task's output was needed and was gone or changed; the task must run again.

    So was one of an earlier run that was to stand for a task that is ready: it runs. A task that
    was left out fails instead; `reason` is then a whole sentence.
    """

    task: TaskId
    reason: str


class OutputsRemoved(Event, frozen=True, kw_only=True):
    """Temporary outputs of a finished task are removed, with files that only they name.

    Each file goes if it is still as it was then; it is tried again when the run is resumed.
    """

    task: TaskId
    files: tuple[Fingerprint, ...]


class TaskUnplaceable(Event, frozen=True, kw_only=True):
    """No pilot is large enough for a task."""

    task: TaskId
    reason: str


class SplitExpanded(Event, frozen=True, kw_only=True):
    """The list of a split was read. Each item is what its branch receives."""

    split: SplitId
    items: tuple[InputFile, ...]


class SplitFailed(Event, frozen=True, kw_only=True):
    """The list of a split could not be read, or its joined list could not be written."""

    split: SplitId
    reason: str


class ListJoined(Event, frozen=True, kw_only=True):
    """The joined list of a split was written."""

    split: SplitId


class CancelRequested(Event, frozen=True, kw_only=True):
    """Somebody asked to end the run. `now` means: kill what runs."""

    reason: str
    now: bool = False


class RunEnded(Event, frozen=True, kw_only=True):
    """The last line of a journal, unless the run is resumed."""

    state: RunState


RunEvent = (
    RunStarted
    | RunResumed
    | TasksOrdered
    | TaskStarted
    | TaskSucceeded
    | TaskErred
    | TaskLost
    | TaskReturned
    | TaskReused
    | OutputsMissed
    | OutputsRemoved
    | TaskUnplaceable
    | SplitExpanded
    | SplitFailed
    | ListJoined
    | CancelRequested
    | RunEnded
)


class FleetOpened(Event, frozen=True, kw_only=True):
    """A runner took up the pilots of a site; those that were up have to join it again."""

    journal_version: int
    software: str = ""


class PilotRequested(Event, frozen=True, kw_only=True):
    """A pilot of this template was asked for; its job may or may not have been submitted."""

    pilot: PilotId
    template: str


class PilotSubmitted(Event, frozen=True, kw_only=True):
    """The batch system took the job of a pilot."""

    pilot: PilotId
    job: JobId


class PilotQueued(Event, frozen=True, kw_only=True):
    """A pilot waits in the queue, for this reason in the batch system's own word."""

    pilot: PilotId
    reason: str = ""


class PilotStarting(Event, frozen=True, kw_only=True):
    """The job of a pilot runs."""

    pilot: PilotId
    host: str = ""


class PilotJoined(Event, frozen=True, kw_only=True):
    """A pilot offers to run tasks, for the first time or again.

    `offer.walltime_s` is unused; `until_s` is when what runs there is ended, None for never.
    `slots` is the largest number of bundles it runs at once. `template` and `host` are "" where
    nobody asked for it or nothing is known. `carrying` are the attempts that run there now.
    `version` is that of the software there, "" if it does not say.
    """

    pilot: PilotId
    offer: Resources
    slots: int
    until_s: float | None = None
    template: str = ""
    host: str = ""
    carrying: tuple[tuple[RunId, TaskId, int], ...] = ()
    version: str = ""


class PilotAway(Event, frozen=True, kw_only=True):
    """A pilot cannot be reached, but its job lives."""

    pilot: PilotId
    reason: str


class PilotDraining(Event, frozen=True, kw_only=True):
    """A pilot is to end: at once if it has not joined, else when nothing runs there any more."""

    pilot: PilotId
    reason: str


class PilotLeft(Event, frozen=True, kw_only=True):
    """A pilot is gone, with all that ran on it. `unfit` is a host that failed its test, or ""."""

    pilot: PilotId
    reason: str
    unfit: str = ""


class HostQuarantined(Event, frozen=True, kw_only=True):
    """Pilots on this host take nothing new until `until_s`."""

    host: str
    reason: str
    until_s: float


PilotEvent = (
    FleetOpened
    | PilotRequested
    | PilotSubmitted
    | PilotQueued
    | PilotStarting
    | PilotJoined
    | PilotAway
    | PilotDraining
    | PilotLeft
    | HostQuarantined
)
"""A line of the journal of pilots, which all runs of a site share."""
