"""Draw a flow as an indented tree, for terminals."""

from collections.abc import Iterator, Mapping

from euclid_dask.core.flow import (
    Body,
    Flow,
    FromInput,
    FromNode,
    Source,
    SplitNode,
    TaskNode,
)
from euclid_dask.dataflow.draw.scene import resources_text
from euclid_dask.dataflow.steps import node_sources


def to_text(flow: Flow) -> str:
    """Return the blocks and tasks of a flow as a tree, each with where its inputs come from."""
    inputs = [f"[{name}]" if name in flow.optional_inputs else name for name in flow.body.inputs]
    lines = [f"{flow.name}({', '.join(inputs)})", *_body(flow, flow.body, "")]
    outputs = [f"{output.name} = {_source(output.source)}" for output in flow.body.outputs]
    return "\n".join([*lines, *(f"-> {output}" for output in outputs)]) + "\n"


def _body(flow: Flow, body: Body, indent: str) -> Iterator[str]:
    for number, node in enumerate(body.nodes, start=1):
        last = number == len(body.nodes)
        branch, rest = ("└─ ", "   ") if last else ("├─ ", "│  ")
        wires = _wires(node_sources(node))
        match node:
            case TaskNode():
                needs = resources_text(flow.executables[node.executable].needs)
                yield f"{indent}{branch}{node.name}({wires})  [{needs}]"
            case SplitNode():
                times = f"\N{MULTIPLICATION SIGN} N, for each {node.iterable}"
                yield f"{indent}{branch}{node.name}({wires})  {times}"
                yield from _body(flow, node.body, indent + rest)
            case _:
                yield f"{indent}{branch}{node.name}({wires})"
                yield from _body(flow, node.body, indent + rest)


def _wires(sources: Mapping[str, Source]) -> str:
    texts = {name: _source(source) for name, source in sources.items()}
    return ", ".join(name if name == text else f"{name}={text}" for name, text in texts.items())


def _source(source: Source) -> str:
    match source:
        case FromInput(name=name):
            return name
        case FromNode(node=node, port=port):
            return f"{node}.{port}"
        case _:
            return repr(source.text)
