"""What the identity of a task depends on, and what it does not."""

from collections.abc import Callable
from typing import Any

import pytest

from euclid_dask.core.effects import EndRun, ReadList, RefuseTask, ReuseTask, WriteList
from euclid_dask.core.events import InputFile, RunOptions, RunStarted
from euclid_dask.core.flow import Constant, Flow
from euclid_dask.core.ids import RunId, SplitId, TaskId
from euclid_dask.core.ports import OutputPort
from euclid_dask.core.resources import Resources
from euclid_dask.core.states import RunState
from euclid_dask.core.values import replace
from euclid_dask.planner import Run, is_due
from euclid_dask.planner.identity import parts_of, split_identity, task_identity
from euclid_dask.sim.flows import arg, body, flow, out, split, task

MakeBench = Callable[..., Any]
VERSIONS = {"a": "1", "b": "1"}
RAW = {"raw": InputFile(path="raw.fits", identity="10:1")}


def two_tasks(**inputs: Any) -> Flow:
    given = {"x": arg("raw"), **inputs}
    return flow(body(task("a", **given), task("b", y=out("a")), inputs=("raw",), r=out("b")))


def identity(bench: MakeBench, pipeline: Flow, name: str = "b", **changes: Any) -> str:
    options = changes.pop("options", RunOptions(versions=VERSIONS))
    made = bench(pipeline.body)
    started = RunStarted(
        run=RunId(changes.pop("run", "r")),
        flow=pipeline,
        inputs=changes.pop("inputs", RAW),
        place=made.run.place,
        options=options,
        journal_version=1,
        at_s=changes.pop("at_s", 0.0),
    )
    run = Run(started)
    return task_identity(run.tasks[name], run.options.versions)


def with_spec(pipeline: Flow, key: str, **changes: Any) -> Flow:
    spec = replace(pipeline.executables[key], **changes)
    return replace(pipeline, executables={**pipeline.executables, key: spec})


@pytest.mark.parametrize(
    "changes",
    [
        {"run": "another"},
        {"at_s": 99.0},
        {"options": RunOptions(versions=VERSIONS, policy="critical-path", science_retries=3)},
        {"inputs": {**RAW, "unused": InputFile(path="x")}},
    ],
)
def test_the_run_its_time_and_its_options_do_not_matter(
    bench: MakeBench, changes: dict[str, Any]
) -> None:
    assert identity(bench, two_tasks(), **changes) == identity(bench, two_tasks())


def test_where_its_outputs_go_matters(bench: MakeBench) -> None:
    other = with_spec(two_tasks(), "b", outputs=(OutputPort(name="out", mime_type="fits"),))
    assert identity(bench, other) != identity(bench, two_tasks())


def test_what_a_task_needs_does_not_matter(bench: MakeBench) -> None:
    larger = with_spec(two_tasks(), "a", needs=Resources(cores=8), where="elsewhere.py:3")
    assert identity(bench, larger) == identity(bench, two_tasks())


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": {"raw": InputFile(path="raw.fits", identity="10:2")}},
        {"inputs": {"raw": InputFile(path="other.fits", identity="10:1")}},
        {"inputs": {"raw": InputFile(path="")}},
        {"options": RunOptions(versions={"a": "2", "b": "1"})},
    ],
)
def test_inputs_and_programs_matter_to_all_that_follows(
    bench: MakeBench, changes: dict[str, Any]
) -> None:
    for name in ("a", "b"):
        changed = identity(bench, two_tasks(), name, **changes)
        assert changed != identity(bench, two_tasks(), name)


def test_the_program_of_a_later_task_does_not_matter_to_earlier_ones(bench: MakeBench) -> None:
    options = RunOptions(versions={"a": "1", "b": "2"})
    assert identity(bench, two_tasks(), "a", options=options) == identity(bench, two_tasks(), "a")


def test_the_words_of_the_command_matter_one_by_one(bench: MakeBench) -> None:
    one = with_spec(two_tasks(), "a", command=("a b",))
    two = with_spec(two_tasks(), "a", command=("a", "b"))
    assert identity(bench, one) != identity(bench, two)


def test_a_text_differs_from_a_file_of_that_name(bench: MakeBench) -> None:
    text = two_tasks(x=Constant(text="raw.fits"))
    assert identity(bench, text) != identity(bench, two_tasks())


