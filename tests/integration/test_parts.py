"""Parts of a pipeline: what is left out must be there, and is never said to be done."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from euclid_dask import Executable, Input, Output, api, parallel, pipeline
from euclid_dask.core.errors import InputError, PipelineError
from euclid_dask.core.ids import TaskId
from euclid_dask.core.states import TaskState
from euclid_dask.report.terminal import outcome

COPY = """python3 -c '
import sys, json
given = dict(word[2:].split("=", 1) for word in sys.argv[1:])
open(given["out"], "w").write(open(given["one"]).read())
'"""
MAKE = """python3 -c '
import sys, json
given = dict(word[2:].split("=", 1) for word in sys.argv[1:])
names = [f"data/{n}.txt" for n in range(int(open(given["one"]).read()))]
for name in names: open(name, "w").write(name)
json.dump(names, open(given["out"], "w"))
'"""


def tool(command: str, mime_type: str = "txt", content: str = "file") -> Executable:
    return Executable(
        command,
        inputs=[Input("one")],
        outputs=[Output("out", mime_type=mime_type, content_type=content)],
    )


a, b, m = tool(COPY), tool(COPY), tool(COPY)
weak_copy = tool(
    COPY.replace("given =", "import os; given =").replace(
        'open(given["out"]',
        'sys.exit(3) if os.path.exists("broken") and '
        'given["one"] == "data/1.txt" else open(given["out"]',
    )
)
no_program = tool("python3 -c 'raise SystemExit(1)'")
mk = tool(MAKE, "json", "listfile")


@parallel(iterable="e")
def ps(e):
    return b(one=a(one=e))


@parallel(iterable="e", on_error="skip")
def tolerant(e):
    return b(one=a(one=e))


@pipeline(outputs=("o",))
def with_split(n):
    return m(one=ps(e=mk(one=n)))


@pipeline(outputs=("o",))
def with_tolerance(n):
    return m(one=tolerant(e=mk(one=n)))


@parallel(iterable="e", on_error="skip")
def weak(e):
    return weak_copy(one=e)


@parallel(iterable="e", on_error="skip")
def hopes(e):
    return no_program(one=e)


@pipeline(outputs=("l",))
def list_only(n):
    return ps(e=mk(one=n))


@pipeline(outputs=("o",))
def with_weakness(n):
    return m(one=weak(e=mk(one=n)))


@pipeline(outputs=("o",))
def hopeless(n):
    return m(one=hopes(e=mk(one=n)))


@pipeline(outputs=("o",))
def plain(n):
    return b(one=a(one=n))


def run(
    folder: Path, of=with_split, given: Mapping[str, str] | None = None, **part: tuple[str, ...]
) -> api.RunResult:
    (folder / "n.txt").write_text("3")
    settings = api.Settings(executor="inline", **part)
    return api.run(of, workdir=folder / "w", n=folder / "n.txt", settings=settings, given=given)


@pytest.mark.parametrize(
    ("of", "part", "missing"),
    [
        (with_split, {"from_": ("m",)}, r"mk\.out \(mk/out\.json\)"),
        (with_split, {"from_": ("ps",)}, r"mk\.out \(mk/out\.json\)"),
        (with_split, {"skip": ("mk",)}, r"mk\.out \(mk/out\.json\)"),
        (plain, {"skip": ("a",)}, r"a\.out \(a/out\.txt\)"),
        (plain, {"from_": ("b",)}, r"a\.out \(a/out\.txt\)"),
    ],
)
def test_outputs_that_are_needed_and_not_there_are_refused_before_anything_runs(
    tmp_path: Path, of: object, part: dict[str, tuple[str, ...]], missing: str
) -> None:
    with pytest.raises(InputError, match=missing) as caught:
        run(tmp_path, of, **part)
    assert "--given" in caught.value.hint
    assert not list((tmp_path / "w").glob(".euclid-dask/*/journal.jsonl"))


@pytest.mark.parametrize("left_out", ["ps", "b"])
def test_a_list_is_not_joined_of_what_is_not_there(tmp_path: Path, left_out: str) -> None:
    result = run(tmp_path, skip=(left_out,))
    assert (result.state, result.outputs) == ("failed", {})
    assert len(result.failures) == 3
    first = result.failures[0]
    assert first.task == "ps.iterations.1.b"
    assert "is left out, and its output out (ps.iterations.1.b/out.txt) is needed" in first.reason
    assert "--given ps.iterations.1.b.out=FILE" in first.reason
    assert not (tmp_path / "w/m").exists()
    assert not (tmp_path / "w/ps.reduce").exists()


