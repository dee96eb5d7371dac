"""Checking a flow."""

import pytest

from euclid_dask.core.flow import Constant
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.values import replace
from euclid_dask.dataflow.check import Problem, Severity, check, check_inputs

DARK = "each.iterations.*.block.dark"


def errors(problems):
    assert all(problem.severity is Severity.ERROR for problem in problems)
    return [problem.message for problem in problems]


def test_a_good_flow_has_no_problems(build):
    assert check(build.vis(), limit=Resources(), given=["i", "m"]) == []


def test_a_problem_reads_as_place_message_and_hint():
    problem = Problem(severity=Severity.ERROR, message="m", hint="h", where="f.py:3")
    assert str(problem) == "f.py:3: m\n  hint: h"
    assert str(Problem(severity=Severity.NOTICE, message="m")) == "m"


@pytest.mark.parametrize(
    ("wire", "message", "hint"),
    [
        ("imag", "comes from 'imag', which is no argument", "did you mean 'image'?"),
        ("frst.x", "comes from 'frst', which is no task", "did you mean 'first'?"),
        ("first.y", "comes from 'first', which has no output 'y'", "its outputs: x"),
        ("block.z", "comes from 'block', which has no output 'z'", "its outputs: same"),
        ("each.z", "comes from 'each', which has no output 'z'", "its outputs: out"),
    ],
)
def test_a_wire_without_source_is_an_error(build, wire, message, hint):
    flow = build.flow(
        build.body(
            build.task("first", a="image"),
            build.nested("block", build.body(inputs=("q",), same="q"), q="image"),
            build.split("each", "q", build.body(inputs=("q",), same="q"), q="image"),
            build.task("last", a=wire),
            inputs=("image",),
            result="last.x",
        )
    )
    (problem,) = check(flow)
    assert problem.message == f"input 'a' of 'last' {message}"
    assert problem.where == "script.py:last"
    assert hint in problem.hint


def test_an_output_without_source_is_an_error(build):
    inner = build.body(inputs=(), y="unheard")
    flow = build.flow(build.body(build.nested("block", inner), result="other.x"))
    assert errors(check(flow)) == [
        "output 'y' of 'block' comes from 'unheard', which is no argument",
        "output 'result' of 'p' comes from 'other', which is no task",
    ]


def test_an_unknown_executable_or_port_is_an_error(build):
    flow = build.flow(
        build.body(
            build.task("one", "exee", a="i"),
            build.task("two", c="one.anything"),
            result="two.x",
        )
    )
    assert errors(check(flow)) == [
        "'one' calls 'exee', which is not defined",
        "'two' has no input 'c'",
    ]


def test_two_ports_of_one_name_are_an_error(build):
    flow = build.flow(
        build.body(build.task("one", a="i"), result="one.a"), build.exe(outputs=("a", "x", "x"))
    )
    assert errors(check(flow)) == [
        "'one': executable 'exe' has two ports named 'a'",
        "'one': executable 'exe' has two ports named 'x'",
    ]


def test_names_that_are_there_twice_are_errors(build):
    twice = build.body(
        build.task("one", a="i"), build.task("one", a="i"), inputs=("i", "i"), u="one.x"
    )
    flow = build.flow(replace(twice, outputs=twice.outputs * 2))
    assert errors(check(flow)) == [
        "two nodes are named 'one'",
        "two arguments are named 'i'",
        "two outputs are named 'u'",
    ]


def test_a_name_that_is_no_file_name_is_an_error(build):
    flow = build.flow(build.body(build.task("a/b", a="i"), u="a/b.x"))
    assert errors(check(flow)) == [
        "the name of task 'a/b' contains '/', which separates the parts of a path"
    ]


def test_a_path_that_is_no_file_name_is_an_error(build):
    name = "n" * 118
    inner = build.body(build.task(name, a="q"), inputs=("q",), y=f"{name}.x")
    branch = build.split(name, "q", inner, q="i")
    (problem,) = check(build.flow(build.body(branch, u=f"{name}.out")))
    assert problem.message.endswith("is longer than 255 bytes")
    assert (
        check(build.flow(build.body(replace(branch, name="n" * 117), u=f"{name[:-1]}.out"))) == []
    )


def test_a_circle_is_an_error(build):
    flow = build.flow(
        build.body(build.task("one", a="two.x", b="i"), build.task("two", a="one.x"), u="two.x")
    )
    (problem,) = check(flow)
    assert "tasks wait for each other" in problem.message


def test_a_split_without_its_list_is_an_error(build):
    inner = build.body(inputs=("q",), y="q")
    flow = build.flow(build.body(build.split("each", "q", inner, r="i"), u="each.out"))
    assert errors(check(flow)) == [
        "'each' splits over 'q', which it is not given",
        "'each' is not given its argument 'q'",
        "'each' has no argument 'r'",
    ]


