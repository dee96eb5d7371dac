from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from euclid_dask.core.events import CancelRequested
from euclid_dask.core.seams import Clock
from euclid_dask.planner import Fleet
from euclid_dask.planner.run import Run
from euclid_dask.report.notebook import NotebookProgress, in_notebook, progress_html
from euclid_dask.report.progress import LineProgress, Remarks, progress_text
from euclid_dask.runner import views


@dataclass
class StandingClock:
    at_s: float = 1_000_000.0

    def now_s(self) -> float:
        return self.at_s


@dataclass
class StandingRunner:
    """As much of a runner as a display looks at."""

    clock: Clock = field(default_factory=StandingClock)
    fleet: Any = field(default_factory=Fleet)
    executor: Any = field(default_factory=lambda: SimpleNamespace(dashboard_address="http://d"))


def active(run: Run) -> Any:
    return SimpleNamespace(run=run, place=run.place)


@pytest.fixture
def runner() -> Any:
    return StandingRunner()


def test_lines_are_sparse(broken: Run, runner: Any) -> None:
    lines: list[str] = []
    display = LineProgress(lines.append)
    display.on_start(active(broken), runner)
    for _ in range(50):
        runner.clock.at_s += 0.2
        display.on_turn(runner)
    assert len([line for line in lines if "of 5 tasks done" in line]) == 1


def test_each_failure_and_the_dashboard_are_told_once(broken: Run, runner: Any) -> None:
    remarks = Remarks(broken)
    said = [*remarks.new(runner), *remarks.new(runner)]
    assert said == [
        "Dask dashboard: http://d",
        "failed: 'each.iterations.2.clean' ended: row 7",
        "failed: 'each.iterations.3.clean' ended: row 9",
    ]


def test_no_dashboard_is_told_when_there_is_none(done: Run, runner: Any) -> None:
    runner.executor = object()
    assert list(Remarks(done).new(runner)) == []


def test_a_cancellation_says_what_the_next_signal_does(tell: Any, runner: Any) -> None:
    run = tell([CancelRequested(at_s=1e6, reason="SIGINT was received")])
    remarks = Remarks(run)
    first = (
        "SIGINT was received: nothing new is started; waiting for 0 running tasks; "
        "once more kills them"
    )
    assert list(remarks.new(runner))[1:] == [first]
    run.apply(CancelRequested(at_s=1e6, reason="SIGINT was received", now=True))
    assert list(remarks.new(runner)) == ["SIGINT was received: killing 0 running tasks"]


def test_counts_name_only_what_there_is(done: Run) -> None:
    assert progress_text(views.progress(done, 1e6)) == "4 of 4 tasks done"


def test_a_notebook_box_is_shown_once_and_then_replaced(broken: Run, runner: Any) -> None:
    shown: list[str] = []
    replaced: list[str] = []

    def show(html: str) -> Any:
        shown.append(html)
        return replaced.append

    display = NotebookProgress(show)
    display.on_start(active(broken), runner)
    display.on_turn(runner)
    assert len(shown) == 1
    assert "2 of 5 tasks done, 2 failed, 1 blocked" in replaced[-1]


def test_a_box_links_the_dashboard_once_there_is_one(done: Run) -> None:
    assert "href" not in progress_html(done, 1e6)
    assert 'href="http://127.0.0.1:8787/status"' in progress_html(
        done, 1e6, "http://127.0.0.1:8787/status"
    )


def test_a_box_escapes_names(done: Run) -> None:
    done.id = type(done.id)("<mosaic>")
    assert "<mosaic>" not in progress_html(done, 1e6)


def test_a_plain_process_is_no_notebook() -> None:
    assert in_notebook() is False