def test_what_a_split_needs_is_refused_at_once_if_its_list_is_there(tmp_path: Path) -> None:
    run(tmp_path, until=("mk",))
    with pytest.raises(InputError, match=r"ps\.iterations\.3\.b\.out"):
        run(tmp_path, from_=("m",))


def test_a_part_behind_what_was_made_runs_again_and_counts_what_it_left_out(
    tmp_path: Path,
) -> None:
    run(tmp_path)
    result = run(tmp_path, from_=("m",))
    counts = result.summary().tasks
    assert (result.state, counts.done, counts.skipped, counts.omitted) == ("done", 1, 0, 7)
    text = outcome(result.summary(), result.workdir, result.reruns)
    assert "1 of 8 tasks done, 7 omitted" in text
    assert "done by an earlier run" not in text
    assert json.loads((tmp_path / "w/m/out.txt").read_text())[2] == "ps.iterations.3.b/out.txt"


two = Executable(
    COPY, inputs=[Input("one"), Input("more")], outputs=[Output("out", mime_type="txt")]
)


@pipeline(outputs=("o", "rest"))
def two_inputs(x, items, y):
    return two(one=a(one=x), more=y), ps(e=items)


def test_inputs_of_what_is_left_out_need_not_be_given(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w/given.txt").write_text("stand-in")
    (tmp_path / "y.txt").write_text("y")
    result = two_inputs.run(
        workdir=tmp_path / "w",
        settings=api.Settings(executor="inline", from_=("two",)),
        given={"a.out": "given.txt"},
        y=tmp_path / "y.txt",
    )
    assert (result.state, result.outputs["o"].read_text()) == ("done", "stand-in")


def test_inputs_of_what_runs_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="the input 'y' is not given") as told:
        two_inputs.run(
            workdir=tmp_path / "w", settings=api.Settings(executor="inline", from_=("two",))
        )
    assert "'x'" not in str(told.value)


@pytest.mark.parametrize(
    ("start", "left_out", "again"), [("b", "a", 3), ("a", "mk", 3), ("m", "b", 1)]
)
def test_what_was_left_out_is_the_reason_to_run_again(
    tmp_path: Path, start: str, left_out: str, again: int
) -> None:
    run(tmp_path)
    reasons = [run(tmp_path, from_=(start,)).reruns, run(tmp_path).reruns]
    assert [one[f"what it needs was left out: {left_out}"] for one in reasons] == [again, again]


def test_the_rest_goes_on_when_what_was_left_out_has_been_made(tmp_path: Path) -> None:
    assert run(tmp_path, skip=("b",)).state == "failed"
    for number in (1, 2, 3):
        folder = tmp_path / f"w/ps.iterations.{number}.b"
        folder.mkdir()
        (folder / "out.txt").write_text("by hand")
    result = api.resume(tmp_path / "w", settings=api.Settings(executor="inline"))
    assert result.state == "done"
    assert result.run.tasks[TaskId("ps.iterations.1.b")].state is TaskState.OMITTED


def test_a_branch_that_failed_under_on_error_may_be_left_out_without_its_output(
    tmp_path: Path,
) -> None:
    run(tmp_path, with_tolerance)
    (tmp_path / "w/tolerant.iterations.2.b/out.txt").unlink()
    result = run(tmp_path, with_tolerance, from_=("m",))
    assert result.state == "done"
    assert len(json.loads((tmp_path / "w/m/out.txt").read_text())) == 2


