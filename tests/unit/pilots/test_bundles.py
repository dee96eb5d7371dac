"""What a supervisor carries, and tells of it."""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from euclid_dask.core.attempts import Order, Place
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import AttemptEnded, AttemptsReturned, BundleOrder, News
from euclid_dask.pilots.bundles import Bundles
from euclid_dask.worker.link import Stop

RUN, TASK = RunId("r"), TaskId("t")


class _Desk:
    """Bundles, and a thread that waits for their news."""

    def __init__(self, folder: Path) -> None:
        self.woken = Event()
        self.bundles = Bundles(self.woken.set)
        self._place = Place(run=RUN, workdir=str(folder), logdir="l", records=f"{folder}/r")

    def order(self, script: str) -> BundleOrder:
        order = Order(
            task=TASK,
            attempt=1,
            executable="sh",
            command=("sh", "-c", script, "sh"),
            inputs=(),
            outputs=(),
            needs=Resources(cores=1),
        )
        return BundleOrder(pilot=PilotId("p"), place=self._place, orders=(order,))

    def until(self, wanted: Callable[[News], bool]) -> News:
        until_s = monotonic() + 20.0
        while monotonic() < until_s:
            self.woken.wait(0.2)
            self.woken.clear()
            for news in self.bundles.news():
                if wanted(news):
                    return news
        raise AssertionError("not in time")


@pytest.fixture
def desk(tmp_path: Path) -> _Desk:
    return _Desk(tmp_path)


def _ended(news: News) -> bool:
    return isinstance(news, AttemptEnded)


def test_a_bundle_that_comes_again_is_not_run_again(desk: _Desk, tmp_path: Path) -> None:
    bundle = desk.order("echo x >> runs; while [ ! -e go ]; do sleep 0.01; done")
    desk.bundles.take(bundle)
    desk.bundles.take(bundle)
    assert desk.bundles.account()[1] == ((RUN, TASK, 1),)
    (tmp_path / "go").touch()
    desk.until(_ended)
    desk.bundles.take(bundle)
    desk.until(_ended)
    assert (tmp_path / "runs").read_text() == "x\n"
    assert desk.bundles.is_idle


def test_what_ended_is_told_again_to_who_comes_next(desk: _Desk) -> None:
    desk.bundles.take(desk.order("true"))
    ended = desk.until(_ended)
    assert desk.bundles.account() == ([ended], ())
    assert desk.bundles.account() == ([ended], ())
    assert desk.bundles.news() == []


def test_what_comes_too_late_is_returned(desk: _Desk) -> None:
    desk.bundles.refuse()
    desk.bundles.take(desk.order("true"))
    assert desk.bundles.news() == [AttemptsReturned(run=RUN, attempts=((TASK, 1),))]
    assert desk.bundles.is_idle


def test_what_is_stopped_before_it_comes_does_not_start(desk: _Desk, tmp_path: Path) -> None:
    desk.bundles.stop(Stop(attempts=((RUN, TASK, 1),), how="cancel"))
    desk.bundles.take(desk.order("touch ran"))
    desk.until(_ended)
    assert not (tmp_path / "ran").exists()
