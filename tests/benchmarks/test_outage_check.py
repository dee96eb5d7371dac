"""The checker of outages: what it calls wrong."""

from typing import Any

from benchmarks.outages.check import Mark, judge


def mark(what: str, task: str, attempt: int, at_s: float) -> Mark:
    return Mark(what=what, attempt=(task, attempt), at_s=at_s)


def done(task: str, attempt: int) -> dict[str, Any]:
    return {"event": "TaskSucceeded", "task": task, "attempt": attempt}


def lost(task: str, attempt: int) -> dict[str, Any]:
    return {"event": "TaskLost", "task": task, "attempt": attempt, "reason": "gone"}


def test_a_start_that_was_killed_is_extra_and_not_wrong() -> None:
    marks = [mark("start", "a", 1, 1.0), mark("start", "a", 2, 2.0), mark("end", "a", 2, 3.0)]
    found = judge(1, marks, [lost("a", 1), done("a", 2)])
    assert (found.starts, found.killed, found.extra_starts) == (2, 1, 1)
    assert found.reasons == {"gone": 1}
    assert found.wrong == []


def test_an_attempt_that_was_lost_before_it_began_is_no_start() -> None:
    marks = [mark("start", "a", 2, 2.0), mark("end", "a", 2, 3.0)]
    found = judge(1, marks, [lost("a", 1), done("a", 2)])
    assert (found.starts, found.killed, found.wrong) == (1, 0, [])


def test_a_task_that_is_not_done_or_done_twice_is_wrong() -> None:
    marks = [mark("start", "a", 1, 1.0), mark("start", "a", 2, 2.0)]
    assert judge(1, marks, [done("a", 1), done("a", 2)]).wrong == ["task a is done 2 times"]
    assert "1 of 2 tasks are done" in judge(2, marks[:1], [done("a", 1)]).wrong


def test_a_start_that_nothing_accounts_for_is_wrong() -> None:
    marks = [mark("start", "a", 1, 1.0), mark("start", "a", 2, 2.0)]
    assert judge(1, marks, [done("a", 2)]).wrong == [
        "attempt 1 of a was started, and nothing says that it ended",
        "2 starts for 1 tasks and 0 killed",
    ]


def test_an_attempt_that_is_started_twice_is_wrong() -> None:
    marks = [mark("start", "a", 1, 1.0), mark("start", "a", 1, 2.0)]
    assert "attempt 1 of a was started 2 times" in judge(1, marks, [done("a", 1)]).wrong


def test_an_attempt_that_outlives_its_verdict_is_wrong() -> None:
    marks = [mark("start", "a", 1, 1.0), mark("start", "a", 2, 2.0), mark("end", "a", 1, 2.5)]
    assert judge(1, marks, [lost("a", 1), done("a", 2)]).wrong == [
        "attempt 1 of a still wrote when attempt 2 had begun"
    ]
