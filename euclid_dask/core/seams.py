"""The places where implementations are exchanged, all on one page.

Each seam has a conformance suite that runs on all of its implementations (tests/conformance).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from euclid_dask.core.attempts import Order, Place, Receipt
from euclid_dask.core.events import PilotEvent
from euclid_dask.core.ids import JobId, PilotId, RunId, TaskId
from euclid_dask.core.pilots import Job
from euclid_dask.core.values import Value


class BundleOrder(Value, frozen=True, kw_only=True):
    """What an executor carries to a pilot at once: orders of one run, one after the other."""

    pilot: PilotId
    place: Place
    orders: tuple[Order, ...]


class AttemptStarted(Value, frozen=True, kw_only=True):
    """News: the executable of an attempt runs. Of a short attempt only its end is news."""

    run: RunId
    task: TaskId
    attempt: int
    host: str
    at_s: float


class AttemptEnded(Value, frozen=True, kw_only=True):
    """News: an attempt ended and left this receipt."""

    run: RunId
    receipt: Receipt


class AttemptsReturned(Value, frozen=True, kw_only=True):
    """News: these attempts of a bundle were not started, since one before them failed."""

    run: RunId
    attempts: tuple[tuple[TaskId, int], ...]


class AttemptsLost(Value, frozen=True, kw_only=True):
    """News: the carrier no longer knows how these attempts ended; look for their receipts.

    `dead` says that nothing of them lives: the one that owned their processes says so, or is gone
    with all of them. Else what lives of them on this host is to be killed.
    """

    run: RunId
    attempts: tuple[tuple[TaskId, int], ...]
    reason: str
    dead: bool = False


class ExecutorGone(Value, frozen=True, kw_only=True):
    """News: the executor has given up; no pilot of it will come again. `hint` says what may help.

    What it carried has been answered.
    """

    reason: str
    hint: str


News = AttemptStarted | AttemptEnded | AttemptsReturned | AttemptsLost | PilotEvent | ExecutorGone
"""What executors and supplies put into the inbox."""


class Inbox(Protocol):
    """Where everything that happens is put; may be called from any thread."""

    def put(self, news: News) -> None:
        """Add `news`; never blocks."""


class Executor(Protocol):
    """Carries bundles to pilots and reports what became of them; remembers nothing for us.

    It announces its pilots by `PilotJoined`, and answers every attempt of every bundle with
    exactly one `AttemptEnded`, or names it in `AttemptsReturned` or `AttemptsLost`.
    """

    def adopt(self, bundles: Sequence[BundleOrder]) -> None:
        """Answer for bundles of an earlier runner, too; to be called before `open`.

        They are on pilots that may live. What such a pilot carries when it joins is answered as
        if it had been started here; the rest is lost, at the latest with the pilot.
        """

    def open(self, inbox: Inbox) -> None:
        """Begin to offer pilots, by news to `inbox`."""

    def start(self, bundles: Sequence[BundleOrder]) -> None:
        """Carry bundles to their pilots, all at once; never blocks for long."""

    def cancel(
        self, run: RunId, attempts: Sequence[tuple[TaskId, int]], *, only_waiting: bool = False
    ) -> None:
        """Kill these attempts' process trees; each still ends with its news.

        With `only_waiting` those that have been started are left alone.
        """

    def retire(self, pilot: PilotId, reason: str) -> None:
        """Have a pilot leave when nothing runs there any more, if it can be told."""

    def lose(self, pilot: PilotId, reason: str) -> None:
        """Answer for all that is on a pilot of which its supply says that it is gone."""

    def close(self, *, end_pilots: bool = True) -> None:
        """Stop, leaving no process behind.

        Without `end_pilots`, what runs on pilots that need no runner goes on, unanswered: another
        runner is to adopt it.
        """


class PilotSupply(Protocol):
    """Has pilots come and go, and reports it by events of theirs; knows no task.

    Every pilot that was requested ends with exactly one `PilotLeft`.
    """

    def open(self, inbox: Inbox, believed: Mapping[PilotId, JobId]) -> None:
        """Begin to report, by news to `inbox`.

        `believed` are pilots that an earlier runner asked for and that it has not seen end, with
        their jobs ("" if none is known): those that live are taken over, others are reported as
        left.
        """

    def request(self, pilot: PilotId, template: str, avoid: Sequence[str] = ()) -> None:
        """Submit a job that becomes this pilot; never blocks for long.

        `avoid` are hosts that it is not to run on, in the batch system's words; not all batch
        systems can be told.
        """

    def retire(self, pilot: PilotId, reason: str, *, joined: bool) -> None:
        """Cancel a pilot that has not joined; one that has is told by the executor, and leaves."""

    def close(self, *, end_pilots: bool) -> None:
        """Stop reporting; with `end_pilots` have all pilots end."""


class Traces(Protocol):
    """What attempts leave where they run, whoever carried them: it decides when news is missing."""

    def was_started(self, place: Place, task: TaskId, attempt: int) -> bool:
        """Tell whether the attempt may have been started."""

    def receipt(self, place: Place, task: TaskId, attempt: int) -> Receipt | None:
        """Return how the attempt ended, None if it left no receipt."""

    def kill(
        self, run: RunId, task: TaskId | None = None, attempt: int | None = None
    ) -> Sequence[int]:
        """Kill what lives of a run, or of one attempt of it; return the processes that do not die.

        An empty answer means: it is provably dead.
        """


class BatchSystem(Protocol):
    """Submits, lists and cancels jobs; which are ours is told by how their names begin.

    All methods raise `BatchUnreachableError` when the system cannot be asked now, and another
    `BatchError` when it refuses. They block for as long as the commands of the system take.
    """

    def submit(self, script: str, name: str) -> JobId:
        """Submit a job of this name; it is started at most once.

        Raises:
            SubmitUnknownError: No answer came; `jobs` tells later whether there is such a job.
            SiteError: The script cannot be written; nothing was submitted.
        """

    def jobs(self) -> Sequence[Job]:
        """Return our jobs. A job that was submitted and is not among them has ended.

        Never returns a part of them: what cannot be told raises.
        """

    def cancel(self, jobs: Sequence[JobId]) -> None:
        """Ask that jobs end, queued and running ones; what has ended already is no error."""

    def last_words(self, name: str) -> str:
        """Return the end of what the job of this name wrote to its stderr, "" if nothing."""


class Clock(Protocol):
    """Time, as a parameter."""

    def now_s(self) -> float:
        """Return the seconds since the epoch."""
