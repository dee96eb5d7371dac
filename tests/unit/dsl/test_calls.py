"""Calling executables inside a pipeline function."""

import pytest

from euclid_dask.core.errors import PipelineError
from euclid_dask.core.flow import Constant, FlowOutput, FromInput, FromNode, TaskNode
from euclid_dask.dsl import Executable


def nodes(pipeline):
    return {node.name: node for node in pipeline.flow.body.nodes}


def test_arguments_are_wired_to_ports_of_other_names(loaded):
    flow = loaded("""
        @pipeline(outputs=("out",))
        def p(image):
            return one(a=image)
    """).flow
    assert flow.body.inputs == ("image",)
    assert flow.body.nodes[0].inputs == {"a": FromInput(name="image")}
    assert flow.body.outputs == (FlowOutput(name="out", source=FromNode(node="one", port="x")),)


def test_one_output_unpacks_and_is_used_directly(loaded):
    found = nodes(
        loaded("""
        @pipeline(outputs=("out",))
        def p(i):
            (first,) = one(a=i)
            second, = one(a=first)
            [third] = one(a=second)
            return one(a=third, b=one(a=i, name="direct"), name="last")
    """)
    )
    assert found["last"].inputs == {
        "a": FromNode(node="one_3", port="x"),
        "b": FromNode(node="direct", port="x"),
    }


def test_several_outputs_unpack_in_the_order_of_the_ports(loaded):
    found = nodes(
        loaded("""
        @pipeline(outputs=("out",))
        def p(i):
            x, y = two(a=i)
            return one(a=y, b=x)
    """)
    )
    assert found["one"].inputs == {
        "a": FromNode(node="two", port="y"),
        "b": FromNode(node="two", port="x"),
    }


def test_an_output_can_be_taken_by_position_or_star(loaded):
    found = nodes(
        loaded("""
        @pipeline(outputs=("out",))
        def p(i):
            first, *rest = two(a=i)
            return one(a=two(a=i, name="other")[1], b=rest[0])
    """)
    )
    assert found["one"].inputs == {
        "a": FromNode(node="other", port="y"),
        "b": FromNode(node="two", port="y"),
    }


def test_a_tuple_of_one_is_unwrapped_as_an_input(loaded):
    found = nodes(
        loaded("""
        @pipeline(outputs=("out",))
        def p(i):
            return one(a=(i,))
    """)
    )
    assert found["one"].inputs == {"a": FromInput(name="i")}


def test_an_executable_without_outputs_is_a_task(loaded):
    found = nodes(
        loaded("""
        @pipeline(outputs=("out",))
        def p(i):
            sink(a=i)
            () = sink(a=i, name="other")
            return one(a=i)
    """)
    )
    assert list(found) == ["sink", "other", "one"]


def test_an_unknown_keyword_is_dropped_with_a_warning_that_names_the_ports(loaded):
    pipeline = loaded("""
        inputs = dict(a_="1")
        @pipeline(outputs=("out",))
        def p(image):
            return one(aa=image)
    """)
    assert nodes(pipeline)["one"].inputs == {}
    (warning,) = pipeline.warnings
    assert "script.py:10: executable 'one' has no input 'aa', it is ignored" in warning
    assert "did you mean 'a'? its inputs: a, b" in warning


def test_a_missing_input_is_a_notice(loaded):
    pipeline = loaded("""
        @pipeline(outputs=("out",))
        def p(i):
            return one(a=i)
    """)
    assert pipeline.warnings == ()
    (notice,) = pipeline.notices
    assert notice.endswith("script.py:9: executable 'one' is not given its input b")


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("'text'", "text"),
        ("5", "5"),
        ("0.25", "0.25"),
        ("True", "True"),
        ("['KSB', 'LensMC', 3]", "KSB LensMC 3"),
        ("[]", ""),
    ],
)
def test_a_literal_becomes_a_constant(loaded, literal, text):
    found = nodes(
        loaded(f"""
        @pipeline(outputs=("out",))
        def p(i):
            return one(a=i, b={literal})
    """)
    )
    assert found["one"].inputs["b"] == Constant(text=text)


def test_none_is_absent(loaded):
    found = nodes(
        loaded("""
        @pipeline(outputs=("out",))
        def p(i):
            return one(a=i, b=None)
    """)
    )
    assert found["one"].inputs == {"a": FromInput(name="i")}


def test_a_name_that_occurs_once_is_kept_and_all_of_several_are_numbered(loaded):
    found = nodes(
        loaded("""
        @pipeline(outputs=("out",))
        def p(i):
            first = one(a=i)
            second = two(a=i)[0]
            third = one(a=first, b=second)
            return one(a=third, name="last")
    """)
    )
    assert list(found) == ["one_1", "two", "one_2", "last"]
    assert found["one_2"].inputs["a"] == FromNode(node="one_1", port="x")


def test_an_explicit_name_that_occurs_twice_is_numbered_too(loaded):
    found = nodes(
        loaded("""
        @pipeline(outputs=("out",))
        def p(i):
            return one(a=one(a=i, name="n"), name="n")
    """)
    )
    assert list(found) == ["n_1", "n_2"]


