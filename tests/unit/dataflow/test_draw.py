"""Drawings of a flow."""

from xml.etree import ElementTree as ET

import pytest

from euclid_dask.core.flow import Constant
from euclid_dask.core.values import replace
from euclid_dask.dataflow.draw import to_mermaid, to_svg, to_text
from euclid_dask.dataflow.draw.layout import Size, layered

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_a_drawing_shows_every_task_block_input_and_output(build):
    shown = texts(to_svg(build.vis()))
    for text in (
        "p",
        "cut",
        "each",
        "\N{MULTIPLICATION SIGN} N",
        "each q",
        "block",
        "dark",
        "cosmics",
        "result",
        "m",
    ):
        assert text in shown


def test_a_drawing_shows_numbers_of_branches_and_states(build):
    svg = to_svg(
        build.vis(),
        branches={"each": 144},
        states={
            "cut": "DONE",
            "each.iterations.*.cosmics": {"done": 140, "failed": 1, "odd": 3},
            "join": "odd",
        },
    )
    assert "\N{MULTIPLICATION SIGN} 144" in texts(svg)
    assert svg.count('fill="#2f9e62"') == 3  # the task, the branch's task, the split around it
    assert svg.count('fill="#d64545"') == 2
    assert "done: 140, failed: 1" in svg


def test_a_state_without_tasks_does_not_colour(build):
    plain = to_svg(build.vis(), states={"cut": {"failed": 0, "done": 2}})
    assert "fill:#f6d6d6" not in plain
    assert "fill:#" in to_svg(build.vis(), states={"cut": "failed"})
    assert 'style="fill:' not in to_svg(build.vis(), states={"cut": {"done": 0}})


@pytest.mark.parametrize(("depth", "hidden"), [(0, "cosmics"), (1, "dark")])
def test_blocks_below_a_depth_are_drawn_closed(build, depth, hidden):
    shown = texts(to_svg(build.vis(), depth=depth))
    assert hidden not in shown
    assert ("\N{MULTIPLICATION SIGN} N · 2 tasks" if depth == 0 else "1 task") in shown


def test_an_input_of_many_tasks_is_listed_and_not_wired(build):
    nodes = [build.task(f"t{n}", a="config", b="i") for n in range(5)]
    svg = to_svg(build.flow(build.body(*nodes, inputs=("config", "i"))))
    assert "given to many tasks: config, i" in texts(svg)


def test_names_are_escaped_and_shortened(build):
    name = "very_" * 8 + "<long>"
    node = replace(build.task(name, a="i"), inputs={"a": Constant(text="<&>")})
    svg = to_svg(build.flow(build.body(node)))
    assert "very_very_very_v…" in "".join(texts(svg))
    assert name in [
        element.text.split("\n")[0] for element in ET.fromstring(svg).iter(f"{SVG}title")
    ]


def test_disk_and_minutes_are_shown(build):
    spec = build.exe(cores=2.0, walltime_s=1800.0, disk_bytes=5_000_000_000)
    svg = to_svg(build.flow(build.body(build.task("t", a="i")), spec))
    assert "2 cores · 1 GB · 30 min · 5 GB disk" in texts(svg)


def test_an_empty_pipeline_can_be_drawn(build):
    empty = build.flow(build.body(inputs=()))
    assert texts(to_svg(empty)) == ["p"]
    assert to_mermaid(empty) == "flowchart TD\n"
    assert to_text(empty) == "p()\n"


def test_boxes_do_not_overlap_and_edges_lead_down():
    sizes = {name: Size(width=100, height=40) for name in "abcdefgh"}
    edges = [("a", "d"), ("b", "d"), ("c", "d"), ("a", "h"), ("d", "e"), ("d", "f"), ("c", "h")]
    layout = layered(sizes, [*edges, ("e", "h"), ("f", "g"), ("g", "h")])
    boxes = list(layout.places.values())
    for number, (x, y) in enumerate(boxes):
        assert x >= -0.001
        assert x + 100 <= layout.width + 0.001
        for u, v in boxes[number + 1 :]:
            assert abs(x - u) >= 100 or abs(y - v) >= 40
    for points in layout.edges.values():
        assert [y for _, y in points] == sorted(y for _, y in points)


def test_crossing_edges_are_untangled():
    sizes = {name: Size(width=50, height=20) for name in "abcd"}
    places = layered(sizes, [("a", "d"), ("b", "c")]).places
    assert (places["a"][0] < places["b"][0]) == (places["d"][0] < places["c"][0])


def test_a_hanging_box_stands_above_its_first_user():
    sizes = {name: Size(width=50, height=20) for name in "abc"}
    sizes["i"] = Size(width=50, height=10, hangs=True)
    sizes["lone"] = Size(width=50, height=10, hangs=True)
    order = {name: sizes[name] for name in ("i", "lone", "a", "b", "c")}
    places = layered(order, [("a", "b"), ("b", "c"), ("i", "c")]).places
    assert places["i"][1] == places["b"][1] + 10
    assert places["lone"][1] == places["a"][1] + 10


def test_mermaid_has_blocks_as_subgraphs(build):
    assert (
        to_mermaid(build.vis())
        == """\
flowchart TD
  n0(["i"])
  n1(["m"])
  n2["cut"]
  subgraph n3["each \N{MULTIPLICATION SIGN} N"]
    subgraph n4["block"]
      n5["dark"]
    end
    n6["cosmics"]
  end
  n7["join"]
  n8(["result"])
  n0 --> n2
  n2 --> n5
  n1 --> n5
  n5 --> n6
  n2 --> n6
  n3 --> n7
  n7 --> n8
"""
    )


def test_text_is_a_tree(build):
    flow = build.vis()
    last = replace(flow.body.nodes[2], inputs={"a": Constant(text="x y")})
    flow = replace(flow, body=replace(flow.body, nodes=(*flow.body.nodes[:2], last)))
    assert (
        to_text(replace(flow, optional_inputs=("m",)))
        == """\
p(i, [m])
├─ cut(a=i)  [1 core · 1 GB · 1 h]
├─ each(q=cut.x, m)  \N{MULTIPLICATION SIGN} N, for each q
│  ├─ block(e=q, d=m)
│  │  └─ dark(a=e, b=d)  [1 core · 1 GB · 1 h]
│  └─ cosmics(a=block.x, b=block.same)  [1 core · 1 GB · 1 h]
└─ join(a='x y')  [1 core · 1 GB · 1 h]
-> result = join.x
"""
    )


def test_nodes_in_another_order_are_drawn_downwards(build):
    flow = build.flow(build.body(build.task("late", a="early.x"), build.task("early", a="i")))
    shown = texts(to_svg(flow))
    assert shown.index("early") < shown.index("late")
