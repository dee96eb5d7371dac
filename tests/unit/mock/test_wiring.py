from collections.abc import Callable

from euclid_dask.core.flow import Flow
from euclid_dask.mock.wiring import Wiring

HEAD = """
from euclid_dask import Executable, Input, Output, nested, parallel, pipeline
make = Executable("make", ["a"], [Output("out", mime_type="json")])
use = Executable("use", [Input("x", "DpdUsed")], ["y"])
gather = Executable("gather", [Input("xs", content_type="listfile")], ["y"])
"""


def depths(flow: Flow, executable: str, port: str) -> int:
    return Wiring.of(flow).output_depth(executable, flow.executables[executable], port)


def test_a_plain_json_output_that_is_split_is_a_list(flow: Flow) -> None:
    assert depths(flow, "split", "quadrants") == 1


def test_a_declared_list_is_a_list_though_nothing_splits_it(flow: Flow) -> None:
    assert depths(flow, "merge", "parts") == 1
    assert depths(flow, "merge", "image") == 0


def test_an_input_that_nothing_uses_is_known(flow: Flow) -> None:
    wiring = Wiring.of(flow)
    assert wiring.is_used("image")
    assert not wiring.is_used("extra")


def test_texts_of_the_script_are_no_files(flow: Flow) -> None:
    assert Wiring.of(flow).texts == {"correct": {"fast.1"}}


def test_tasks_are_template_paths(flow: Flow) -> None:
    assert Wiring.of(flow).tasks["correct"] == ["correct_all.iterations.*.correct"]


def test_a_split_over_an_element_makes_a_list_of_lists(flow_of: Callable[[str], Flow]) -> None:
    flow = flow_of(
        HEAD
        + """
@parallel(iterable="one")
def inner(one):
    return use(x=one)

@parallel(iterable="group")
def outer(group):
    return inner(one=group)

@pipeline(outputs=("made", "given"))
def p(a, groups):
    return outer(group=make(a=a)), outer(group=groups)
"""
    )
    wiring = Wiring.of(flow)
    assert depths(flow, "make", "out") == 2
    assert wiring.input_depth("groups") == 2
    assert wiring.input_depth("a") == 0
    assert wiring.dm_type(("", "groups"), 2) == "DpdUsed"


def test_a_split_over_a_joined_list_makes_the_results_of_branches_what_the_body_needs(
    flow_of: Callable[[str], Flow],
) -> None:
    flow = flow_of(
        HEAD
        + """
@parallel(iterable="one")
def making(one):
    return make(a=one)

@parallel(iterable="one")
def using(one):
    return use(x=one)

@parallel(iterable="made")
def outer(made):
    return using(one=made)

@pipeline(outputs=("y",))
def p(items):
    return outer(made=making(one=items))
"""
    )
    assert depths(flow, "make", "out") == 1
    assert Wiring.of(flow).input_depth("items") == 1


def test_a_row_of_two_results_is_a_list_already(flow_of: Callable[[str], Flow]) -> None:
    flow = flow_of(
        HEAD
        + """
@parallel(iterable="one")
def making(one):
    return make(a=one), use(x=one)

@parallel(iterable="one")
def using(one):
    return use(x=one)

@parallel(iterable="row")
def outer(row):
    return using(one=row)

@pipeline(outputs=("y",))
def p(items):
    return outer(row=making(one=items))
"""
    )
    assert depths(flow, "make", "out") == 0


def test_an_input_read_as_a_list_by_one_and_split_by_another_is_a_list(
    flow_of: Callable[[str], Flow],
) -> None:
    flow = flow_of(
        HEAD
        + """
@nested()
def block(whole):
    return gather(xs=whole)

@parallel(iterable="one")
def using(one):
    return use(x=one)

@pipeline(outputs=("y", "z"))
def p(items):
    return block(whole=items), using(one=items)
"""
    )
    assert Wiring.of(flow).input_depth("items") == 1


def test_a_product_read_by_a_list_port_stays_a_product(flow_of: Callable[[str], Flow]) -> None:
    flow = flow_of(
        HEAD
        + """
@pipeline(outputs=("y",))
def p(a):
    return gather(xs=use(x=a))
"""
    )
    assert depths(flow, "use", "y") == 0