def test_a_name_that_meets_a_number_is_refused(refused):
    line, error = refused("""
        @pipeline(outputs=("out",))
        def p(i):
            first = one(a=i, name="one_1")
            return one(a=one(a=i), b=first)
    """)
    assert line == 4
    assert error.message.startswith("two calls in @pipeline 'p' are named 'one_1', the other in ")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("''", "is empty"),
        ("'a.b'", "contains '.'"),
        ("'a/b'", "contains '/'"),
        ("'a\\nb'", "contains characters that cannot be printed"),
        ("'n' * 201", "is longer than 200 bytes"),
        ("f'{i}'", "is a text made from a handle: \"<handle argument 'i'>\""),
        ("'%s' % i", "is a text made from a handle"),
        ("3", "must be a text, not a int"),
    ],
)
def test_a_name_that_cannot_be_a_directory_is_refused(refused, name, problem):
    line, error = refused(f"""
        @pipeline(outputs=("out",))
        def p(i):
            return one(a=i, name={name})
    """)
    assert line == 3
    assert problem in error.message


def test_a_port_called_name_takes_a_handle(loaded):
    found = nodes(
        loaded("""
        strange = Executable("strange", inputs=["name"], outputs=["x"])
        @pipeline(outputs=("out", "more"))
        def p(i):
            return strange(name=i), strange(name="n")
    """)
    )
    assert found["strange"].inputs == {"name": FromInput(name="i")}
    assert found["n"].inputs == {}


def test_helpers_without_decorator_are_part_of_the_body(loaded):
    flow = loaded("""
        def helper(image, number):
            for _ in range(number):
                image = one(a=image)
            return image

        @pipeline(outputs=("out",))
        def p(i):
            return helper(i, 3)
    """).flow
    assert [node.name for node in flow.body.nodes] == ["one_1", "one_2", "one_3"]
    assert flow.body.nodes[0].where.endswith("script.py:9")


def test_positional_arguments_are_refused(refused):
    line, error = refused("""
        @pipeline(outputs=("out",))
        def p(i):
            return one(i)
    """)
    assert (line, error.message) == (3, "executable 'one' is called with positional arguments")
    assert error.hint == "name every input: a=...; its inputs: a, b"


def test_a_tuple_as_an_input_is_refused(refused):
    line, error = refused("""
        @pipeline(outputs=("out",))
        def p(i):
            return one(a=two(a=i))
    """)
    assert line == 3
    assert error.message == "input 'a' of executable 'one' is given a tuple of 2 values"
    assert error.hint == "take the output you mean: x, y"


def test_a_plain_tuple_as_an_input_is_refused(refused):
    _, error = refused("""
        @pipeline(outputs=("out",))
        def p(i):
            return one(a=("x", "y"))
    """)
    assert "write a list [...]" in error.hint


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{'a': 1}", "is given a dict"),
        ("[i]", "is given a list of handles"),
        ("one", "is given a Executable"),
        ("'x\\0'", "is given a text that holds a NUL character"),
        ("f'data/{i}'", "is a text made from a handle"),
    ],
)
def test_what_is_no_file_and_no_literal_is_refused(refused, value, problem):
    line, error = refused(f"""
        @pipeline(outputs=("out",))
        def p(i):
            return one(a={value})
    """)
    assert line == 3
    assert problem in error.message


def test_too_many_names_on_the_left_are_refused_with_the_ports(refused):
    line, error = refused("""
        @pipeline(outputs=("out",))
        def p(i):
            a, b, c = two(a=i)
            return a
    """)
    assert line == 3
    assert error.message == "3 names on the left, but executable 'two' has 2 outputs"
    assert error.hint == "its outputs, in this order: x, y"


def test_two_names_for_one_output_are_refused(refused):
    line, error = refused("""
        @pipeline(outputs=("out",))
        def p(i):
            a, b = one(a=i)
            return a
    """)
    assert (line, error.hint) == (3, "write one name on the left")
    assert error.message == "2 names on the left, but output 'x' of 'one' is one value"


def test_a_handle_of_another_function_is_refused(refused):
    line, error = refused("""
        kept = []
        @nested()
        def block(a):
            return one(a=kept[0])
        @pipeline(outputs=("out",))
        def p(i):
            kept.append(i)
            return block(a=i)
    """)
    assert line == 4
    assert "is given argument 'i', which belongs to another function" in error.message


def test_two_ports_of_one_name_are_refused_when_called(refused):
    line, error = refused("""
        both = Executable("both", inputs=["exposure"], outputs=["exposure"])
        @pipeline(outputs=("out",))
        def p(i):
            return both(exposure=i)
    """)
    assert (line, error.message) == (1, "executable 'both' has two ports named 'exposure'")


def test_two_ports_of_one_name_are_let_be_when_never_called(loaded):
    loaded("""
        both = Executable("both", inputs=["exposure", "b", "b"], outputs=["exposure"])
        @pipeline(outputs=("out",))
        def p(i):
            return one(a=i)
    """)


def test_a_call_outside_of_a_pipeline_is_refused(refused):
    line, error = refused("result = one(a='x')")
    assert (line, error.message) == (1, "executable 'one' is called outside of a pipeline")


def test_a_call_outside_of_a_script_is_refused():
    with pytest.raises(PipelineError, match="called outside of a pipeline"):
        Executable("x")()


def test_tasks_know_their_executable_and_line(loaded):
    (node,) = loaded("""
        @pipeline(outputs=("out",))
        def p(i):
            return one(a=i)
    """).flow.body.nodes
    assert isinstance(node, TaskNode)
    assert node.executable == "one"
    assert node.where.endswith("/script.py:9")
