"""The checker: every task done once, and no start that nothing had killed before.

It reads the lines that the tasks wrote themselves, and the journal as plain JSON.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Attempt = tuple[str, int]

ENDINGS = frozenset({"TaskLost", "TaskErred"})
"""Events by which an attempt ends without success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A line that a task wrote: it began, or its output is there."""

    what: str
    attempt: Attempt
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a run came to. `wrong` says in sentences what must not be."""

    tasks: int
    starts: int
    killed: int
    reasons: dict[str, int]
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


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


def judge(tasks: int, marks: Sequence[Mark], events: Sequence[dict[str, Any]]) -> Verdict:
    """Compare what tasks wrote with what the journal says."""
    started = Counter(mark.attempt for mark in marks if mark.what == "start")
    done = Counter(_attempt(event) for event in events if event["event"] == "TaskSucceeded")
    ended = {_attempt(event): event for event in events if event["event"] in ENDINGS}
    killed = [attempt for attempt in started if attempt in ended]
    wrong = [
        *_not_once(tasks, done),
        *(f"{_name(one)} was started {n} times" for one, n in started.items() if n > 1),
        *(f"{_name(one)} is done, but was not started" for one in done if one not in started),
        *(
            f"{_name(one)} was started, and nothing says that it ended"
            for one in started
            if one not in done and one not in ended
        ),
        *_overlaps(marks),
    ]
    if started.total() != len(done) + len(killed):
        wrong.append(f"{started.total()} starts for {len(done)} tasks and {len(killed)} killed")
    reasons = Counter(_reason(ended[attempt]) for attempt in killed)
    return Verdict(
        tasks=tasks,
        starts=started.total(),
        killed=len(killed),
        reasons=dict(reasons),
        wrong=wrong,
    )


def _not_once(tasks: int, done: "Counter[Attempt]") -> list[str]:
    by_task = Counter(task for task, _ in done.elements())
    wrong = [f"task {task} is done {n} times" for task, n in by_task.items() if n != 1]
    if len(by_task) != tasks:
        wrong.append(f"{len(by_task)} of {tasks} tasks are done")
    return wrong


def _overlaps(marks: Sequence[Mark]) -> list[str]:
    """Return what shows that an attempt still lived when the next one had begun."""
    first: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for mark in marks:
        if mark.what == "start":
            first[mark.attempt[0]].setdefault(mark.attempt[1], mark.at_s)
    return [
        f"{_name(mark.attempt)} still wrote when attempt {later} had begun"
        for mark in marks
        for later, at_s in first[mark.attempt[0]].items()
        if later > mark.attempt[1] and mark.at_s > at_s
    ]


def _attempt(event: dict[str, Any]) -> Attempt:
    return event["task"], event["attempt"]


def _reason(event: dict[str, Any]) -> str:
    failure = event.get("failure")
    told = failure["message"] if failure else event["reason"]
    return str(told).replace(f"task '{event['task']}'", "task")


def _name(attempt: Attempt) -> str:
    return f"attempt {attempt[1]} of {attempt[0]}"
