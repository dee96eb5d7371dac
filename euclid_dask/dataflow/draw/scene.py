"""What there is to draw: the boxes of a body, with the boxes inside them, laid out.

A split is one box that holds its body once, a nested block a box around its own. Inputs that go
to many tasks are not drawn as edges but listed, since they would hide everything else.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from euclid_dask.core.flow import (
    Body,
    Flow,
    FromInput,
    FromNode,
    Node,
    SplitNode,
    TaskNode,
)
from euclid_dask.core.resources import GB, Resources
from euclid_dask.dataflow.draw.layout import Edge, Layout, Size, layered
from euclid_dask.dataflow.steps import branch_prefix, node_sources, ordered

BROADCAST: Final = 4
"""An input used by more nodes than this is listed, not wired."""
TASK_HEIGHT: Final = 48.0
PILL_HEIGHT: Final = 24.0
HEADER: Final = 30.0
PADDING: Final = 16.0
CHAR_WIDTH: Final = 7.8
MAX_CHARS: Final = 34

States = Mapping[str, str | Mapping[str, int]]
"""By template path of a task: its state, or how many of its branches are in which state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A task, a block, or a pill for an input or output.

    `kind` is "task", "split", "nested", "input", "each" (an element of a list) or "output".
    """

    kind: str
    title: str
    size: Size
    detail: str = ""
    tooltip: str = ""
    counts: Mapping[str, int]
    inner: "Scene | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The boxes of a body and their layout. `everywhere` names the inputs that are not wired."""

    boxes: dict[str, Box]
    layout: Layout
    everywhere: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What to show: states, numbers of branches, and how many levels of blocks are open."""

    flow: Flow
    states: States
    branches: Mapping[str, int]
    depth: int


def scene(view: View) -> Scene:
    """Return the whole pipeline, with its inputs and outputs."""
    return _scene(view, view.flow.body, "", tuple(view.flow.body.inputs), depth=view.depth)


def resources_text(needs: Resources) -> str:
    """Return what a task needs in a few words: "2 cores · 4 GB · 30 min"."""
    cores = f"{needs.cores:g} core{'' if needs.cores == 1 else 's'}"
    minutes = needs.walltime_s / 60
    time = f"{minutes / 60:g} h" if minutes >= 60 else f"{minutes:g} min"
    disk = [f"{needs.disk_bytes / GB:g} GB disk"] if needs.disk_bytes else []
    return " · ".join([cores, f"{needs.ram_bytes / GB:g} GB", time, *disk])


def shortened(text: str) -> str:
    """Return `text`, cut in the middle if it is too long for a box."""
    if len(text) <= MAX_CHARS:
        return text
    half = MAX_CHARS // 2 - 1
    return f"{text[:half]}…{text[-half:]}"


def _scene(view: View, body: Body, prefix: str, shown: tuple[str, ...], *, depth: int) -> Scene:
    nodes = ordered(body, prefix)
    users = Counter(
        name
        for node in nodes
        for name in {s.name for s in node_sources(node).values() if isinstance(s, FromInput)}
    )
    everywhere = tuple(name for name in shown if users[name] > BROADCAST and not prefix)
    wired = [name for name in shown if name not in everywhere]
    boxes = {f"<{name}": _pill("each" if prefix else "input", name) for name in wired}
    boxes |= {node.name: _box(view, node, prefix + node.name, depth) for node in nodes}
    edges: list[Edge] = []
    for node in nodes:
        for source in node_sources(node).values():
            edges += _edge(source, node.name, boxes)
    if not prefix:
        for output in body.outputs:
            boxes[f">{output.name}"] = _pill("output", output.name)
            edges += _edge(output.source, f">{output.name}", boxes)
    layout = layered({name: box.size for name, box in boxes.items()}, edges)
    return Scene(boxes=boxes, layout=layout, everywhere=everywhere)


def _edge(source: object, target: str, boxes: Mapping[str, Box]) -> list[Edge]:
    if isinstance(source, FromNode):
        return [(source.node, target)]
    if isinstance(source, FromInput) and f"<{source.name}" in boxes:
        return [(f"<{source.name}", target)]
    return []


def _pill(kind: str, name: str) -> Box:
    title = f"each {name}" if kind == "each" else name
    width = len(shortened(title)) * CHAR_WIDTH + 22
    size = Size(width=width, height=PILL_HEIGHT, hangs=kind != "output")
    return Box(kind=kind, title=title, size=size, counts={})


def _box(view: View, node: Node, path: str, depth: int) -> Box:
    if isinstance(node, TaskNode):
        return _task(view, node, path)
    is_split = isinstance(node, SplitNode)
    prefix = branch_prefix(path) if is_split else f"{path}."
    kind = "split" if is_split else "nested"
    detail = f"\N{MULTIPLICATION SIGN} {view.branches.get(path, 'N')}" if is_split else ""
    shown = (node.iterable,) if isinstance(node, SplitNode) else ()
    title = len(shortened(node.name)) * CHAR_WIDTH + len(detail) * CHAR_WIDTH + 52
    counts = _counts(view, prefix)
    tooltip = f"{path}\n{node.where}"
    if depth <= 0:
        number = _tasks_in(node)
        tasks = f"{number} task{'' if number == 1 else 's'}"
        detail = f"{detail} · {tasks}" if detail else tasks
        size = Size(width=max(title, 150.0), height=TASK_HEIGHT)
        return Box(
            kind=kind, title=node.name, size=size, detail=detail, tooltip=tooltip, counts=counts
        )
    inner = _scene(view, node.body, prefix, shown, depth=depth - 1)
    size = Size(
        width=max(title, inner.layout.width + 2 * PADDING),
        height=inner.layout.height + HEADER + PADDING,
    )
    return Box(
        kind=kind,
        title=node.name,
        size=size,
        detail=detail,
        tooltip=tooltip,
        counts=counts,
        inner=inner,
    )


def _task(view: View, node: TaskNode, path: str) -> Box:
    spec = view.flow.executables[node.executable]
    detail = resources_text(spec.needs)
    counts = _counts(view, path)
    lines = [path, " ".join(spec.command), detail, node.where]
    if counts:
        lines.append(", ".join(f"{state}: {count}" for state, count in counts.items()))
    width = max(len(shortened(node.name)) * CHAR_WIDTH, len(detail) * 5.6) + 26
    return Box(
        kind="task",
        title=node.name,
        size=Size(width=max(width, 120.0), height=TASK_HEIGHT),
        detail=detail,
        tooltip="\n".join(line for line in lines if line),
        counts=counts,
    )


def _counts(view: View, prefix: str) -> Mapping[str, int]:
    """Return how many tasks at or under a path are in which state."""
    counts: Counter[str] = Counter()
    for path, state in view.states.items():
        if path == prefix or (prefix.endswith(".") and path.startswith(prefix)):
            counts.update({state: 1} if isinstance(state, str) else dict(state))
    return +counts


def _tasks_in(node: Node) -> int:
    return 1 if isinstance(node, TaskNode) else sum(_tasks_in(other) for other in node.body.nodes)
