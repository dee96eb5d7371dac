"""Opening a flow into steps."""

import pytest

from euclid_dask.core.errors import PipelineError
from euclid_dask.core.flow import Constant, NestedNode, TaskNode
from euclid_dask.core.values import replace
from euclid_dask.dataflow.steps import Supplier, steps, tasks, unfold

BRANCH = "each.iterations.*."


def test_blocks_are_opened_and_wires_lead_from_task_to_task(build):
    found = {step.path: step for step in steps(build.vis())}
    assert list(found) == ["cut", f"{BRANCH}block.dark", f"{BRANCH}cosmics", "each", "join"]
    item, master = Supplier(path="cut", port="x"), Supplier(path="", port="m")
    assert found[f"{BRANCH}block.dark"].suppliers == {"a": item, "b": master}
    assert found[f"{BRANCH}cosmics"].suppliers == {
        "a": Supplier(path=f"{BRANCH}block.dark", port="x"),
        "b": item,
    }
    assert found["each"].suppliers == {"y": Supplier(path=f"{BRANCH}cosmics", port="x")}
    assert found["each"].iterable == item
    assert found["join"].waits_for == ("each",)


def test_a_task_in_a_branch_waits_for_the_list_even_if_it_does_not_use_it(build):
    branch = build.body(build.task("t", a="m"), inputs=("q", "m"), y="t.x")
    flow = build.flow(
        build.body(
            build.task("cut", a="i"),
            build.split("each", "q", branch, q="cut.x", m="i"),
            result="each.out",
        )
    )
    found = {step.path: step for step in steps(flow)}
    assert found[f"{BRANCH}t"].waits_for == ("cut",)
    assert found["each"].waits_for == ("cut", f"{BRANCH}t")


def test_a_split_over_a_pipeline_input_waits_for_nothing(build):
    branch = build.body(build.task("t", a="q"), inputs=("q",), y="t.x")
    flow = build.flow(build.body(build.split("each", "q", branch, q="i"), result="each.out"))
    found = {step.path: step for step in steps(flow)}
    assert found[f"{BRANCH}t"].waits_for == ()
    assert found["each"].iterable == Supplier(path="", port="i")


def test_results_are_supplied_through_blocks(build):
    flow = build.flow(
        build.body(
            build.nested("block", build.body(build.task("t", a="i"), x="t.x"), i="i"),
            result="block.x",
            same="i",
            nothing="block.unheard",
        )
    )
    assert unfold(flow).results == {
        "result": Supplier(path="block.t", port="x"),
        "same": Supplier(path="", port="i"),
    }


def test_constants_have_no_supplier(build):
    node = replace(build.task("t"), inputs={"a": Constant(text="5")})
    (step,) = steps(build.flow(build.body(node)))
    assert step.suppliers == {}


def test_nodes_in_another_order_are_put_in_order(build):
    flow = build.flow(build.body(build.task("late", a="early.x"), build.task("early", a="i")))
    assert [step.path for step in steps(flow)] == ["early", "late"]


def test_tasks_that_wait_for_each_other_are_refused_with_the_circle(build):
    flow = build.flow(
        build.body(build.task("one", a="two.x"), build.task("two", a="one.x")),
    )
    with pytest.raises(PipelineError, match="tasks wait for each other: ") as caught:
        steps(flow)
    assert caught.value.message.count("one") + caught.value.message.count("two") == 4


def test_tasks_are_listed_in_the_order_of_calls(build):
    found = tasks(build.vis())
    assert list(found) == ["cut", f"{BRANCH}block.dark", f"{BRANCH}cosmics", "join"]
    assert all(isinstance(node, TaskNode) for node in found.values())
    assert not any(isinstance(node, NestedNode) for node in found.values())
