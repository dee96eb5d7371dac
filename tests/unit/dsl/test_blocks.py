"""Nested and parallel blocks, and the pipeline function itself."""

import gc

import pytest

from euclid_dask.core.flow import FlowOutput, FromInput, FromNode, NestedNode, SplitNode


def test_a_nested_block_keeps_its_tasks_under_its_name(loaded):
    flow = loaded("""
        @nested(outputs=("first", "second"))
        def block(image, unused=None):
            x, y = two(a=image)
            return one(a=x), y

        @pipeline(outputs=("u", "v"))
        def p(i):
            u, v = block(image=i)
            return u, v
    """).flow
    (block,) = flow.body.nodes
    assert isinstance(block, NestedNode)
    assert block.arguments == {"image": FromInput(name="i")}
    assert block.body.inputs == ("image",)
    assert [node.name for node in block.body.nodes] == ["two", "one"]
    assert block.body.outputs == (
        FlowOutput(name="first", source=FromNode(node="one", port="x")),
        FlowOutput(name="second", source=FromNode(node="two", port="y")),
    )
    assert flow.body.outputs[1] == FlowOutput(
        name="v", source=FromNode(node="block", port="second")
    )


def test_a_nested_block_can_be_used_before_its_definition_and_inside_another(loaded):
    flow = loaded("""
        @pipeline(outputs=("u",))
        def p(i):
            return outer(a=i)

        @nested
        def outer(a):
            return inner(a=a),

        @nested()
        def inner(a):
            return one(a=a)
    """).flow
    (inner,) = flow.body.nodes[0].body.nodes
    assert inner.name == "inner"


def test_outputs_of_a_block_without_names_are_named_after_ports_and_told_apart(loaded):
    (block,) = loaded("""
        @nested()
        def block(a):
            return one(a=a), (a, one(a=a))
        @pipeline(outputs=("u", "v", "w"))
        def p(i):
            return block(a=i)
    """).flow.body.nodes
    assert [output.name for output in block.body.outputs] == ["x", "a", "x_2"]


def test_a_block_with_one_value_gives_a_handle_that_unpacks(loaded):
    flow = loaded("""
        @nested()
        def block(a):
            return one(a=a)
        @pipeline(outputs=("u",))
        def p(i):
            u, = block(a=block(a=i), name="second")
            return u
    """).flow
    assert [node.name for node in flow.body.nodes] == ["block", "second"]


def test_literals_reach_the_body_of_a_block_as_they_are(loaded):
    flow = loaded("""
        @nested()
        def chain(a, number, extra):
            for _ in range(number):
                a = one(a=a, b=extra)
            return a
        @pipeline(outputs=("u",))
        def p(i):
            return chain(a=i, number=2, extra=None)
    """).flow
    block = flow.body.nodes[0]
    assert block.body.inputs == ("a",)
    assert [node.name for node in block.body.nodes] == ["one_1", "one_2"]


def test_a_block_may_return_nothing_for_a_switched_off_part(loaded):
    flow = loaded("""
        @nested(outputs=("valid", "note"))
        def validation(a, switch=False):
            if switch:
                return one(a=a), "text"
            return None, "text"
        @pipeline(outputs=("u",))
        def p(i):
            valid, note = validation(a=i)
            return one(a=i, b=valid)
    """).flow
    assert flow.body.nodes[1].inputs == {"a": FromInput(name="i")}


def test_an_unknown_argument_of_a_block_is_dropped_and_a_missing_one_noticed(loaded):
    pipeline = loaded("""
        @nested()
        def block(image, mask):
            return one(a=image, b=mask)
        @pipeline(outputs=("u",))
        def p(i):
            return block(imag=i)
    """)
    assert (
        "@nested 'block' has no input 'imag', it is ignored; did you mean 'image'?"
        in (pipeline.warnings[0])
    )
    assert pipeline.notices[0].endswith("@nested 'block' is not given its input image, mask")


def test_a_parallel_block_gives_one_list_whatever_its_body_returns(loaded):
    flow = loaded("""
        @parallel(iterable="item")
        def each(item, other):
            x, y = two(a=item, b=other)
            return y, x
        @pipeline(outputs=("u",))
        def p(i, o):
            (u,) = each(item=splitter(a=i), other=o)
            return u
    """).flow
    split = flow.body.nodes[1]
    assert isinstance(split, SplitNode)
    assert split.iterable == "item"
    assert split.arguments == {
        "item": FromNode(node="splitter", port="items"),
        "other": FromInput(name="o"),
    }
    assert split.body.inputs == ("item", "other")
    assert split.body.outputs == (
        FlowOutput(name="y", source=FromNode(node="two", port="y")),
        FlowOutput(name="x", source=FromNode(node="two", port="x")),
    )
    assert (split.output, split.on_error, split.max_failed_fraction) == ("tuplelist", "fail", 1.0)
    assert flow.body.outputs[0].source == FromNode(node="each", port="tuplelist")


