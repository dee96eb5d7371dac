"""When nothing needs a temporary output any more, event by event; whole runs: test_removal."""

from typing import Any

import pytest

from euclid_dask.core.attempts import Fingerprint, Profile
from euclid_dask.core.effects import RemoveOutputs
from euclid_dask.core.events import (
    InputFile,
    OutputsMissed,
    OutputsRemoved,
    SplitExpanded,
    TaskSucceeded,
)
from euclid_dask.core.ids import RunId, SplitId, TaskId
from euclid_dask.planner.retention import Retention, lasting
from euclid_dask.sim.flows import arg, body, nested, out, split, task

SHARED = body(
    task("make"), task("use", a=out("make")), task("last", a=out("make")), result=out("last")
)
MAKE_GOES = [RemoveOutputs(run=RunId("r"), task=TaskId("make"), ports=("out",))]


class Kept:
    """A run whose events are told to its retention as well."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.retention = Retention(bench.run)

    def succeed(self, *names: str) -> None:
        for name in names:
            self.bench.succeed(name)
            attempt = self.bench.run.tasks[name].attempt
            self.retention.note(
                TaskSucceeded(at_s=1.0, task=TaskId(name), attempt=attempt, profile=Profile())
            )

    def miss(self, name: str) -> None:
        event = OutputsMissed(at_s=1.0, task=TaskId(name), reason="it is gone")
        self.bench.apply(event)
        self.retention.note(event)

    def expand(self, name: str, *items: str) -> None:
        self.bench.expand(name, *items)
        files = tuple(InputFile(path=item) for item in items)
        self.retention.note(SplitExpanded(at_s=1.0, split=SplitId(name), items=files))

    def due(self) -> list[RemoveOutputs]:
        return self.retention.due()


@pytest.fixture
def kept(bench: Any) -> Kept:
    return Kept(bench(SHARED, temporary=("make",)))


def test_an_output_is_due_once_when_its_last_user_is_done(kept: Kept) -> None:
    kept.succeed("make", "use")
    assert kept.due() == []
    kept.succeed("last")
    assert kept.due() == MAKE_GOES
    assert kept.due() == []


def test_a_user_that_is_to_run_again_keeps_what_was_nearly_gone(kept: Kept) -> None:
    kept.succeed("make", "use", "last")
    kept.miss("use")
    assert kept.due() == []
    kept.succeed("use")
    assert kept.due() == MAKE_GOES


def test_what_is_to_be_made_again_does_not_go(kept: Kept) -> None:
    kept.succeed("make", "use", "last")
    kept.miss("make")
    assert kept.due() == []


def test_what_went_before_is_not_due_again(kept: Kept) -> None:
    kept.succeed("make", "use", "last")
    gone = Fingerprint(path="make/out.xml", size=1, mtime_ns=1)
    kept.bench.apply(OutputsRemoved(at_s=1.0, task=TaskId("make"), files=(gone,)))
    assert Retention(kept.bench.run).due() == []


def test_two_splits_over_one_list_hold_what_its_branches_made(bench: Any) -> None:
    branch = body(task("work", a=arg("item")), inputs=("item",), r=out("work"))
    again = body(task("more", a=arg("item")), inputs=("item",), r=out("more"))
    kept = Kept(
        bench(
            body(
                split("s", branch, over="item", item=arg("raw")),
                split("t", again, over="item", item=out("s", "tuplelist")),
                split("u", again, over="item", item=out("s", "tuplelist")),
                inputs=("raw",),
                result=out("t", "tuplelist"),
            ),
            temporary=("work",),
            inputs={"raw": InputFile(path="raw.json")},
        )
    )
    kept.expand("s", "x")
    kept.succeed("s.iterations.1.work")
    kept.bench.join("s")
    for name in ("t", "u"):
        assert kept.due() == []
        kept.expand(name, "s.iterations.1.work/out.xml")
        kept.succeed(f"{name}.iterations.1.more")
    assert [effect.task for effect in kept.due()] == ["s.iterations.1.work"]


def test_what_a_block_in_a_block_hands_on_as_a_result_lasts(bench: Any) -> None:
    inner = body(inputs=("y",), r=arg("y"))
    outer = body(nested("inner", inner, y=arg("x")), inputs=("x",), r=out("inner", "r"))
    top = body(task("make"), nested("outer", outer, x=out("make")), result=out("outer", "r"))
    run = bench(top, temporary=("make",)).run
    made = {"out": Fingerprint(path="make/out.xml", size=1, mtime_ns=1)}
    assert lasting(run, run.tasks["make"], made) == made


def test_what_a_block_in_a_block_only_uses_goes(bench: Any) -> None:
    inner = body(task("use", a=arg("y")), inputs=("y",), r=out("use"))
    outer = body(nested("inner", inner, y=arg("x")), inputs=("x",), r=out("inner", "r"))
    top = body(task("make"), nested("outer", outer, x=out("make")), result=out("outer", "r"))
    run = bench(top, temporary=("make",)).run
    made = {"out": Fingerprint(path="make/out.xml", size=1, mtime_ns=1)}
    assert lasting(run, run.tasks["make"], made) == {}


def test_what_was_made_twice_goes_once(kept: Kept) -> None:
    kept.succeed("make")
    kept.miss("make")
    kept.succeed("make", "use", "last")
    assert kept.due() == MAKE_GOES
    assert kept.due() == []


@pytest.mark.parametrize("kind", ["block", "split"])
def test_what_leaves_the_pipeline_from_within_lasts(bench: Any, kind: str) -> None:
    inside = body(task("make", a=arg("x")), inputs=("x",), r=out("make"))
    if kind == "block":
        top = body(nested("in", inside, x=arg("raw")), inputs=("raw",), result=out("in", "r"))
    else:
        node = split("in", inside, over="x", x=arg("raw"))
        top = body(node, inputs=("raw",), result=out("in", "tuplelist"))
    made_run = bench(top, temporary=("make",), inputs={"raw": InputFile(path="raw.json")})
    if kind == "split":
        made_run.expand("in", "x")
    [found] = made_run.run.tasks.values()
    made = {"out": Fingerprint(path=f"{found.id}/out.xml", size=1, mtime_ns=1)}
    assert lasting(made_run.run, found, made) == made


def test_a_pipeline_without_temporary_outputs_has_nothing_to_watch(bench: Any) -> None:
    kept = Kept(bench(SHARED))
    kept.succeed("make", "use", "last")
    assert not kept.retention
    assert kept.due() == []


def test_what_leaves_a_block_but_not_the_pipeline_goes(bench: Any) -> None:
    inside = body(task("make", a=arg("x")), inputs=("x",), r=out("make"))
    top = body(
        nested("in", inside, x=arg("raw")),
        task("last", a=out("in", "r")),
        inputs=("raw",),
        result=out("last"),
    )
    run = bench(top, temporary=("make",), inputs={"raw": InputFile(path="raw.fits")}).run
    made = {"out": Fingerprint(path="in.make/out.xml", size=1, mtime_ns=1)}
    assert lasting(run, run.tasks["in.make"], made) == {}
