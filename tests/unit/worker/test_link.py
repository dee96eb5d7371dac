"""The lines between a supervisor and its Dask worker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.core.attempts import Order, Place, Receipt
from euclid_dask.core.events import PilotDraining, PilotJoined, PilotLeft
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
from euclid_dask.worker.link import Lines, Request, Retire, Stop, answered, read_line, write_line

RUN, TASK, PILOT = RunId("r"), TaskId("a.b"), PilotId("p")
ENDED = AttemptEnded(run=RUN, receipt=Receipt(task=TASK, attempt=2, command=("a\nb", "é")))
MESSAGES: list[Request | News] = [
    BundleOrder(
        pilot=PILOT,
        place=Place(run=RUN, workdir="/w", logdir="l", records="/r"),
        orders=(
            Order(
                task=TASK,
                attempt=1,
                executable="e",
                command=("sh",),
                inputs=(),
                outputs=(),
                needs=Resources(cores=1),
            ),
        ),
    ),
    Stop(attempts=((RUN, TASK, 1),), how="withdraw"),
    Retire(reason="idle"),
    ENDED,
    AttemptStarted(run=RUN, task=TASK, attempt=1, host="h", at_s=1.0),
    AttemptsReturned(run=RUN, attempts=((TASK, 1),)),
    AttemptsLost(run=RUN, attempts=((TASK, 1),), reason="x"),
    PilotJoined(
        pilot=PILOT, offer=Resources(), slots=4, at_s=1.0, carrying=((RUN, TASK, 1),), until_s=9.0
    ),
    PilotDraining(pilot=PILOT, reason="x", at_s=1.0),
    PilotLeft(pilot=PILOT, reason="x", at_s=1.0),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_a_message_is_read_as_it_was_written(message: Request | News) -> None:
    line = write_line(message)
    assert line.count(b"\n") == 1
    assert read_line(line[:-1]) == message


@pytest.mark.parametrize(
    "line", [b"", b"nonsense", b"PilotLeft {", b'Stop {"how": "kill"}', b"\xff"]
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_line(line)


@given(st.lists(st.integers(0, 300), max_size=12))
def test_lines_are_whole_however_they_arrive(cuts: list[int]) -> None:
    content = b"".join(write_line(message) for message in MESSAGES) + b"half"
    lines, parts, before = Lines(), [], 0
    for cut in sorted(cuts):
        parts += lines.feed(content[before:cut])
        before = max(before, cut)
    parts += lines.feed(content[before:])
    assert [read_line(part) for part in parts] == MESSAGES


def test_news_says_which_attempts_it_answers() -> None:
    assert answered(ENDED) == [(RUN, TASK, 2)]
    assert answered(AttemptsReturned(run=RUN, attempts=((TASK, 1), (TASK, 2)))) == [
        (RUN, TASK, 1),
        (RUN, TASK, 2),
    ]
    assert answered(PilotLeft(pilot=PILOT, reason="x", at_s=1.0)) == []
