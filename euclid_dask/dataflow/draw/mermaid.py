"""Draw a flow as Mermaid text, for documents that render it."""

from collections.abc import Iterable, Iterator

from euclid_dask.core.flow import Body, Flow, SplitNode, TaskNode
from euclid_dask.dataflow.steps import Supplier, branch_prefix, unfold

INDENT = "  "


def to_mermaid(flow: Flow) -> str:
    """Return a flowchart of the flow: blocks as subgraphs, an arrow for each pair of tasks."""
    whole = unfold(flow)
    ids: dict[str, str] = {}
    lines = ["flowchart TD"]
    lines += _pills(flow.body.inputs, "<", ids)
    lines += _body(flow.body, "", ids, INDENT)
    lines += _pills(whole.results, ">", ids)
    arrows = [
        _arrow(ids, supplier, step.path)
        for step in whole.steps
        if isinstance(step.node, TaskNode)
        for supplier in step.suppliers.values()
    ]
    arrows += [_arrow(ids, supplier, f">{name}") for name, supplier in whole.results.items()]
    return "\n".join([*lines, *dict.fromkeys(arrows)]) + "\n"


def _pills(names: Iterable[str], mark: str, ids: dict[str, str]) -> Iterator[str]:
    for name in names:
        yield f'{INDENT}{_id(mark + name, ids)}(["{_label(name)}"])'


def _body(body: Body, prefix: str, ids: dict[str, str], indent: str) -> Iterator[str]:
    for node in body.nodes:
        path = prefix + node.name
        key = _id(path, ids)
        if isinstance(node, TaskNode):
            yield f'{indent}{key}["{_label(node.name)}"]'
            continue
        is_split = isinstance(node, SplitNode)
        times = " \N{MULTIPLICATION SIGN} N" if is_split else ""
        yield f'{indent}subgraph {key}["{_label(node.name)}{times}"]'
        inner = branch_prefix(path) if is_split else f"{path}."
        yield from _body(node.body, inner, ids, indent + INDENT)
        yield f"{indent}end"


def _arrow(ids: dict[str, str], supplier: Supplier, target: str) -> str:
    source = supplier.path or f"<{supplier.port}"
    return f"{INDENT}{ids[source]} --> {ids[target]}"


def _id(key: str, ids: dict[str, str]) -> str:
    return ids.setdefault(key, f"n{len(ids)}")


def _label(name: str) -> str:
    return name.replace('"', "#quot;")
