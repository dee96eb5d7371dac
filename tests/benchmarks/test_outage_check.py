"""The checker of outages: what it calls wrong."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.outages.check import Blow, Mark, judge

BLOW = Blow(
    pilots=frozenset({"p"}), since_s=10.0, struck_s=12.0, until_s=20.0, reasons="^gone$", most=2
)
Begun = tuple[list[Mark], list[dict[str, Any]]]


def mark(what: str, task: str, attempt: int, at_s: float) -> Mark:
    return Mark(what=what, attempt=(task, attempt), at_s=at_s)


def ordered(task: str, attempt: int, pilot: str = "p") -> dict[str, Any]:
    return {"event": "TasksOrdered", "pilot": pilot, "tasks": [[task, attempt]]}


def done(task: str, attempt: int) -> dict[str, Any]:
    return {"event": "TaskSucceeded", "task": task, "attempt": attempt}


def lost(task: str, attempt: int, reason: str = "gone") -> dict[str, Any]:
    return {"event": "TaskLost", "task": task, "attempt": attempt, "reason": reason}


def again(task: str = "a", *, at_s: float = 9.0, last_s: float = 10.0, pilot: str = "p") -> Begun:
    """Return an attempt that was lost, and the next one, which does it."""
    marks = [mark("start", task, 1, at_s), mark("tick", task, 1, last_s)]
    marks += [mark("start", task, 2, 30.0), mark("end", task, 2, 31.0)]
    return marks, [ordered(task, 1, pilot), lost(task, 1), ordered(task, 2, "q"), done(task, 2)]


def test_a_start_that_the_outage_explains_is_extra_and_not_wrong() -> None:
    found = judge(1, *again(), BLOW)
    assert (found.starts, found.extra_starts, found.overlap_s) == (2, 1, 0.0)
    assert found.reasons == {"gone": 1}
    assert found.wrong == []


def test_an_attempt_that_was_lost_before_it_began_is_no_start() -> None:
    marks = [mark("start", "a", 2, 2.0), mark("end", "a", 2, 3.0)]
    found = judge(1, marks, [lost("a", 1), done("a", 2)], Blow())
    assert (found.starts, found.extra_starts, found.wrong) == (1, 0, [])


def test_a_task_that_is_not_done_or_done_twice_is_wrong() -> None:
    marks = [mark("start", "a", 1, 1.0), mark("start", "a", 2, 2.0)]
    assert judge(1, marks, [done("a", 1), done("a", 2)], BLOW).wrong == ["task a is done 2 times"]
    assert "1 of 2 tasks are done" in judge(2, marks[:1], [done("a", 1)], BLOW).wrong
    assert "attempt 1 of a is done, but was not started" in judge(1, [], [done("a", 1)], BLOW).wrong


def test_a_start_that_nothing_accounts_for_is_wrong() -> None:
    marks = [mark("start", "a", 1, 1.0), mark("start", "a", 2, 2.0)]
    assert judge(1, marks, [done("a", 2)], BLOW).wrong == [
        "attempt 1 of a was started, and nothing says that it ended"
    ]


def test_an_attempt_that_is_started_twice_is_wrong() -> None:
    marks = [mark("start", "a", 1, 1.0), mark("start", "a", 1, 2.0)]
    assert "attempt 1 of a was started 2 times" in judge(1, marks, [done("a", 1)], BLOW).wrong


def test_an_attempt_that_is_done_and_lost_is_wrong() -> None:
    marks, events = again()
    wrong = judge(1, marks, [*events, done("a", 1)], BLOW).wrong
    assert "attempt 1 of a is done, and was lost" in wrong


def test_an_attempt_that_lives_beside_the_next_one_is_wrong_though_it_never_ends() -> None:
    marks, events = again()
    marks.append(mark("tick", "a", 1, 32.5))
    assert judge(1, marks, events, BLOW).wrong == [
        "attempt 1 of a wrote for 2.50 s after its task had begun again"
    ]
    marks = [one for one in marks if one.attempt != ("a", 2)] + [mark("start", "a", 3, 31.0)]
    assert judge(1, marks, [*events, lost("a", 2)], BLOW).overlap_s == 1.5


@pytest.mark.parametrize(
    ("until_s", "at_s", "is_wrong"),
    [
        (40.0, 35.0, True),  # it should have been frozen
        (40.0, 39.0, False),
        (40.0, 44.0, False),
        (40.0, 46.0, True),
        (20.0, 34.0, False),  # the next one began when all was well
        (20.0, 36.0, True),
    ],
)
def test_an_attempt_may_live_beside_the_next_one_for_a_moment_when_it_goes_on(
    until_s: float, at_s: float, is_wrong: bool
) -> None:
    marks, events = again()
    marks.append(mark("tick", "a", 1, at_s))
    found = judge(1, marks, events, replace(BLOW, until_s=until_s, overlap_s=5.0))
    told = f"attempt 1 of a wrote for {at_s - 30.0:.2f} s after its task had begun again"
    assert found.wrong == ([told] if is_wrong else [])


def test_a_start_in_vain_that_the_outage_does_not_explain_is_wrong() -> None:
    def wrong(marks: list[Mark], events: list[dict[str, Any]]) -> str:
        (found,) = judge(1, marks, events, BLOW).wrong
        return found

    told = "attempt 1 of a was lost with q, which nothing had happened to: gone"
    assert wrong(*again(pilot="q")) == told
    told = "attempt 1 of a had ended before anything happened: gone"
    assert wrong(*again(at_s=1.0, last_s=5.0)) == told
    told = "attempt 1 of a was started when all was over: gone"
    assert wrong(*again(at_s=25.0, last_s=26.0)) == told
    marks, events = again()
    events[1] = lost("a", 1, "nobody knows")
    assert wrong(marks, events) == "attempt 1 of a was lost for another reason: nobody knows"


def test_an_attempt_that_is_lost_though_it_came_to_its_end_is_wrong() -> None:
    marks, events = again()
    assert judge(1, [*marks, mark("end", "a", 1, 13.0)], events, BLOW).wrong == []
    marks.append(mark("end", "a", 1, 15.0))
    told = "attempt 1 of a came to its end, and was lost: gone"
    assert judge(1, marks, events, BLOW).wrong == [told]
    may_end = Blow(pilots=BLOW.pilots, since_s=10.0, until_s=20.0, most=1, may_end=True)
    assert judge(1, marks, events, may_end).wrong == []


def test_more_starts_in_vain_than_there_can_have_been_are_wrong() -> None:
    three = [again(task) for task in "abc"]
    marks = [mark for marks, _ in three for mark in marks]
    events = [event for _, events in three for event in events]
    assert judge(3, marks, events, BLOW).wrong == ["3 starts in vain, the outage explains 2"]
