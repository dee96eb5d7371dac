"""The checker: every task done once, and no start in vain that the outage does not explain.

It reads the lines that the tasks wrote themselves, many a second, and the journals as plain JSON.
What the journal says of an attempt is not believed: one that was lost must have been on a pilot
that the outage had to do with, at that time, and for the reason that is expected; and what was
declared dead must not write once its task has begun again.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

Attempt = tuple[str, int]
Event = dict[str, Any]

ENDINGS = frozenset({"TaskLost", "TaskErred"})
"""Events by which an attempt ends without success."""
BLINK_S = 2.0
"""A task that lives writes at least so often, on a busy machine too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A line that a task wrote: it began, it lives, or its output is there."""

    what: str
    attempt: Attempt
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """What an outage may explain: attempts on these pilots, from one time to another.

    `reasons` is the pattern of why they were lost, `most` how many of them there can have been.
    None of them comes to its end after `struck_s`, when it had happened, unless they `may_end`. An
    attempt whose task has begun again writes nothing; or, if there is an `overlap_s`, so long at
    most after that and after `until_s`, when it goes on, and nothing before then.
    """

    pilots: frozenset[str] = frozenset()
    since_s: float = 0.0
    struck_s: float = 0.0
    until_s: float = 0.0
    reasons: str = ""
    most: int = 0
    may_end: bool = False
    overlap_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a run came to. `wrong` says in sentences what must not be."""

    tasks: int
    starts: int
    reasons: dict[str, int]
    overlap_s: float
    wrong: list[str]

    @property
    def extra_starts(self) -> int:
        """Return how many processes were started in vain."""
        return self.starts - self.tasks


def read_marks(path: Path) -> list[Mark]:
    """Return what the tasks wrote."""
    marks = []
    for line in path.read_text().splitlines() if path.exists() else ():
        what, task, attempt, at_s = line.split()
        marks.append(Mark(what=what, attempt=(task, int(attempt)), at_s=float(at_s)))
    return marks


def read_events(path: Path) -> list[Event]:
    """Return the whole lines of a journal."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


def judge(tasks: int, marks: Sequence[Mark], events: Sequence[Event], blow: Blow) -> Verdict:
    """Compare what tasks wrote with what the journal says, and both with what happened."""
    starts = Counter(mark.attempt for mark in marks if mark.what == "start")
    done = Counter(_attempt(event) for event in events if event["event"] == "TaskSucceeded")
    lost = {_attempt(event): event for event in events if event["event"] in ENDINGS}
    in_vain = {one: event for one, event in lost.items() if one in starts}
    beside = list(_beside(marks))
    wrong = [
        *_not_once(tasks, done),
        *(f"{_name(one)} was started {n} times" for one, n in starts.items() if n > 1),
        *(f"{_name(one)} is done, but was not started" for one in done if one not in starts),
        *(f"{_name(one)} is done, and was lost" for one in done if one in lost),
        *(
            f"{_name(one)} was started, and nothing says that it ended"
            for one in starts
            if one not in done and one not in lost
        ),
        *_unexplained(in_vain, marks, events, blow),
        *(
            f"{_name(one)} wrote for {over_s:.2f} s after its task had begun again"
            for one, over_s in _longest(x for x in beside if not _may_write(*x, blow)).items()
        ),
    ]
    if len(in_vain) > blow.most:
        wrong.append(f"{len(in_vain)} starts in vain, the outage explains {blow.most}")
    return Verdict(
        tasks=tasks,
        starts=starts.total(),
        reasons=dict(Counter(_reason(event) for event in in_vain.values())),
        overlap_s=max(_longest(beside).values(), default=0.0),
        wrong=wrong,
    )


def _not_once(tasks: int, done: "Counter[Attempt]") -> Iterator[str]:
    by_task = Counter(task for task, _ in done.elements())
    yield from (f"task {task} is done {n} times" for task, n in by_task.items() if n != 1)
    if len(by_task) != tasks:
        yield f"{len(by_task)} of {tasks} tasks are done"


def _unexplained(
    in_vain: dict[Attempt, Event], marks: Sequence[Mark], events: Sequence[Event], blow: Blow
) -> Iterator[str]:
    """Yield which attempts the outage cannot have ended."""
    pilots = {
        (task, attempt): event["pilot"]
        for event in events
        if event["event"] == "TasksOrdered"
        for task, attempt in event["tasks"]
    }
    first, last = {}, {}
    ended = {mark.attempt: mark.at_s for mark in marks if mark.what == "end"}
    for mark in marks:
        first.setdefault(mark.attempt, mark.at_s)
        last[mark.attempt] = mark.at_s
    for attempt, event in in_vain.items():
        pilot, reason = pilots.get(attempt), _reason(event)
        if pilot not in blow.pilots:
            yield f"{_name(attempt)} was lost with {pilot}, which nothing had happened to: {reason}"
        elif last[attempt] < blow.since_s - BLINK_S:
            yield f"{_name(attempt)} had ended before anything happened: {reason}"
        elif first[attempt] > blow.until_s + BLINK_S:
            yield f"{_name(attempt)} was started when all was over: {reason}"
        elif not blow.may_end and ended.get(attempt, 0.0) > blow.struck_s + BLINK_S:
            yield f"{_name(attempt)} came to its end, and was lost: {reason}"
        if not re.search(blow.reasons, reason):
            yield f"{_name(attempt)} was lost for another reason: {reason}"


def _beside(marks: Sequence[Mark]) -> Iterator[tuple[Mark, float]]:
    """Yield what attempts wrote when the next one had begun, and when that was."""
    begun: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for mark in marks:
        if mark.what == "start":
            begun[mark.attempt[0]].setdefault(mark.attempt[1], mark.at_s)
    for mark in marks:
        task, number = mark.attempt
        next_s = min((at_s for n, at_s in begun[task].items() if n > number), default=inf)
        if mark.at_s > next_s:
            yield mark, next_s


def _may_write(mark: Mark, next_s: float, blow: Blow) -> bool:
    """Tell whether the outage explains what an attempt wrote when the next one had begun."""
    latest_s = max(next_s, blow.until_s) + blow.overlap_s
    return blow.overlap_s > 0.0 and blow.until_s - BLINK_S <= mark.at_s <= latest_s


def _longest(beside: Iterable[tuple[Mark, float]]) -> dict[Attempt, float]:
    """Return for how long attempts still wrote when the next one had begun."""
    found: dict[Attempt, float] = {}
    for mark, next_s in beside:
        found[mark.attempt] = max(found.get(mark.attempt, 0.0), mark.at_s - next_s)
    return found


def _attempt(event: Event) -> Attempt:
    return event["task"], event["attempt"]


def _reason(event: Event) -> str:
    failure = event.get("failure")
    told = failure["message"] if failure else event["reason"]
    return str(told).replace(f"task '{event['task']}'", "task")


def _name(attempt: Attempt) -> str:
    return f"attempt {attempt[1]} of {attempt[0]}"
