"""Where time went: every second between ready and registered is in one stage."""

from collections.abc import Callable

import pytest

from euclid_dask import Executable, pipeline
from euclid_dask.core.attempts import Failure, FailureKind, Fingerprint, Place, Profile
from euclid_dask.core.events import (
    JOURNAL_VERSION,
    InputFile,
    RunEvent,
    RunStarted,
    SplitExpanded,
    TaskErred,
    TasksOrdered,
    TaskSucceeded,
)
from euclid_dask.core.ids import PilotId, RunId, SplitId, TaskId
from euclid_dask.planner.run import Run
from euclid_dask.report.bars import stage_bars, usage_bars
from euclid_dask.report.stages import Stage, stages_of, stages_told_by, together, totals
from euclid_dask.report.usage import usage_of

T0 = 1_000_000.0
PLACE = Place(run=RunId("r"), workdir="/w", logdir="logs", records="/w/r")
first = Executable("first", outputs=["a"])
second = Executable("second", inputs=["a"], outputs=["b"])


@pipeline(outputs=("b",))
def chain():
    return second(a=first())


Tell = Callable[[list[RunEvent]], Run]


def order(at_s: float, *tasks: str, match_s: float = 0.0, attempt: int = 1) -> RunEvent:
    numbered = tuple((TaskId(task), attempt) for task in tasks)
    return TasksOrdered(at_s=T0 + at_s, pilot=PilotId("p"), tasks=numbered, match_s=match_s)


def end(task: str, at_s: float, noted_s: float, **profile: float) -> RunEvent:
    return TaskSucceeded(
        at_s=T0 + at_s,
        task=TaskId(task),
        attempt=1,
        outputs={"tiles": Fingerprint(path="cut/tiles.json", size=1, mtime_ns=1)},
        profile=Profile(**profile),  # type: ignore[arg-type]
        noted_s=T0 + noted_s,
    )


def rounded(seconds: dict[Stage, float]) -> dict[str, float]:
    return {str(stage): round(value, 6) for stage, value in seconds.items() if round(value, 6)}


def split(*, at_s: float, count: int) -> RunEvent:
    items = tuple(InputFile(path=f"{i}") for i in range(count))
    return SplitExpanded(at_s=T0 + at_s, split=SplitId("each"), items=items)


def test_each_stage_has_the_time_between_its_ends(tell: Tell) -> None:
    run = tell(
        [
            order(5, "cut", match_s=0.5),
            end("cut", 17, 19, launch_s=1.0, wall_s=8.0, check_s=0.25),
        ]
    )
    (cut,) = stages_of(run)
    assert (cut.task, cut.attempt, cut.executable) == ("cut", 1, "cut")
    assert rounded(cut.seconds) == {
        "queue": 4.5,  # ready with the run, ordered after 5 s of which 0.5 s are the runner's
        "match": 0.5,
        "carry": 2.75,  # 17 - 0.25 - 8 - 1 - 5
        "launch": 1.0,
        "run": 8.0,
        "check": 0.25,
        "register": 2.0,
    }
    assert sum(cut.seconds.values()) == pytest.approx(19)


def test_a_task_is_ready_when_the_runner_knows_what_it_waits_for(tell: Tell) -> None:
    run = tell(
        [
            order(0, "cut"),
            end("cut", 4, 6, wall_s=4.0),
            split(at_s=6.5, count=1),
            order(8, "each.iterations.1.clean"),
            end("each.iterations.1.clean", 9, 9, wall_s=1.0),
        ]
    )
    assert rounded(stages_of(run)[1].seconds) == {"queue": 1.5, "run": 1.0}


def test_a_task_is_ready_when_the_receipt_of_its_producer_is_noted() -> None:
    flow = chain.trace().flow
    started = RunStarted(
        at_s=T0, run=RunId("r"), flow=flow, inputs={}, place=PLACE, journal_version=JOURNAL_VERSION
    )
    events = [
        started,
        order(0, "first"),
        end("first", 4, 6, wall_s=4.0),
        order(6.5, "second", match_s=0.5),
        end("second", 9, 9, wall_s=2.5),
    ]
    one, two = stages_told_by(events)
    assert rounded(one.seconds) == {"run": 4.0, "register": 2.0}
    assert rounded(two.seconds) == {"match": 0.5, "run": 2.5}


def test_an_attempt_of_a_bundle_waits_behind_those_before_it(tell: Tell) -> None:
    one, two = "each.iterations.1.clean", "each.iterations.2.clean"
    run = tell(
        [
            order(0, "cut"),
            end("cut", 1, 1, wall_s=1.0),
            split(at_s=1, count=2),
            order(1, one, two),
            end(one, 4, 4, wall_s=3.0),
            end(two, 9, 9, wall_s=4.5),
        ]
    )
    assert rounded(stages_of(run)[2].seconds) == {"behind": 3.0, "carry": 0.5, "run": 4.5}


def test_a_retry_begins_when_the_failure_is_known(tell: Tell) -> None:
    failure = Failure(kind=FailureKind.EXIT, message="no", exit_code=1)
    erred = TaskErred(
        at_s=T0 + 3, task=TaskId("cut"), attempt=1, failure=failure, noted_s=T0 + 4,
        profile=Profile(wall_s=3.0),
    )  # fmt: skip
    run = tell([order(0, "cut"), erred])
    assert [rounded(one.seconds) for one in stages_of(run)] == [{"run": 3.0, "register": 1.0}]


def test_clocks_that_differ_make_no_stage_negative(tell: Tell) -> None:
    run = tell([order(5, "cut"), end("cut", 2, 1, wall_s=1.0, launch_s=0.1)])
    assert min(stages_of(run)[0].seconds.values()) == 0.0


def test_journals_of_before_have_no_time_for_what_was_not_written(tell: Tell) -> None:
    event = TaskSucceeded(at_s=T0 + 3, task=TaskId("cut"), attempt=1, profile=Profile(wall_s=2.0))
    run = tell([order(0, "cut"), event])
    assert rounded(stages_of(run)[0].seconds) == {"carry": 1.0, "run": 2.0}


def test_the_share_of_the_engine_leaves_waiting_out(tell: Tell) -> None:
    run = tell([order(50, "cut", match_s=0.5), end("cut", 60.0, 60.5, wall_s=9.0, launch_s=1.0)])
    (total,) = totals(stages_of(run))
    assert total.engine_s == pytest.approx(2.0)
    assert total.engine_share == pytest.approx(2 / 11)
    assert together([total]).seconds == total.seconds


def test_a_bar_has_a_part_for_each_stage_that_took_time(done: Run) -> None:
    parts = totals(stages_of(done))
    drawn = stage_bars(parts)
    assert drawn.count("<rect") == sum(seconds > 0 for p in parts for seconds in p.seconds.values())
    assert "clean: run 3.0 s on average" in drawn
    assert stage_bars([]) == ""


def test_what_was_used_is_drawn_as_a_share_of_what_was_asked(done: Run) -> None:
    drawn = usage_bars(usage_of(done))
    assert "cut: 10 % in the middle, 10 % at most" in drawn  # 100 MB of 1 GB
    assert "cut: 50 % in the middle" in drawn  # half a core of one
    assert usage_bars([]) == ""
