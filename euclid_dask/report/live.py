"""The live display of a run's progress, for terminals."""

from collections.abc import Iterator
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from euclid_dask.planner.nodes import Task
from euclid_dask.planner.run import Run
from euclid_dask.report.pilots import pilots_text
from euclid_dask.report.progress import Remarks, begin_text, progress_text, time_text
from euclid_dask.report.words import duration
from euclid_dask.runner import views
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.loop import Runner
from euclid_dask.runner.views import Progress

MOST_RUNNING: Final = 8
REFRESH_S: Final = 0.25


class LiveProgress:
    """Shows counts, a bar and the running tasks at the bottom of a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._run: Run | None = None
        self._remarks: Remarks | None = None
        self._live: Live | None = None
        self._next_s = 0.0

    def on_start(self, active: ActiveRun, runner: Runner) -> None:
        """Begin to show the run."""
        self._run, self._remarks = active.run, Remarks(active.run)
        self._console.print(begin_text(active), markup=False, highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False
        )
        self._live.start()

    def on_turn(self, runner: Runner) -> None:
        """Show how it stands, a few times a second at most."""
        assert self._run is not None
        assert self._remarks is not None
        assert self._live is not None
        for text in self._remarks.new(runner):
            self._console.print(text, markup=False, highlight=False)
        now_s = runner.clock.now_s()
        if now_s >= self._next_s:
            self._next_s = now_s + REFRESH_S
            pilots = pilots_text(runner.fleet, now_s)
            self._live.update(_picture(self._run, pilots, now_s), refresh=True)

    def end(self) -> None:
        """Take the display away."""
        if self._live is not None:
            self._live.update(Text(""))
            self._live.stop()


def _picture(run: Run, pilots: str, now_s: float) -> RenderableType:
    at = views.progress(run, now_s)
    bar = Table.grid(padding=(0, 1))
    ended = at.done + at.skipped + at.failed + at.blocked
    colour = "red" if at.failed else "green"
    bar.add_row(
        ProgressBar(total=max(1, at.total), completed=ended, width=40, complete_style=colour),
        Text(f"{100 * ended // max(1, at.total)} %"),
        Text(time_text(at), style="dim"),
    )
    told = [Text(text) for text in (progress_text(at), pilots) if text]
    return Group(bar, *told, *_running(run, at, now_s))


def _running(run: Run, at: Progress, now_s: float) -> Iterator[RenderableType]:
    tasks: list[Task] = sorted((run.tasks[name] for name in at.running), key=_began)
    rows = Table.grid(padding=(0, 2))
    for task in tasks[:MOST_RUNNING]:
        rows.add_row(Text("  " + task.id), Text(duration(now_s - task.started_s), style="dim"))
    if tasks:
        yield rows
    if len(tasks) > MOST_RUNNING:
        yield Text(f"  and {len(tasks) - MOST_RUNNING:,} more", style="dim")


def _began(task: Task) -> float:
    return task.started_s