def test_a_parallel_block_takes_its_options(loaded):
    split = loaded("""
        @parallel("item", ("results"), {}, on_error="skip", max_failed_fraction=0.25)
        def each(item):
            return item
        @pipeline(outputs=("u",))
        def p(i):
            return each(item=i, name="renamed")
    """).flow.body.nodes[0]
    assert (split.name, split.output) == ("renamed", "results")
    assert (split.on_error, split.max_failed_fraction) == ("skip", 0.25)


def test_parallel_blocks_nest(loaded):
    outer = loaded("""
        @parallel(iterable="row")
        def rows(row):
            return cells(cell=splitter(a=row))
        @parallel(iterable=("cell",))
        def cells(cell):
            return block(a=cell)
        @nested()
        def block(a):
            return one(a=a)
        @pipeline(outputs=("u",))
        def p(i):
            return rows(row=i)
    """).flow.body.nodes[0]
    assert [node.name for node in outer.body.nodes] == ["splitter", "cells"]


def test_unpacking_two_from_a_parallel_block_is_refused_with_the_reason(refused):
    line, error = refused("""
        @parallel(iterable="item")
        def each(item):
            return two(a=item)
        @pipeline(outputs=("u", "v"))
        def p(i):
            u, v = each(item=i)
            return u, v
    """)
    assert line == 6
    assert "2 names on the left, but the list of @parallel 'each' is one value" in error.message
    assert "exactly one list file" in error.hint


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("each()", "is not given 'item', which it splits over"),
        ("each(item=None)", "is not given 'item', which it splits over"),
        ("each(item=['a', 'b'])", "splits over 'item', but is given ['a', 'b']"),
    ],
)
def test_a_parallel_block_without_a_list_file_is_refused(refused, call, problem):
    line, error = refused(f"""
        @parallel(iterable="item")
        def each(item):
            return one(a=item)
        @pipeline(outputs=("u",))
        def p(i):
            return {call}
    """)
    assert line == 6
    assert problem in error.message
    assert "use a Python for loop" in error.hint


@pytest.mark.parametrize(
    ("decorator", "problem", "hint"),
    [
        ("@parallel(iterable='itme')", "'f' has no argument 'itme'", "did you mean 'item'?"),
        ("@parallel(iterable=('item', 'b'))", "the name of one argument", "name of an argument"),
        ("@parallel", "the name of one argument", "name of an argument"),
        ("@parallel('item', outputs=('a', 'b'))", "names 2 outputs", "exactly one list"),
        ("@parallel('item', outputs=())", "names 0 outputs", "exactly one list"),
        ("@parallel('item', on_eror='skip')", "no argument 'on_eror'", "did you mean 'on_error'?"),
        ("@parallel('item', on_error='ignore')", "on_error cannot be 'ignore'", '"skip"'),
        ("@parallel('item', max_failed_fraction=2)", "cannot be 2", "from 0 to 1"),
        ("@parallel('item', max_failed_fraction=True)", "cannot be True", "from 0 to 1"),
        ("@pipeline", "used without parentheses", "write @pipeline(...)"),
        ("@pipeline()", "names no outputs", "one name for each"),
        ("@pipeline(outputs=())", "names no outputs", "one name for each"),
        ("@pipeline(outputs='a b')", "'a b' contains a space", "'first', 'second'"),
        ("@pipeline(outputs=('a', 'a'))", "'a' is there twice", "'first', 'second'"),
        ("@pipeline(outputs=(3,))", "3 is not a text", "'first', 'second'"),
        ("@pipeline(outputs='a/b')", "contains '/'", "'first', 'second'"),
        ("@pipeline(output='a')", "no argument 'output'", "did you mean 'outputs'?"),
        ("@nested(output='a')", "no argument 'output'", "did you mean 'outputs'?"),
    ],
)
def test_a_wrong_decorator_is_refused(refused, decorator, problem, hint):
    line, error = refused(f"""
        {decorator}
        def f(item):
            return item
    """)
    assert line == 1
    assert problem in error.message
    assert hint in error.hint


@pytest.mark.parametrize("arguments", ["*args", "**kwargs", "a, /"])
def test_a_function_without_named_arguments_is_refused(refused, arguments):
    line, error = refused(f"""
        @pipeline(outputs=("u",))
        def f({arguments}):
            return None
    """)
    assert line == 1
    assert "positional-only arguments" in error.message


def test_decorating_what_is_no_function_is_refused(refused):
    _, error = refused("nested()(3)")
    assert error.message == "@nested decorates 3, which is no function"


def test_a_pipeline_keeps_its_arguments_and_optional_ones(loaded):
    flow = loaded("""
        @pipeline(outputs="u")
        def p(a, unused, *, mask=None, number=3):
            '''What it is for.'''
            for _ in range(number):
                a = one(a=a, b=mask)
            return a
    """).flow
    assert flow.name == "p"
    assert flow.body.inputs == ("a", "unused", "mask")
    assert flow.optional_inputs == ("mask",)
    assert len(flow.body.nodes) == 3


