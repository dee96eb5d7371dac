"""The outside checker accepts a clean log and names each way a run can be wrong."""

import pytest

from benchmarks.check import Record, read_log, violations
from benchmarks.workloads import Task, Workload


def diamond(**changes) -> Workload:
    """`a`, then `b` and `c`, then `d`."""
    tasks = (
        Task(id="a"),
        Task(id="b", after=("a",)),
        Task(id="c", after=("a",)),
        Task(id="d", after=("b", "c")),
    )
    values = {"name": "diamond", "question": "?", "kind": "graph", "shape": {}, "slots": 2}
    return Workload(**{**values, "seed": 1, "tasks": tasks, **changes})


def ran(task: str, start_ms: float, end_ms: float, pid: int = 0) -> list[Record]:
    pid = pid or ord(task[0])
    return [
        Record(kind="start", task=task, at_ns=int(start_ms * 1e6), pid=pid),
        Record(kind="end", task=task, at_ns=int(end_ms * 1e6), pid=pid),
    ]


GOOD = [*ran("a", 0, 1), *ran("b", 1, 2), *ran("c", 1, 3), *ran("d", 3, 4)]


def test_a_run_of_each_task_once_and_in_order_has_no_violation():
    assert violations(diamond(), GOOD, slots=2) == []


def test_a_task_that_ran_twice_is_a_violation():
    again = [*GOOD, *ran("b", 5, 6, pid=77)]
    found = violations(diamond(), again, slots=2)
    assert found == ["b: started 2 times", "b: ended 2 times"]


def test_a_task_that_never_ran_is_a_violation():
    missing = [record for record in GOOD if record.task != "d"]
    found = violations(diamond(), missing, slots=2)
    assert found == ["d: started 0 times", "d: ended 0 times"]


def test_a_task_that_was_killed_half_way_is_a_violation():
    torn = [record for record in GOOD if (record.task, record.kind) != ("c", "end")]
    assert violations(diamond(), torn, slots=2) == ["c: ended 0 times"]


def test_a_start_before_the_end_of_a_predecessor_is_a_violation():
    early = [*ran("a", 0, 1), *ran("b", 1, 2), *ran("c", 1, 3), *ran("d", 2.5, 4)]
    assert violations(diamond(), early, slots=2) == ["d: started 0.500 ms before c ended"]


def test_a_task_nobody_asked_for_is_a_violation():
    found = violations(diamond(), [*GOOD, *ran("x", 5, 6)], slots=2)
    assert found == ["x: not a task of diamond"]


def test_a_sleep_cut_short_is_a_violation():
    tasks = (Task(id="a", duration_s=0.5),)
    assert violations(diamond(tasks=tasks), ran("a", 0, 499), slots=2) == [
        "a: took less than its 0.5 s"
    ]


def test_more_tasks_at_once_than_slots_is_a_violation():
    assert violations(diamond(), GOOD, slots=1) == ["2 tasks ran at once in 1 slots"]


def test_a_start_at_the_very_end_of_another_task_shares_no_slot():
    chain = diamond(tasks=(Task(id="a"), Task(id="b", after=("a",))))
    assert violations(chain, [*ran("a", 0, 1), *ran("b", 1, 2)], slots=1) == []


def test_done_before_the_last_task_has_ended_is_a_violation():
    done = Record(kind="done", task="-", at_ns=int(3.5e6), pid=1)
    assert violations(diamond(), [*GOOD, done], slots=2) == [
        "the engine said done before the last task ended"
    ]


def test_a_torn_line_of_the_log_is_refused(tmp_path):
    log = tmp_path / "tick.log"
    log.write_text("start a 100 7\nend a 2")
    with pytest.raises(ValueError, match="not a line of the task log: 'end a 2'"):
        read_log(log)


def test_a_log_is_read_line_by_line(tmp_path):
    log = tmp_path / "tick.log"
    log.write_text("start a 100 7\nend a 200 7 350\ndone - 300 9\n")
    assert read_log(log) == (
        Record(kind="start", task="a", at_ns=100, pid=7),
        Record(kind="end", task="a", at_ns=200, pid=7, cpu_us=350),
        Record(kind="done", task="-", at_ns=300, pid=9),
    )


def test_no_log_means_that_nothing_ran(tmp_path):
    assert read_log(tmp_path / "none") == ()
