"""What each event does to a run."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from euclid_dask.core.attempts import Failure, FailureKind, InputArgument, OutputArgument
from euclid_dask.core.effects import (
    CancelAttempt,
    EndRun,
    ReadList,
    ReuseTask,
    WriteList,
)
from euclid_dask.core.errors import IllegalTransitionError, InputError, InternalError
from euclid_dask.core.events import (
    CancelRequested,
    InputFile,
    OutputsMissed,
    RunStarted,
    SplitFailed,
    TaskErred,
    TaskLost,
    TaskReturned,
    TaskReused,
    TasksOrdered,
    TaskStarted,
    TaskSucceeded,
    TaskUnplaceable,
)
from euclid_dask.core.flow import Body, Constant, SplitNode
from euclid_dask.core.ids import PilotId, RunId, SplitId, TaskId
from euclid_dask.core.states import RunState, TaskState
from euclid_dask.planner.identity import task_identity
from euclid_dask.planner.orders import order
from euclid_dask.sim.flows import arg, body, nested, out, split, task

MakeBench = Callable[..., Any]


def chain(*names: str) -> Body:
    """Return a body in which each task uses the output of the one before."""
    nodes = [task(names[0])]
    nodes += [task(name, before=out(last)) for last, name in pairwise(names)]
    return body(*nodes, result=out(names[-1]))


def a_split(branch: Body | None = None, **options: Any) -> SplitNode:
    """Return the split `s` over the list of `make`."""
    inner = branch or body(task("work", image=arg("item")), inputs=("item",), r=out("work"))
    return split("s", inner, over="item", item=out("make", "items"), **options)


def split_flow(branch: Body | None = None, **options: Any) -> Body:
    """Return: make -> split -> gather."""
    return body(
        task("make"),
        a_split(branch, **options),
        task("gather", all=out("s", "tuplelist")),
        result=out("gather"),
    )


# ---- tasks


def test_a_task_is_ready_when_all_of_its_inputs_exist(bench: MakeBench) -> None:
    run = bench(body(task("a"), task("b"), task("c", x=out("a"), y=out("b")), r=out("c")))
    run.succeed("a")
    assert run.state("c") == "waiting"
    run.succeed("b")
    assert run.state("c") == "ready"


def test_a_failed_task_blocks_only_what_depends_on_it(bench: MakeBench) -> None:
    run = bench(
        body(
            task("a"), task("b"), task("of_a", x=out("a")), task("of_b", x=out("b")), r=out("of_a")
        )
    )
    run.err("a")
    run.succeed("b")
    assert run.states() == {"a": "failed", "b": "done", "of_a": "blocked", "of_b": "ready"}
    assert run.run.tasks["of_a"].blocked_by == "a"


def test_what_is_blocked_names_the_task_that_failed(bench: MakeBench) -> None:
    run = bench(chain("a", "b", "c"))
    run.err("a")
    assert run.run.tasks["c"].blocked_by == "a"


def test_science_failures_and_losses_have_budgets_of_their_own(bench: MakeBench) -> None:
    run = bench(chain("a"), science_retries=1, lost_retries=2)
    run.err("a")
    run.lose("a")
    run.lose("a")
    assert run.state("a") == "ready"
    run.err("a")
    assert run.state("a") == "failed"


def test_a_task_that_is_lost_too_often_fails(bench: MakeBench) -> None:
    run = bench(chain("a"), lost_retries=1)
    run.lose("a")
    run.lose("a")
    assert run.state("a") == "failed"
    assert run.run.tasks["a"].failure.kind is FailureKind.LOST


def test_news_of_an_older_attempt_is_dropped(bench: MakeBench) -> None:
    run = bench(chain("a"))
    run.lose("a")
    run.order("a")
    run.apply(TaskSucceeded(at_s=1.0, task=TaskId("a"), attempt=1))
    assert run.state("a") == "ordered"


def test_news_of_a_task_that_ended_is_dropped(bench: MakeBench) -> None:
    run = bench(chain("a"))
    run.succeed("a")
    late, failure = TaskId("a"), Failure(kind=FailureKind.EXIT, message="it failed")
    run.apply(TaskStarted(at_s=9.0, task=late, attempt=1))
    run.apply(TaskReturned(at_s=9.0, task=late, attempt=1))
    run.apply(TaskErred(at_s=9.0, task=late, attempt=1, failure=failure))
    run.apply(TaskLost(at_s=9.0, task=late, attempt=1, reason="late"))
    assert run.state("a") == "done"


def test_a_chain_in_one_bundle_goes_back_when_its_head_is_lost(bench: MakeBench) -> None:
    run = bench(chain("a", "b", "c"))
    run.order("a", "b", "c")
    run.start("a")
    run.lose("a")
    run.give_back("b")
    run.give_back("c")
    assert run.states() == {"a": "ready", "b": "waiting", "c": "waiting"}
    assert not run.run.bundles


def test_a_returned_task_whose_input_failed_is_blocked(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    run.order("a", "b")
    run.err("a")
    run.give_back("b")
    assert run.states() == {"a": "failed", "b": "blocked"}


def test_a_returned_task_whose_inputs_exist_is_ready(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    run.order("a", "b")
    run.succeed("a")
    run.give_back("b")
    assert run.state("b") == "ready"


def test_a_bundle_holds_its_place_until_its_last_attempt_ends(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    run.order("a", "b")
    run.succeed("a")
    assert run.run.usage[PilotId("p")].slots == 1
    run.succeed("b")
    assert run.run.usage[PilotId("p")].slots == 0


def test_a_task_whose_input_is_gone_waits_until_it_is_made_anew(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    run.succeed("a")
    run.apply(OutputsMissed(at_s=1.0, task=TaskId("a"), reason="gone"))
    assert run.states() == {"a": "ready", "b": "waiting"}
    run.succeed("a")
    assert run.state("b") == "ready"


def test_a_loss_while_an_input_is_made_anew_does_not_start_the_task(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    run.succeed("a")
    run.order("b")
    run.apply(OutputsMissed(at_s=1.0, task=TaskId("a"), reason="gone"))
    run.lose("b")
    assert run.states() == {"a": "ready", "b": "waiting"}


def test_outputs_missed_twice_are_made_anew_once(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    run.succeed("a")
    for _ in range(2):
        run.apply(OutputsMissed(at_s=1.0, task=TaskId("a"), reason="gone"))
    assert run.states() == {"a": "ready", "b": "waiting"}


def test_a_task_that_no_earlier_work_stands_for_stays_ready_and_tells_why(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    run.apply(OutputsMissed(at_s=1.0, task=TaskId("a"), reason="it is gone"))
    assert run.states() == {"a": "ready", "b": "waiting"}
    assert run.run.missed == {"a": "it is gone"}


def test_work_made_anew_leaves_what_used_it_done(bench: MakeBench) -> None:
    run = bench(body(task("a"), task("b", x=out("a")), task("c", x=out("a")), r=out("b")))
    run.succeed("a")
    run.succeed("b")
    run.apply(OutputsMissed(at_s=1.0, task=TaskId("a"), reason="gone"))
    run.succeed("a")
    assert run.states() == {"a": "done", "b": "done", "c": "ready"}


def test_a_reused_task_counts_as_finished(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    run.apply(TaskReused(at_s=1.0, task=TaskId("a"), identity="i", outputs={}, run=RunId("before")))
    assert run.states() == {"a": "skipped", "b": "ready"}
    assert run.run.tasks["a"].identity == "i"


def test_a_task_killed_from_outside_is_tried_again(bench: MakeBench) -> None:
    run = bench(chain("a"), lost_retries=1)
    run.err("a", FailureKind.CANCELLED)
    assert run.state("a") == "ready"


def test_the_mean_duration_of_an_executable_is_known(bench: MakeBench) -> None:
    run = bench(body(task("a", "x"), task("b", "x"), r=out("a")))
    run.succeed("a", wall_s=1.0)
    run.succeed("b", wall_s=3.0)
    assert (run.run.durations["x"].count, run.run.durations["x"].mean_s) == (2, 2.0)


def test_an_illegal_event_is_refused(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    run.succeed("a")
    with pytest.raises(IllegalTransitionError):
        run.run.apply(TasksOrdered(at_s=1.0, pilot=PilotId("p"), tasks=((TaskId("a"), 2),)))


def test_a_run_starts_once(bench: MakeBench) -> None:
    run = bench(chain("a"))
    again = RunStarted(
        run=RunId("r"),
        flow=run.run.flow,
        inputs={},
        place=run.run.place,
        journal_version=1,
        at_s=1.0,
    )
    with pytest.raises(InternalError, match="a second start"):
        run.run.apply(again)


def test_a_task_that_fits_no_pilot_fails_with_the_reason(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    run.apply(TaskUnplaceable(at_s=1.0, task=TaskId("a"), reason="too large"))
    assert run.states() == {"a": "failed", "b": "blocked"}
    assert run.run.tasks["a"].failure.message == "too large"


# ---- splits


def test_a_split_plants_a_branch_for_each_element_numbered_from_1(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.succeed("make")
    assert run.state("s") == "reading"
    run.expand("s", "x", "y")
    assert list(run.run.tasks)[2:] == ["s.iterations.1.work", "s.iterations.2.work"]
    assert run.state("s") == "open"


def test_a_split_is_joined_in_the_order_of_its_list(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.succeed("make")
    run.expand("s", "x", "y")
    run.succeed("s.iterations.2.work")
    run.succeed("s.iterations.1.work")
    assert run.decide() == [
        WriteList(
            run=RunId("r"),
            split=SplitId("s"),
            path="s.reduce/tuplelist.json",
            entries=("s.iterations.1.work/out.xml", "s.iterations.2.work/out.xml"),
        )
    ]
    run.join("s")
    assert run.state("gather") == "ready"


def test_an_empty_list_is_joined_at_once(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.succeed("make")
    run.expand("s")
    (effect,) = run.decide()
    assert isinstance(effect, WriteList)
    assert effect.entries == ()


def test_the_list_of_a_split_is_read_when_it_exists(bench: MakeBench) -> None:
    run = bench(split_flow())
    assert run.decide() == []
    run.succeed("make")
    assert run.decide() == [ReadList(run=RunId("r"), split=SplitId("s"), path="make/items.json")]


def test_a_failed_branch_fails_the_join_and_lets_its_siblings_go_on(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.succeed("make")
    run.expand("s", "x", "y")
    run.err("s.iterations.1.work")
    assert run.state("s") == "blocked"
    assert run.state("gather") == "blocked"
    assert run.state("s.iterations.2.work") == "ready"
    run.succeed("s.iterations.2.work")
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.FAILED)]


@pytest.mark.parametrize(
    ("on_error", "entries"),
    [
        ("skip", ("s.iterations.2.work/out.xml",)),
        ("null", (None, "s.iterations.2.work/out.xml")),
    ],
)
def test_a_tolerated_branch_is_left_out_or_null(
    bench: MakeBench, on_error: str, entries: tuple[str | None, ...]
) -> None:
    run = bench(split_flow(on_error=on_error))
    run.succeed("make")
    run.expand("s", "x", "y")
    run.err("s.iterations.1.work")
    run.succeed("s.iterations.2.work")
    (effect,) = run.decide()
    assert isinstance(effect, WriteList)
    assert effect.entries == entries
    run.join("s")
    run.succeed("gather")
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.DONE)]


def test_too_many_failed_branches_fail_the_split(bench: MakeBench) -> None:
    run = bench(split_flow(on_error="skip", max_failed_fraction=0.5))
    run.succeed("make")
    run.expand("s", "x", "y", "z")
    run.err("s.iterations.1.work")
    run.err("s.iterations.2.work")
    assert run.state("s") == "open"
    run.succeed("s.iterations.3.work")
    assert run.state("s") == "blocked"
    assert run.run.splits["s"].failure == "2 of 3 branches failed; max_failed_fraction is 0.5"
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.FAILED)]


def test_the_largest_failed_fraction_itself_is_put_up_with(bench: MakeBench) -> None:
    run = bench(split_flow(on_error="skip", max_failed_fraction=0.5))
    run.succeed("make")
    run.expand("s", "x", "y")
    run.err("s.iterations.1.work")
    run.succeed("s.iterations.2.work")
    assert run.state("s") == "joining"


def test_a_body_with_several_results_joins_to_a_list_of_lists(bench: MakeBench) -> None:
    branch = body(task("w", i=arg("item")), inputs=("item",), a=out("w", "one"), b=out("w", "two"))
    run = bench(split_flow(branch))
    run.succeed("make")
    run.expand("s", "x")
    run.succeed("s.iterations.1.w")
    (effect,) = run.decide()
    assert effect.entries == (("s.iterations.1.w/one.xml", "s.iterations.1.w/two.xml"),)


def test_a_branch_may_return_its_element_or_an_absent_argument(bench: MakeBench) -> None:
    branch = body(inputs=("item", "extra"), a=arg("item"), b=arg("extra"))
    run = bench(split_flow(branch))
    run.succeed("make")
    run.expand("s", "x")
    (effect,) = run.decide()
    assert effect.entries == (("x", None),)


def test_other_arguments_are_the_same_for_all_branches(bench: MakeBench) -> None:
    branch = body(task("w", i=arg("item"), p=arg("par")), inputs=("item", "par"), r=out("w"))
    top = body(
        task("make"),
        task("par"),
        split("s", branch, over="item", item=out("make", "items"), par=out("par")),
        r=out("s", "tuplelist"),
    )
    run = bench(top)
    run.succeed("make")
    run.expand("s", "x", "y")
    assert run.state("s.iterations.1.w") == "waiting"
    run.succeed("par")
    assert run.state("s.iterations.1.w") == run.state("s.iterations.2.w") == "ready"


def test_branches_planted_after_their_argument_failed_are_blocked(bench: MakeBench) -> None:
    branch = body(task("w", i=arg("item"), p=arg("par")), inputs=("item", "par"), r=out("w"))
    top = body(
        task("make"),
        task("par"),
        split("s", branch, over="item", item=out("make", "items"), par=out("par")),
        task("end", x=out("s", "tuplelist")),
        r=out("end"),
    )
    run = bench(top)
    run.err("par")
    run.succeed("make")
    run.expand("s", "x")
    assert run.state("s.iterations.1.w") == run.state("s") == run.state("end") == "blocked"


def test_a_split_over_a_failed_list_is_blocked(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.err("make")
    assert run.state("s") == run.state("gather") == "blocked"


def test_an_inner_split_is_planted_with_each_branch(bench: MakeBench) -> None:
    inner = split(
        "in", body(task("w", i=arg("item")), inputs=("item",), r=out("w")),
        over="item", item=out("list", "items"),
    )  # fmt: skip
    branch = body(task("list", i=arg("item")), inner, inputs=("item",), r=out("in", "tuplelist"))
    run = bench(split_flow(branch))
    run.succeed("make")
    run.expand("s", "x")
    run.succeed("s.iterations.1.list")
    run.expand("s.iterations.1.in", "u", "v")
    run.succeed("s.iterations.1.in.iterations.1.w")
    run.succeed("s.iterations.1.in.iterations.2.w")
    run.join("s.iterations.1.in")
    (effect,) = run.decide()
    assert effect.entries == ("s.iterations.1.in.reduce/tuplelist.json",)


def test_an_inner_split_over_a_failed_list_fails_its_branch(bench: MakeBench) -> None:
    inner = split(
        "in", body(task("w", i=arg("item")), inputs=("item",), r=out("w")),
        over="item", item=arg("list"),
    )  # fmt: skip
    branch = body(inner, inputs=("item", "list"), r=out("in", "tuplelist"))
    top = body(
        task("make"),
        task("list"),
        split("s", branch, over="item", item=out("make", "items"), list=out("list", "items")),
        r=out("s", "tuplelist"),
    )
    run = bench(top)
    run.err("list")
    run.succeed("make")
    run.expand("s", "x")
    assert run.state("s.iterations.1.in") == run.state("s") == "blocked"


def test_a_nested_block_adds_a_prefix_and_no_barrier(bench: MakeBench) -> None:
    block = body(task("x", i=arg("i")), task("y", i=arg("j")), inputs=("i", "j"), o=out("y"))
    top = body(
        task("a"), task("b"), nested("n", block, i=out("a"), j=out("b")),
        task("c", x=out("n", "o")), r=out("c"),
    )  # fmt: skip
    run = bench(top)
    run.succeed("b")
    assert run.states() == {
        "a": "ready", "b": "done", "n.x": "waiting", "n.y": "ready", "c": "waiting",
    }  # fmt: skip


def test_an_output_that_a_block_does_not_have_is_our_mistake(bench: MakeBench) -> None:
    block = body(task("x"), o=out("x"))
    with pytest.raises(InternalError, match="has no output 'wrong'"):
        bench(body(nested("n", block), task("c", x=out("n", "wrong")), r=out("c")))


def test_an_unused_split_is_carried_out(bench: MakeBench) -> None:
    run = bench(body(task("make"), a_split(), r=out("make", "items")))
    run.succeed("make")
    run.expand("s", "x")
    run.succeed("s.iterations.1.work")
    run.join("s")
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.DONE)]


def test_a_failed_side_effect_in_a_branch_fails_the_run_but_not_the_join(bench: MakeBench) -> None:
    branch = body(
        task("work", i=arg("item")), task("note", i=arg("item")), inputs=("item",), r=out("work")
    )
    run = bench(body(task("make"), a_split(branch), r=out("s", "tuplelist")))
    run.succeed("make")
    run.expand("s", "x")
    run.err("s.iterations.1.note")
    run.succeed("s.iterations.1.work")
    run.join("s")
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.FAILED)]


def test_a_list_that_cannot_be_read_fails_the_split(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.succeed("make")
    run.apply(SplitFailed(at_s=1.0, split=SplitId("s"), reason="it is XML"))
    assert run.state("gather") == "blocked"
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.FAILED)]


def test_a_list_that_is_gone_is_read_again_when_it_was_made_anew(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.succeed("make")
    run.apply(OutputsMissed(at_s=1.0, task=TaskId("make"), reason="gone"))
    assert run.state("s") == "waiting"
    run.succeed("make")
    assert run.state("s") == "reading"


def test_a_result_that_is_gone_opens_the_join_again(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.succeed("make")
    run.expand("s", "x", "y")
    run.succeed("s.iterations.1.work")
    run.succeed("s.iterations.2.work")
    run.join("s")
    run.apply(OutputsMissed(at_s=1.0, task=TaskId("s.iterations.1.work"), reason="gone"))
    assert (run.state("s"), run.state("gather")) == ("open", "waiting")
    run.succeed("s.iterations.1.work")
    assert run.state("s") == "joining"


def test_a_result_that_is_gone_while_others_run_is_awaited_again(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.succeed("make")
    run.expand("s", "x", "y")
    run.succeed("s.iterations.1.work")
    run.apply(OutputsMissed(at_s=1.0, task=TaskId("s.iterations.1.work"), reason="gone"))
    run.succeed("s.iterations.2.work")
    assert run.state("s") == "open"


def test_two_calls_of_an_executable_may_use_different_inputs(bench: MakeBench) -> None:
    top = body(task("a"), task("one", "x", p=out("a")), task("two", "x", q=out("a")), r=out("one"))
    run = bench(top)
    one = order(run.run.tasks["one"], 1)
    assert [argument.port for argument in one.inputs] == ["p"]
    run.succeed("a")
    assert (run.state("one"), run.state("two")) == ("ready", "ready")


def test_an_order_names_files_texts_and_lists_and_leaves_out_what_is_absent(
    bench: MakeBench,
) -> None:
    last = task("end", all=out("s", "tuplelist"), n=Constant(text="5"), no=arg("none"))
    run = bench(body(task("make"), a_split(), last, inputs=("none",), r=out("end")))
    made = order(run.run.tasks["end"], 3)
    assert made.inputs == (
        InputArgument(port="all", text="s.reduce/tuplelist.json"),
        InputArgument(port="n", text="5", is_file=False),
    )
    assert made.outputs == (OutputArgument(port="out", path="end/out.xml", mime_type="xml"),)
    assert made.attempt == 3


def test_a_result_that_is_gone_before_the_join_is_written_stops_the_writing(
    bench: MakeBench,
) -> None:
    run = bench(split_flow())
    run.succeed("make")
    run.expand("s", "x")
    run.succeed("s.iterations.1.work")
    run.apply(OutputsMissed(at_s=1.0, task=TaskId("s.iterations.1.work"), reason="gone"))
    assert run.state("s") == "open"


# ---- the end, cancelling, resuming


def test_a_run_ends_when_nothing_is_left(bench: MakeBench) -> None:
    run = bench(chain("a"))
    assert run.decide() == []
    run.succeed("a")
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.DONE)]
    run.end(RunState.DONE)
    assert run.decide() == []
    assert run.run.outputs() == {"result": "a/out.xml"}


def test_an_ended_run_takes_no_request_to_cancel(bench: MakeBench) -> None:
    run = bench(chain("a"))
    run.succeed("a")
    run.end(RunState.DONE)
    run.apply(CancelRequested(at_s=1.0, reason="late"))
    assert run.run.state is RunState.DONE


def test_a_graceful_cancel_ends_what_was_not_started_and_awaits_the_rest(bench: MakeBench) -> None:
    run = bench(body(task("a"), task("b"), task("c"), r=out("a")))
    run.pilot()
    run.order("a")
    run.order("b")
    run.start("a")
    run.apply(CancelRequested(at_s=1.0, reason="Ctrl-C"))
    assert run.decide() == [
        CancelAttempt(run=RunId("r"), task=TaskId("b"), attempt=1, only_waiting=True)
    ]
    run.err("b", FailureKind.CANCELLED)
    run.succeed("a")
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.CANCELLED)]
    run.end(RunState.CANCELLED)
    assert run.states() == {"a": "done", "b": "cancelled", "c": "cancelled"}


def test_a_cancel_now_kills_what_runs(bench: MakeBench) -> None:
    run = bench(chain("a"))
    run.order("a")
    run.start("a")
    run.apply(CancelRequested(at_s=1.0, reason="once"))
    assert run.decide() == []
    run.apply(CancelRequested(at_s=2.0, reason="twice", now=True))
    assert run.decide() == [CancelAttempt(run=RunId("r"), task=TaskId("a"), attempt=1)]


def test_a_cancelled_run_reads_no_lists(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.succeed("make")
    run.apply(CancelRequested(at_s=1.0, reason="Ctrl-C"))
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.CANCELLED)]


def test_failed_blocked_and_cancelled_tasks_get_another_chance_on_resume(bench: MakeBench) -> None:
    run = bench(chain("a", "b"), science_retries=0)
    run.err("a")
    run.end(RunState.FAILED)
    run.resume()
    assert run.states() == {"a": "ready", "b": "waiting"}
    run.apply(CancelRequested(at_s=1.0, reason="Ctrl-C"))
    run.end(RunState.CANCELLED)
    run.resume()
    run.succeed("a")
    assert run.states() == {"a": "done", "b": "ready"}


def test_a_blocked_split_goes_on_with_the_branches_it_had(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.succeed("make")
    run.expand("s", "x", "y")
    run.err("s.iterations.1.work")
    run.succeed("s.iterations.2.work")
    run.end(RunState.FAILED)
    run.resume()
    assert (run.state("s"), run.state("gather")) == ("open", "waiting")
    run.succeed("s.iterations.1.work")
    assert run.state("s") == "joining"


def test_a_split_that_was_never_opened_waits_for_its_list_on_resume(bench: MakeBench) -> None:
    run = bench(split_flow())
    run.err("make")
    run.end(RunState.FAILED)
    run.resume()
    run.succeed("make")
    assert run.state("s") == "reading"


def test_an_open_split_counts_its_revived_branches(bench: MakeBench) -> None:
    run = bench(split_flow(on_error="skip"))
    run.succeed("make")
    run.expand("s", "x", "y")
    run.err("s.iterations.1.work")
    run.resume()
    assert run.state("s.iterations.1.work") == "ready"
    run.succeed("s.iterations.1.work")
    run.succeed("s.iterations.2.work")
    (effect,) = run.decide()
    assert len(effect.entries) == 2


def test_a_branch_that_a_list_was_joined_without_is_not_tried_again(bench: MakeBench) -> None:
    inner = split(
        "in", body(task("w", i=arg("item")), inputs=("item",), r=out("w")),
        over="item", item=out("list", "items"),
    )  # fmt: skip
    branch = body(task("list", i=arg("item")), inner, inputs=("item",), r=out("in", "tuplelist"))
    run = bench(split_flow(branch, on_error="skip"))
    run.succeed("make")
    run.expand("s", "x")
    run.err("s.iterations.1.list")
    run.join("s")
    run.err("gather")
    run.end(RunState.FAILED)
    run.resume()
    assert run.state("s.iterations.1.list") == "failed"
    assert run.state("s.iterations.1.in") == "blocked"
    assert run.state("gather") == "ready"


def test_finished_work_is_made_again_if_a_resume_asks_for_it(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    run.succeed("a")
    run.resume("a", "b")
    assert run.states() == {"a": "ready", "b": "waiting"}


# ---- a part of a pipeline


def test_until_leaves_out_what_comes_after(bench: MakeBench) -> None:
    run = bench(chain("a", "b", "c"), until=("b",))
    assert run.states() == {"a": "ready", "b": "waiting"}
    run.succeed("a")
    run.succeed("b")
    assert run.run.outputs() == {}
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.DONE)]


def test_from_takes_what_comes_before_to_exist(bench: MakeBench) -> None:
    run = bench(chain("a", "b", "c"), from_=("b",))
    assert run.states() == {"a": "omitted", "b": "ready", "c": "waiting"}


def test_skip_takes_outputs_to_be_given(bench: MakeBench) -> None:
    files = {"b.out": InputFile(path="mine.xml", identity="1")}
    run = bench(chain("a", "b", "c"), skip=("b",), given=files)
    run.succeed("a")
    assert run.states() == {"a": "done", "b": "omitted", "c": "ready"}
    assert run.run.tasks["b"].output_path("out") == "mine.xml"


def test_until_a_task_in_a_branch_leaves_the_list_unwritten(bench: MakeBench) -> None:
    branch = body(
        task("one", i=arg("item")), task("two", i=out("one")), inputs=("item",), r=out("two")
    )
    run = bench(split_flow(branch), until=("one",))
    run.succeed("make")
    run.expand("s", "x")
    run.succeed("s.iterations.1.one")
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.DONE)]
    assert run.run.outputs() == {}


def test_until_a_task_in_a_split_of_a_split_comes_to_an_end(bench: MakeBench) -> None:
    leaf = body(
        task("one", image=arg("file")),
        task("two", x=out("one")),
        inputs=("file",),
        r=out("two"),
    )
    inner = split("inner", leaf, over="file", file=out("list", "items"))
    branch = body(task("list", x=arg("item")), inner, inputs=("item",), r=out("inner", "tuplelist"))
    run = bench(split_flow(branch), until=("one",))
    run.succeed("make")
    run.expand("s", "x")
    run.succeed("s.iterations.1.list")
    run.expand("s.iterations.1.inner", "y")
    run.succeed("s.iterations.1.inner.iterations.1.one")
    assert run.state("s") == "done"
    assert run.decide() == [EndRun(run=RunId("r"), state=RunState.DONE)]


def test_a_split_after_until_is_not_planted(bench: MakeBench) -> None:
    inner = nested("in", body(task("w", i=arg("j")), inputs=("j",), r=out("w")), j=arg("item"))
    block = body(inner, inputs=("item",), r=out("in", "r"))
    run = bench(split_flow(block), until=("make",))
    assert not run.run.splits


def test_a_split_with_a_block_that_is_wanted_is_planted(bench: MakeBench) -> None:
    inner = nested("in", body(task("w", i=arg("j")), inputs=("j",), r=out("w")), j=arg("item"))
    block = body(inner, task("after", x=out("in", "r")), inputs=("item",), r=out("after"))
    run = bench(split_flow(block), until=("w",))
    run.succeed("make")
    run.expand("s", "x")
    assert run.states() == {"make": "done", "s.iterations.1.in.w": "ready"}


def test_a_split_over_a_list_from_before_from_is_read_at_once(bench: MakeBench) -> None:
    run = bench(split_flow(), from_=("work",))
    assert run.state("s") == "reading"


# ---- outputs


def test_an_output_may_be_an_input_of_the_pipeline(bench: MakeBench) -> None:
    top = body(
        task("a", x=arg("raw"), y=arg("none"), z=Constant(text="5")),
        inputs=("raw", "none"), same=arg("raw"), text=Constant(text="t"), lost=arg("none"),
    )  # fmt: skip
    run = bench(top, inputs={"raw": InputFile(path="raw.fits"), "none": InputFile(path="")})
    assert run.run.outputs() == {"same": "raw.fits"}


def test_a_joined_list_is_an_output_once_it_is_written(bench: MakeBench) -> None:
    run = bench(body(task("make"), a_split(), r=out("s", "tuplelist")))
    run.succeed("make")
    assert run.run.outputs() == {}
    run.expand("s")
    run.join("s")
    assert run.run.outputs() == {"r": "s.reduce/tuplelist.json"}


# ---- known work


def test_a_task_is_reused_if_its_identity_is_known(bench: MakeBench) -> None:
    run = bench(chain("a"))
    identity = task_identity(run.run.tasks["a"], {})
    assert run.decide(identity) == [ReuseTask(run=RunId("r"), task=TaskId("a"), identity=identity)]


def test_a_task_whose_outputs_were_missed_is_not_reused(bench: MakeBench) -> None:
    run = bench(chain("a"))
    run.pilot()
    identity = task_identity(run.run.tasks["a"], {})
    run.succeed("a")
    run.apply(OutputsMissed(at_s=1.0, task=TaskId("a"), reason="gone"))
    assert not [effect for effect in run.decide(identity) if isinstance(effect, ReuseTask)]


def test_a_policy_must_exist(bench: MakeBench) -> None:
    with pytest.raises(InputError, match="no policy 'best'"):
        bench(chain("a"), policy="best")


def test_tasks_are_counted_by_state(bench: MakeBench) -> None:
    run = bench(chain("a", "b"))
    assert (run.run.count(TaskState.READY), run.run.count(TaskState.DONE)) == (1, 0)
    run.order("a")
    assert [task.id for task in run.run.active] == ["a"]


def test_a_left_out_task_whose_output_is_gone_fails_and_is_left_out_again(
    bench: MakeBench,
) -> None:
    run = bench(chain("a", "b"), skip=("a",))
    run.apply(OutputsMissed(at_s=1.0, task=TaskId("a"), reason="its output is gone"))
    assert run.states() == {"a": "failed", "b": "blocked"}
    assert run.run.tasks["a"].failure.kind is FailureKind.OMITTED
    run.end(RunState.FAILED)
    run.resume()
    assert run.states() == {"a": "omitted", "b": "ready"}


def test_durations_learned_before_are_shared_too(bench: MakeBench) -> None:
    first, second = bench(chain("a")), bench(chain("a"))
    for run, wall_s in ((first, 1.0), (second, 3.0)):
        run.succeed("a", wall_s)
    shared: dict[str, Any] = {}
    first.run.share(shared)
    second.run.share(shared)
    assert [(one.count, one.mean_s) for one in shared.values()] == [(2, 2.0)]