def test_what_is_used_by_nothing_is_told(build):
    branch = build.body(build.task("t", a="q"), inputs=("q", "spare"), y="t.x")
    flow = build.flow(
        build.body(
            build.task("lost", "two", a="i"),
            build.split("each", "q", branch, q="i", spare="spare"),
            inputs=("i", "spare"),
            u="each.out",
        ),
        build.exe(),
        build.exe("two", outputs=("x", "y")),
        build.exe("never", cores=99.0),
    )
    warning, notice = check(flow, limit=Resources())
    assert (warning.severity, notice.severity) == (Severity.WARNING, Severity.NOTICE)
    assert warning.message == "the input 'spare' of the pipeline is used by no task"
    assert notice.message == "nothing uses the output x, y of 'lost'"


def test_a_split_over_what_is_no_list_is_noticed(build):
    branch = build.body(inputs=("q",), y="q")
    flow = build.flow(
        build.body(
            build.task("cut", a="i"), build.split("each", "q", branch, q="cut.x"), u="each.out"
        ),
        build.exe(mime_type="xml"),
    )
    (notice,) = check(flow)
    assert notice.severity is Severity.NOTICE
    assert "'each' splits over output 'x' of 'cut'" in notice.message


def test_a_split_over_another_split_or_an_input_is_let_be(build):
    branch = build.body(inputs=("q",), y="q")
    flow = build.flow(
        build.body(
            build.split("each", "q", branch, q="i"),
            build.split("again", "q", branch, q="each.out"),
            u="again.out",
        )
    )
    assert check(flow) == []


def test_a_split_over_a_constant_is_let_be(build):
    branch = build.body(inputs=("q",), y="q")
    split = replace(build.split("each", "q", branch), arguments={"q": Constant(text="list.json")})
    assert check(build.flow(build.body(split, inputs=(), u="each.out"))) == []


def test_a_task_that_is_too_large_is_an_error_with_numbers_and_the_smallest_fix(build):
    flow = build.flow(
        build.body(
            *(build.task(f"t{n}", a="i") for n in range(5)),
            **{f"u{n}": f"t{n}.x" for n in range(5)},
        ),
        build.exe(cores=16.0, ram_bytes=24 * GB, walltime_s=36000.0, disk_bytes=100 * GB),
    )
    limit = Resources(cores=8.0, ram_bytes=15_999_999_999, walltime_s=7200.0, disk_bytes=50 * GB)
    problems = check(flow, limit=limit)
    assert errors(problems) == [
        f"task 't0', 't1', 't2' and 2 more asks for {text}"
        for text in (
            "16 cores, there are 8",
            "24 GB of RAM, there are 15.99",
            "100 GB of disk, there are 50 at the workdir",
            "10 hours, there are 2",
        )
    ]
    assert [problem.hint.split()[1] for problem in problems] == [
        "cores=8",
        "ram=15.99",
        "disk=50",
        "walltime=2",
    ]
    assert problems[0].where == "defs.py:exe"


def test_a_limit_of_less_than_a_hundredth_is_told_as_it_is(build):
    flow = build.flow(build.body(build.task("t", a="i"), u="t.x"), build.exe())
    (problem,) = check(flow, limit=Resources(ram_bytes=1_200_000, walltime_s=0.0))
    assert problem.message == "task 't' asks for 1 GB of RAM, there are 0.0012"
    assert "set ram=0.0012 or less" in problem.hint


def test_a_disk_or_walltime_of_zero_is_no_limit(build):
    flow = build.flow(
        build.body(build.task("t", a="i"), u="t.x"),
        build.exe(walltime_s=1e9, disk_bytes=10**15),
    )
    assert check(flow, limit=Resources(walltime_s=0.0)) == []


def test_inputs_that_are_missing_or_unknown_are_told_all_at_once(build):
    flow = build.flow(
        build.body(inputs=("image", "dark", "mask"), u="image"), optional_inputs=("mask",)
    )
    problems = check_inputs(flow, ["imge", "dark", "other"])
    assert errors(problems) == [
        "the pipeline has no input 'imge'",
        "the pipeline has no input 'other'",
        "the input 'image' is not given",
    ]
    assert problems[0].hint == "did you mean 'image'? inputs not given yet: image"
    assert problems[2].hint == "give a file: image=path, or image=None"


def test_an_unknown_input_beside_all_others_is_told_with_all(build):
    flow = build.flow(build.body(inputs=("image",), u="image"))
    (problem,) = check_inputs(flow, ["image", "imag"])
    assert problem.hint == "did you mean 'image'? its inputs: image"