def test_a_fixed_argument_is_noticed_and_the_docstring_kept(loaded):
    pipeline = loaded("""
        @pipeline(outputs="u")
        def p(a, number=3):
            '''What it is for.'''
            return one(a=a, b=number)
    """)
    assert (pipeline.name, pipeline.docstring) == ("p", "What it is for.")
    assert "'number' of @pipeline 'p' has a default, so it is fixed" in pipeline.notices[0]


@pytest.mark.parametrize("outputs", ["('u')", "'u'", "('u',)", "['u']"])
def test_a_bare_string_is_one_output(loaded, outputs):
    flow = loaded(f"""
        @pipeline({outputs})
        def p(a):
            return one(a=a)
    """).flow
    assert [output.name for output in flow.body.outputs] == ["u"]


def test_nested_tuples_inputs_and_the_same_handle_twice_can_be_returned(loaded):
    flow = loaded("""
        @pipeline(("u", "v", "w", "z"))
        def p(a):
            x = one(a=a)
            return (x, (a, two(a=a))[0]), [x, (a,)]
    """).flow
    sources = [output.source for output in flow.body.outputs]
    one, argument = FromNode(node="one", port="x"), FromInput(name="a")
    assert sources == [one, argument, one, argument]


@pytest.mark.parametrize(
    ("result", "problem", "hint"),
    [
        ("two(a=a)", "names 1 outputs (u) but returns 2", "output 'x' of 'two', output 'y'"),
        ("()", "names 1 outputs (u) but returns 0", "it returns: nothing"),
        ("None", "returns an absent value", "return outputs of tasks"),
        ("'text'", "returns the text 'text'", "return outputs of tasks"),
    ],
)
def test_a_wrong_result_of_a_pipeline_is_refused(refused, result, problem, hint):
    line, error = refused(f"""
        @pipeline("u")
        def p(a):
            return {result}
    """)
    assert line == 1
    assert problem in error.message
    assert hint in error.hint


def test_a_result_that_is_no_handle_is_refused(refused):
    _, error = refused("""
        @pipeline("u")
        def p(a):
            return {"u": a}
    """)
    assert "the result of @pipeline 'p' is given a dict" in error.message


def test_a_parallel_body_that_returns_nothing_is_refused(refused):
    for result in ("()", "None"):
        line, error = refused(f"""
            @parallel("item")
            def each(item):
                return {result}
            @pipeline("u")
            def p(a):
                return each(item=a)
        """)
        assert line == 1
        assert "@parallel 'each' returns" in error.message


def test_a_block_with_the_wrong_number_of_names_is_refused(refused):
    line, error = refused("""
        @nested(("u", "v"))
        def block(a):
            return one(a=a)
        @pipeline("u")
        def p(a):
            return block(a=a)
    """)
    assert line == 1
    assert "names 2 outputs (u, v) but returns 1" in error.message


def test_a_block_that_calls_itself_is_refused(refused):
    line, error = refused("""
        @nested()
        def ping(a):
            return pong(a=a)
        @nested()
        def pong(a):
            return ping(a=a)
        @pipeline("u")
        def p(a):
            return ping(a=a)
    """)
    assert line == 6
    chain = "@pipeline 'p' -> @nested 'ping' -> @nested 'pong' -> @nested 'ping'"
    assert error.message == f"@nested 'ping' calls itself: {chain}"


def test_a_pipeline_can_be_a_block_of_another(loaded, tmp_path):
    (tmp_path / "inner.py").write_text(
        "from euclid_dask import *\n"
        "exe = Executable('exe', ['a'], ['x'])\n"
        "@pipeline('u')\n"
        "def inner(a):\n    return exe(a=a)\n",
        encoding="utf-8",
    )
    flow = loaded("""
        from inner import inner
        @pipeline("u")
        def p(a):
            return inner(a=a)
    """).flow
    assert flow.name == "p"
    assert isinstance(flow.body.nodes[0], NestedNode)


def test_an_error_in_the_body_is_told_with_its_own_line(refused):
    line, error = refused("""
        def helper(a):
            return {}["missing"]
        @nested()
        def block(a):
            return helper(a)
        @pipeline("u")
        def p(a):
            return block(a=a)
    """)
    assert line == 2
    assert error.message == "KeyError: 'missing' (in @nested 'block')"


@pytest.mark.filterwarnings("error")
def test_an_async_pipeline_is_refused_and_leaves_nothing_to_await(refused):
    line, error = refused("""
        @pipeline(outputs=("x",))
        async def p(a):
            return one(a=a)
    """)
    gc.collect()
    assert line == 1
    assert "@pipeline 'p' is an async function" in error.message
    assert "write def" in error.hint
