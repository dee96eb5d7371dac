"""Why tasks stand where they stand: one line for all that share a reason."""

from typing import Any

from euclid_dask.core.attempts import Failure, FailureKind, Place
from euclid_dask.core.events import (
    JOURNAL_VERSION,
    CancelRequested,
    InputFile,
    PilotJoined,
    RunEnded,
    RunOptions,
    RunStarted,
    SplitExpanded,
    TaskErred,
    TaskReused,
    TasksOrdered,
    TaskStarted,
    TaskSucceeded,
)
from euclid_dask.core.flow import Body
from euclid_dask.core.ids import PilotId, RunId, SplitId, TaskId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.states import RunState
from euclid_dask.planner import Fleet, Run
from euclid_dask.planner.explain import Why
from euclid_dask.report.reasons import history, not_well, rows
from euclid_dask.sim.flows import arg, body, flow, out, split, task

PLACE: Any = {"workdir": "/w", "logdir": "logs", "records": "/w/r"}
NOW_S = 100.0


def begin(top: Body, **options: Any) -> Run:
    needs = {"x": Resources(cores=2, ram_bytes=GB)}
    return Run(
        RunStarted(
            run=RunId("r"),
            flow=flow(top, needs),
            inputs={},
            place=Place(run=RunId("r"), **PLACE),
            options=RunOptions(**options),
            journal_version=JOURNAL_VERSION,
            at_s=0.0,
        )
    )


def order(run: Run, name: str, pilot: str = "p") -> dict[str, Any]:
    numbered = ((TaskId(name), run.tasks[name].attempt + 1),)
    run.apply(TasksOrdered(at_s=90.0, pilot=PilotId(pilot), tasks=numbered))
    return {"task": TaskId(name), "attempt": run.tasks[name].attempt, "at_s": 95.0}


def fail(run: Run, name: str, kind: FailureKind = FailureKind.EXIT, **fields: Any) -> None:
    failure = Failure(kind=kind, message=f"task '{name}' ended with exit code 1")
    run.apply(TaskErred(**order(run, name), failure=failure, **fields))


def fleet() -> Fleet:
    made = Fleet()
    offer = Resources(cores=2, ram_bytes=8 * GB)
    made.apply(PilotJoined(pilot=PilotId("p"), offer=offer, slots=8, host="h", at_s=1.0))
    return made


def told(run: Run, *names: str, is_carried: bool = True) -> list[str]:
    tasks = [run.tasks[name] for name in names] if names else not_well(run)
    found = rows(run, tasks, fleet(), NOW_S, is_carried=is_carried)
    return [row.text() for row in found]


def test_every_state_has_its_sentence() -> None:
    nodes = [task(name) for name in ("a", "b", "c", "d", "e")]
    run = begin(body(*nodes, task("f", x=out("c"), y=out("e")), r=out("f")), skip=("e",))
    order(run, "a")
    run.apply(TaskStarted(**order(run, "b")))
    fail(run, "c")
    run.apply(TaskReused(at_s=1.0, task=TaskId("d"), identity="i", outputs={}, run=RunId("q")))
    assert told(run, "a") == ["a: ordered: was given to p, and has not been seen to start"]
    assert told(run, "b") == ["b: running: runs on p for 5 s"]
    assert told(run) == [
        "c: failed: task 'c' ended with exit code 1",
        "d: skipped: an earlier run made the same outputs from the same inputs",
        "e: omitted: was left out of the run by --until, --from or --skip",
        "f: blocked: needs what c would make: task 'c' ended with exit code 1",
    ]
    run.apply(TaskSucceeded(task=TaskId("b"), attempt=1, at_s=1.0))
    assert told(run, "b") == ["b: done: attempt 1 succeeded"]


def test_a_cancelled_run_says_so() -> None:
    run = begin(body(task("a"), r=out("a")))
    run.apply(CancelRequested(at_s=1.0, reason="Ctrl-C"))
    assert told(run) == ["a: ready: the run is cancelling: nothing starts any more"]
    run.apply(RunEnded(at_s=2.0, state=RunState.CANCELLED))
    assert told(run, is_carried=False) == ["a: cancelled: was cancelled: Ctrl-C"]


def of_branches() -> Run:
    inner = body(task("v", i=arg("item")), task("w", i=out("v")), inputs=("item",), r=out("w"))
    each = split("s", inner, over="item", item=out("make", "items"))
    run = begin(body(task("make"), each, task("g", x=out("s", "r")), r=out("g")))
    run.apply(TaskSucceeded(**order(run, "make")))
    items = tuple(InputFile(path=f"{number}.txt") for number in range(4))
    run.apply(SplitExpanded(at_s=1.0, split=SplitId("s"), items=items))
    return run


def test_thousands_of_branches_share_a_line() -> None:
    run = of_branches()
    order(run, "s.iterations.1.v")
    order(run, "s.iterations.2.v")
    each, every = "s.iterations.{}.w", "s.iterations.*.v"
    assert told(run) == [
        "g: waiting: waits for s (open)",
        f"2 tasks ({each.format(1)}, {each.format(2)}): waiting: waits for {every} (ordered)",
        "2 tasks (s.iterations.3.v, s.iterations.4.v): ready: p has 0 free cores of 2",
        f"2 tasks ({each.format(3)}, {each.format(4)}): waiting: waits for {every} (ready)",
    ]


def test_what_a_split_that_failed_blocks_is_told_with_its_reason() -> None:
    run = of_branches()
    for number in range(1, 5):
        fail(run, f"s.iterations.{number}.v")
    assert told(run, "g") == [
        "g: blocked: needs what s would join: task 's.iterations.1.v' ended with exit code 1"
    ]


def test_without_a_runner_nothing_goes_on() -> None:
    run = begin(body(task("a"), r=out("a")))
    assert told(run, is_carried=False) == ["a: ready: no runner is at work"]


def test_why_no_more_pilots_are_requested_is_told() -> None:
    offer = Resources(cores=16, ram_bytes=64 * GB, walltime_s=0)
    made = fleet()
    made.templates = {"big": PilotTemplate(name="big", offer=offer, slots=64, max_running=2)}
    run = begin(body(task("a", "x"), task("b", "x"), r=out("a")))
    order(run, "a")
    (row,) = rows(run, [run.tasks["b"]], made, NOW_S, is_carried=True)
    assert [reason.why for reason in row.reasons] == [Why.CORES, Why.LITTLE_USE]


def test_a_row_is_an_object_too() -> None:
    run = begin(body(task("a"), task("b"), r=out("a")))
    (row,) = rows(run, not_well(run), fleet(), NOW_S, is_carried=True)
    assert row.as_json() == {
        "state": "ready",
        "count": 2,
        "reasons": [{"why": "soon", "text": "p has room: it starts there in the next turn"}],
        "tasks": ["a", "b"],
    }


def test_a_second_try_has_a_history() -> None:
    run = begin(body(task("a"), r=out("a")))
    larger = Resources(ram_bytes=2 * GB)
    fail(run, "a", FailureKind.MEMORY, larger=larger)
    fail(run, "a", FailureKind.SYSTEM, host="h")
    assert history(run.tasks["a"]) == {
        "attempt 2": "task 'a' ended with exit code 1",
        "asks for": "1 cores, 2 GB of RAM, 1 h, after it had too little",
        "avoids": "h",
    }
    assert history(begin(body(task("a"), r=out("a"))).tasks["a"]) == {}
