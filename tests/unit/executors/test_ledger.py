"""Each attempt is answered once."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.core.attempts import Order, Place, Receipt
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import (
    AttemptEnded,
    AttemptsLost,
    AttemptsReturned,
    AttemptStarted,
    BundleOrder,
    News,
)
from euclid_dask.executors.ledger import Ledger, Trip

RUN = RunId("r")
PLACE = Place(run=RUN, workdir="/w", logdir="l", records="/r")
NAMES = ("a", "b", "c")


class _Box:
    def __init__(self) -> None:
        self.seen: list[News] = []

    def put(self, news: News) -> None:
        self.seen.append(news)

    def answered(self) -> list[str]:
        names: list[str] = []
        for news in self.seen:
            if isinstance(news, AttemptEnded):
                names.append(news.receipt.task)
            elif isinstance(news, AttemptsReturned | AttemptsLost):
                names += [task for task, _ in news.attempts]
        return names


def _trip(*names: str, pilot: str = "p") -> Trip:
    orders = tuple(
        Order(
            task=TaskId(name),
            attempt=1,
            executable="e",
            command=("e",),
            inputs=(),
            outputs=(),
            needs=Resources(),
        )
        for name in names
    )
    return Trip(BundleOrder(pilot=PilotId(pilot), place=PLACE, orders=orders))


def _ended(name: str) -> AttemptEnded:
    return AttemptEnded(run=RUN, receipt=Receipt(task=TaskId(name), attempt=1))


def _returned(*names: str) -> AttemptsReturned:
    return AttemptsReturned(run=RUN, attempts=tuple((TaskId(name), 1) for name in names))


_NEWS = st.lists(
    st.one_of(
        st.sampled_from(NAMES).map(_ended),
        st.sets(st.sampled_from(NAMES), min_size=1).map(lambda names: _returned(*names)),
        st.just("lose"),
    )
)


@given(_NEWS)
def test_whatever_comes_in_every_attempt_is_answered_once(comes: list[Any]) -> None:
    box = _Box()
    ledger, trip = Ledger(box), _trip(*NAMES)
    ledger.depart([trip])
    for news in [*comes, "lose"]:
        if news == "lose":
            ledger.lose(trip, "reason")
        else:
            ledger.report(news)
    assert sorted(box.answered()) == sorted(NAMES)


def test_a_start_that_comes_after_the_answer_is_dropped() -> None:
    box = _Box()
    ledger, trip = Ledger(box), _trip("a")
    ledger.depart([trip])
    ledger.lose(trip, "reason")
    ledger.report(AttemptStarted(run=RUN, task=TaskId("a"), attempt=1, host="h", at_s=1.0))
    assert [type(news) for news in box.seen] == [AttemptsLost]


def test_the_trips_to_a_pilot_are_those_it_has_not_answered() -> None:
    ledger = Ledger(_Box())
    here, there = _trip("a", "b", pilot="here"), _trip("c", pilot="there")
    ledger.depart([here, there])
    ledger.report(_ended("a"))
    assert ledger.on_pilot(PilotId("here")) == [here]
    assert set(ledger.on_pilot()) == {here, there}
    ledger.report(_ended("b"))
    assert ledger.on_pilot(PilotId("here")) == []


def test_only_attempts_on_their_way_are_found() -> None:
    ledger = Ledger(_Box())
    ledger.depart([_trip("a", pilot="here")])
    keys = [(RUN, TaskId("a"), 1), (RUN, TaskId("z"), 1)]
    assert ledger.find(keys) == {PilotId("here"): keys[:1]}
