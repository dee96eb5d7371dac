"""What an author may try with a handle, and is told."""

import pytest


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("if i: pass", "cannot decide on argument 'i'"),
        ("not i", "cannot decide on"),
        ("i and 3", "cannot decide on"),
        ("i == 'x'", "cannot compare"),
        ("i != 3", "cannot compare"),
        ("i < 3", "cannot compare"),
        ("i >= 3", "cannot compare"),
        ("len(i)", "cannot take the length of"),
        ("i[0]", "cannot look into"),
        ("'x' in i", "cannot look into"),
        ("i[0] = 3", "cannot look into"),
        ("i + 'x'", "cannot calculate with"),
        ("'x' + i", "cannot calculate with"),
        ("i % 3", "cannot calculate with"),
        ("i / 'x'", "cannot calculate with"),
        ("int(i)", "cannot make a number of"),
        ("float(i)", "cannot make a number of"),
        ("range(i)", "cannot make a number of"),
        ("open(i)", "cannot open or name a file by"),
        ("i()", "cannot call"),
        ("for x in i: pass", "cannot loop over"),
        ("[x for x in i]", "cannot loop over"),
        ("list(i)", "cannot loop over"),
        ("enumerate(i)", "cannot loop over"),
        ("zip(i, i)", "cannot loop over"),
        ("sorted(i, key=str)", "cannot loop over"),
    ],
)
def test_what_needs_the_value_of_a_handle_is_refused_with_line_and_hint(
    refused, statement, problem
):
    line, error = refused(f"""
        @pipeline(outputs=("out",))
        def p(i):
            {statement}
            return one(a=i)
    """)
    assert line == 3
    assert problem in error.message
    assert "which is a file that does not exist yet" in error.message
    assert error.hint


def test_an_attribute_of_a_handle_is_refused(refused):
    line, error = refused("""
        @pipeline(outputs=("out",))
        def p(i):
            i.split(",")
            return one(a=i)
    """)
    assert line == 3
    assert "argument 'i' is a file that does not exist yet, it has no attribute" in error.message


def test_handles_can_be_printed_compared_with_none_and_kept_in_collections(loaded, capsys):
    loaded("""
        @pipeline(outputs=("out",))
        def p(i):
            print(i, {i: 1}, i in [i], i == None, i != None, i is None, repr(one(a=i)))
            return one(a=i)
    """)
    text = "<handle argument 'i'>"
    kept = "<handle output 'x' of 'one'>"
    assert capsys.readouterr().err == f"{text} {{{text}: 1}} True False True False {kept}\n"


def test_a_handle_can_be_spread_over_arguments(loaded):
    flow = loaded("""
        def helper(*handles):
            return handles[0]
        @pipeline(outputs=("out",))
        def p(i):
            return helper(*one(a=i), *two(a=i))
    """).flow
    assert [node.name for node in flow.body.nodes] == ["one", "two"]