def test_another_given_file_is_other_work(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    for text in ("one", "two"):
        (tmp_path / "w/mine.txt").write_text(text)
        result = run(tmp_path, plain, {"a.out": "mine.txt"}, skip=("a",))
        assert (tmp_path / "w/b/out.txt").read_text() == text
    assert run(tmp_path, plain, {"a.out": "mine.txt"}, skip=("a",)).summary().tasks.skipped == 1
    assert result.state == "done"


def test_one_file_stands_for_an_output_in_all_branches(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w/mine.txt").write_text("mine")
    result = run(tmp_path, given={"ps.iterations.*.b.out": "mine.txt"}, skip=("b",))
    assert result.state == "done"
    assert json.loads((tmp_path / "w/m/out.txt").read_text()) == ["mine.txt"] * 3


@pytest.mark.parametrize("first", [None, ("mk",)])
def test_a_file_given_for_a_branch_that_there_is_not_is_refused(
    tmp_path: Path, first: tuple[str, ...] | None
) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w/mine.txt").write_text("mine")
    given = {f"ps.iterations.{number}.b.out": "mine.txt" for number in (1, 2, 3, 7)}
    why = r"--given ps\.iterations\.7\.b\.out: there is no such branch, split 'ps' has 3"
    if first:
        run(tmp_path, until=first)
        with pytest.raises(InputError, match=why):
            run(tmp_path, given=given, skip=("b", "mk"))
    else:  # its list is not there yet
        result = run(tmp_path, given=given, skip=("b",))
        assert result.state == "failed"
        assert re.search(why, result.failures[0].reason)


def test_a_file_given_for_some_branches_that_are_not_named_is_refused(tmp_path: Path) -> None:
    @parallel(iterable="ls")
    def outer(ls):
        return ps(e=ls)

    @pipeline(outputs=("r",))
    def twice(n):
        return outer(ls=mk(one=n))

    given = {"outer.iterations.*.ps.iterations.1.b.out": "mine.txt"}
    with pytest.raises(InputError, match="not clear which branches"):
        run(tmp_path, twice, given, skip=("b",))


def test_a_task_that_the_run_left_out_is_not_run_again(tmp_path: Path) -> None:
    run(tmp_path, plain)
    run(tmp_path, plain, from_=("b",))
    with pytest.raises(InputError, match="task 'a' is left out"):
        api.rerun(tmp_path / "w", "a", settings=api.Settings(executor="inline"))


def test_what_was_left_out_and_made_otherwise_is_not_taken_for_the_same(tmp_path: Path) -> None:
    run(tmp_path, plain)
    (tmp_path / "w/a/out.txt").write_text("by hand")
    run(tmp_path, plain, from_=("b",))
    (tmp_path / "w/a/out.txt").write_text("by hand again")
    run(tmp_path, plain, from_=("b",))
    assert (tmp_path / "w/b/out.txt").read_text() == "by hand again"


def test_a_choice_that_leaves_out_what_it_ends_at_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--skip leaves out all that --until names"):
        run(tmp_path, until=("m",), skip=("m",))


def test_a_given_file_that_was_changed_is_noticed_by_resume(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w/mine.txt").write_text("one")
    run(tmp_path, plain, {"a.out": "mine.txt"}, skip=("a",))
    (tmp_path / "w/mine.txt").write_text("another")
    result = api.resume(tmp_path / "w", settings=api.Settings(executor="inline"))
    assert any("mine.txt" in text for text in result.warnings)
    assert (tmp_path / "w/b/out.txt").read_text() == "another"


def resume(folder: Path) -> api.RunResult:
    return api.resume(folder / "w", settings=api.Settings(executor="inline"))


def test_resume_makes_results_again_that_are_gone(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "w/m/out.txt").unlink()
    result = resume(tmp_path)
    assert (result.state, result.summary().tasks.done) == ("done", 8)
    assert [text for text in result.warnings if "made again: task 'm'" in text]
    assert (tmp_path / "w/m/out.txt").is_file()
    assert "is done already" in resume(tmp_path).warnings[0]


def test_resume_writes_a_list_again_that_is_a_result_and_gone(tmp_path: Path) -> None:
    run(tmp_path, list_only)
    joined = tmp_path / "w/ps.reduce/tuplelist.json"
    before = joined.read_text()
    joined.unlink()
    assert resume(tmp_path).state == "done"
    assert joined.read_text() == before


def test_resume_tries_again_what_the_run_put_up_with(tmp_path: Path) -> None:
    (tmp_path / "w/data").mkdir(parents=True)
    (tmp_path / "w/broken").mkdir()
    assert run(tmp_path, with_weakness).summary().tasks.failed == 1
    (tmp_path / "w/broken").rmdir()
    result = resume(tmp_path)
    assert (result.state, result.summary().tasks.failed) == ("done", 0)
    assert "1 task that" in result.warnings[0]
    assert len(json.loads((tmp_path / "w/m/out.txt").read_text())) == 3


def test_a_list_of_nothing_but_failures_is_a_warning(tmp_path: Path) -> None:
    result = run(tmp_path, hopeless)
    assert result.state == "done"
    assert "all 3 branches of 'hopes' failed" in result.summary().warnings[0]