def test_an_added_task_does_not_matter_to_the_others(bench: MakeBench) -> None:
    more = flow(
        body(
            task("a", x=arg("raw")),
            task("new", z=arg("raw")),
            task("b", y=out("a")),
            inputs=("raw",),
            r=out("b"),
        )
    )
    assert identity(bench, more) == identity(bench, two_tasks())


def test_the_parts_of_an_identity_have_names_for_people(bench: MakeBench) -> None:
    run = bench(two_tasks().body, inputs=RAW).run
    assert list(parts_of(run.tasks["a"], {})) == [
        "its command",
        "its program",
        "its outputs",
        "input x",
    ]


def split_run(bench: MakeBench, on_error: str = "skip") -> Any:
    """Return a run with a split over the joined list of a split."""
    one = body(task("w", i=arg("item")), inputs=("item",), r=out("w"))
    two = body(task("v", i=arg("item")), inputs=("item",), r=out("v"))
    top = body(
        task("make"),
        split("s", one, over="item", item=out("make", "items"), on_error=on_error),
        split("t", two, over="item", item=out("s", "tuplelist")),
        task("end", x=out("t", "tuplelist"), y=out("s", "tuplelist")),
        r=out("end"),
    )
    return bench(top)


def joined(
    bench: MakeBench, items: tuple[str, ...], failing: tuple[int, ...] = (), on_error: str = "skip"
) -> Any:
    run = split_run(bench, on_error)
    run.succeed("make")
    run.expand("s", *items)
    for number in range(1, len(items) + 1):
        name = f"s.iterations.{number}.w"
        run.err(name) if number in failing else run.succeed(name)
    run.join("s")
    entries = {n: f"s.iterations.{n}.w/out.xml" for n in range(1, len(items) + 1)}
    entries |= dict.fromkeys(failing, "")
    run.expand("t", *(e for e in entries.values() if e or on_error == "null"))
    return run


def identities(run: Any, *names: str) -> list[str]:
    return [task_identity(run.run.tasks[name], {}) for name in names]


def test_an_item_of_a_joined_list_does_not_depend_on_the_other_items(bench: MakeBench) -> None:
    first = "t.iterations.1.v"
    few, many = joined(bench, ("x", "y")), joined(bench, ("x", "y", "z"))
    assert identities(few, first) == identities(many, first)
    assert identities(few, "end") != identities(many, "end")


def test_an_item_behind_a_skipped_one_is_known_by_what_made_it(bench: MakeBench) -> None:
    run = joined(bench, ("x", "y"), failing=(1,))
    whole = joined(bench, ("x", "y"))
    made_by = run.run.splits["t"].branches[0].scope.item.identity
    assert made_by == whole.run.splits["t"].branches[1].scope.item.identity


def test_a_failed_branch_matters_to_what_uses_the_list(bench: MakeBench) -> None:
    run, whole = joined(bench, ("x", "y"), failing=(1,)), joined(bench, ("x", "y"))
    assert identities(run, "end") != identities(whole, "end")


def test_what_stands_for_a_failed_branch_matters_to_what_uses_the_list(bench: MakeBench) -> None:
    skip, null = (joined(bench, ("x", "y"), (2,), on_error) for on_error in ("skip", "null"))
    lists = [split_identity(run.run.splits["s"], {}) for run in (skip, null)]
    assert lists[0] != lists[1]


def test_a_null_entry_has_an_identity_too(bench: MakeBench) -> None:
    run = split_run(bench, "null")
    run.succeed("make")
    run.expand("s", "x")
    run.err("s.iterations.1.w")
    run.join("s")
    run.expand("t", "")
    assert run.run.splits["t"].branches[0].scope.item.identity


def test_an_effect_that_was_overtaken_is_not_due(bench: MakeBench) -> None:
    run = split_run(bench)
    r, s, make = RunId("r"), SplitId("s"), TaskId("make")
    assert is_due(run.run, ReuseTask(run=r, task=make, identity="i"))
    run.succeed("make")
    assert is_due(run.run, ReadList(run=r, split=s, path="x"))
    assert not is_due(run.run, WriteList(run=r, split=s, path="x", entries=()))
    assert not is_due(run.run, RefuseTask(run=r, task=make, reason="x"))
    assert is_due(run.run, EndRun(run=r, state=RunState.DONE))
