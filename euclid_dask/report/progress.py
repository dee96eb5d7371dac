"""Progress of a run while it goes on: what is told, and sparse lines for logs.

Displays are hooks of the runner's loop: they read the run between two turns and must be quick.
The one for terminals is in `live`.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from euclid_dask.core.states import RunState
from euclid_dask.planner.run import Run
from euclid_dask.report.pilots import pilots_text
from euclid_dask.report.words import counted, duration, printable
from euclid_dask.runner import views
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.loop import Runner
from euclid_dask.runner.views import Progress

MOST_FAILURES: Final = 10
"""How many failures are told as they happen; all are told at the end."""


class ProgressDisplay(Protocol):
    """Follows a run in this process."""

    def on_start(self, active: ActiveRun, runner: Runner) -> None:
        """Show that the run begins."""

    def on_turn(self, runner: Runner) -> None:
        """Show how it stands."""

    def end(self) -> None:
        """Leave the terminal as it was."""


class Remarks:
    """Sentences about a run, each said once, as soon as it is true."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._failures = 0
        self._cancel = 0
        self._address_told = False

    def new(self, runner: Runner) -> Iterator[str]:
        """Yield what there is to say since the last call."""
        if not self._address_told:
            address = getattr(runner.executor, "dashboard_address", "")
            if address:
                self._address_told = True
                yield f"Dask dashboard: {address}"
        yield from self._new_failures()
        yield from self._cancellation()

    def _new_failures(self) -> Iterator[str]:
        failed = self._run.failed
        if len(failed) <= self._failures:
            return
        for task in list(failed.values())[self._failures : MOST_FAILURES]:
            if task.failure is not None:
                yield f"failed: {printable(task.failure.message)}"
        if self._failures <= MOST_FAILURES < len(failed):
            yield "more tasks failed; all are told at the end"
        self._failures = len(failed)

    def _cancellation(self) -> Iterator[str]:
        if self._run.state is not RunState.CANCELLING:
            return
        stage = 2 if self._run.cancel_now else 1
        if stage > self._cancel:
            self._cancel = stage
            running = counted(len(self._run.active), "running task")
            if stage == 2:
                yield f"{self._run.cancel_reason}: killing {running}"
            else:
                yield (
                    f"{self._run.cancel_reason}: nothing new is started; waiting for {running}; "
                    "once more kills them"
                )


class LineProgress:
    """Says now and then in one line how a run stands; for logs and pipes."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._run: Run | None = None
        self._remarks: Remarks | None = None
        self._next_s = 0.0
        self._last = ""

    def on_start(self, active: ActiveRun, runner: Runner) -> None:
        """Say that the run begins."""
        self._run, self._remarks = active.run, Remarks(active.run)
        self._write(begin_text(active))
        self._next_s = runner.clock.now_s() + 5.0

    def on_turn(self, runner: Runner) -> None:
        """Say how it stands, if it has been a while."""
        assert self._run is not None
        assert self._remarks is not None
        for text in self._remarks.new(runner):
            self._write(text)
        now_s = runner.clock.now_s()
        if now_s < self._next_s:
            return
        at = views.progress(self._run, now_s)
        self._next_s = now_s + min(60.0, max(5.0, at.elapsed_s / 10))
        pilots = pilots_text(runner.fleet, now_s)
        line = progress_text(at) + (f"; {pilots}" if pilots else "")
        if line != self._last:
            self._last = line
            self._write(f"{line} ({time_text(at)})")

    def end(self) -> None:
        """Do nothing: lines stay."""


def begin_text(active: ActiveRun) -> str:
    """Return the sentence with which a run begins."""
    return f"{active.run.id} runs in {active.place.workdir}"


def progress_text(at: Progress) -> str:
    """Return the counts of a run in one line."""
    ended = at.done + at.skipped
    parts = [f"{ended:,} of {counted(at.total, 'task')} done"]
    if at.skipped:
        parts[0] += f" ({at.skipped:,} by an earlier run)"
    for number, word in ((len(at.running), "running"), (at.failed, "failed")):
        if number:
            parts.append(f"{number:,} {word}")
    if at.blocked:
        parts.append(f"{at.blocked:,} blocked")
    return ", ".join(parts)


def time_text(at: Progress) -> str:
    """Return how long a run has gone on, and how long it will."""
    left = f", about {duration(at.eta_s)} left" if at.eta_s is not None else ""
    return f"{duration(at.elapsed_s)}{left}"
