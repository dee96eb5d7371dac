"""The static part of a run: its steps, and what is left out of it."""

from collections.abc import Callable
from typing import Any

import pytest

from euclid_dask.core.events import InputFile
from euclid_dask.core.flow import Body, Constant
from euclid_dask.core.resources import Resources
from euclid_dask.planner.lowering import static_part
from euclid_dask.sim.flows import arg, body, out, split, task

MakeBench = Callable[..., Any]
RAW = {"raw": InputFile(path="raw.json", identity="1")}


def steps_of(run: Any, *, fuse: bool = True) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the tasks of each step and what it waits for."""
    part = static_part(run.run, fuse=fuse)
    return {s.id: (tuple(order.task for order in s.orders), s.waits_for) for s in part.steps}


def branch() -> Body:
    return body(task("w", i=arg("item")), inputs=("item",), r=out("w"))


def test_a_chain_is_one_step(bench: MakeBench) -> None:
    run = bench(body(task("a"), task("b", x=out("a")), r=out("b")))
    assert steps_of(run) == {"b": (("a", "b"), ())}
    assert steps_of(run, fuse=False) == {"a": (("a",), ()), "b": (("b",), ("a",))}
    assert static_part(run.run).results == {"r": ("b", "b/out.xml")}


@pytest.mark.parametrize(
    ("last", "needs"),
    [
        (task("b", x=out("a")), {"b": Resources(cores=2)}),
        (task("b", x=out("a"), y=out("c")), {}),
    ],
)
def test_a_chain_ends_where_needs_differ_or_others_are_awaited(
    bench: MakeBench, last: Any, needs: dict[str, Resources]
) -> None:
    run = bench(body(task("a"), task("c"), last, r=out("b")), needs=needs)
    assert steps_of(run)["b"][0] == ("b",)
    assert "a" in steps_of(run)["b"][1]


def test_a_split_over_an_input_is_static_once_its_list_is_read(bench: MakeBench) -> None:
    each = split("s", branch(), over="item", item=arg("raw"))
    top = body(each, inputs=("raw",), r=out("s", "tuplelist"), same=arg("raw"))
    run = bench(top, inputs=RAW)
    assert static_part(run.run).left_out == ("s",)
    run.expand("s", "x", "y")
    part = static_part(run.run)
    assert part.results == {"r": ("s", "s.reduce/tuplelist.json"), "same": ("", "raw.json")}
    assert part.steps[-1].entries == ("s.iterations.1.w/out.xml", "s.iterations.2.w/out.xml")
    assert part.steps[-1].waits_for == ("s.iterations.1.w", "s.iterations.2.w")


def test_what_follows_a_split_over_a_made_list_is_left_out(bench: MakeBench) -> None:
    each = split("s", branch(), over="item", item=out("make", "items"))
    last = task("end", x=out("s", "tuplelist"))
    run = bench(body(task("make"), each, last, r=out("end"), l=out("s", "tuplelist")))
    part = static_part(run.run)
    assert part.left_out == ("end", "s")
    assert part.results == {}


def test_a_constant_is_no_result(bench: MakeBench) -> None:
    run = bench(body(task("a"), r=out("a"), text=Constant(text="5")))
    assert static_part(run.run).results == {"r": ("a", "a/out.xml")}


def test_what_was_left_out_is_there_and_no_step(bench: MakeBench) -> None:
    run = bench(body(task("a"), task("b", x=out("a")), r=out("b")), from_=("b",))
    assert steps_of(run) == {"b": (("b",), ())}
