"""Flows made by hand: a short way to write pipelines for simulations and tests.

A flow of two tasks and a split:

    flow(
        body(
            task("list_them", raw=arg("raw")),
            split("each", body(task("work", image=arg("item")), inputs=("item",),
                               out=out("work", "result")),
                  over="item", item=out("list_them", "items")),
            inputs=("raw",),
            results=out("each", "tuplelist"),
        )
    )
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from euclid_dask.core.flow import (
    Body,
    Flow,
    FlowOutput,
    FromInput,
    FromNode,
    NestedNode,
    OnError,
    Source,
    SplitNode,
    TaskNode,
)
from euclid_dask.core.ports import ExecutableSpec, InputPort, OutputPort
from euclid_dask.core.resources import Resources

LIST_PORT: Final = "items"
"""The name of the output ports that are lists."""


def arg(name: str) -> FromInput:
    """Return the value of an argument of the enclosing body."""
    return FromInput(name=name)


def out(node: str, port: str = "out") -> FromNode:
    """Return an output of another node of the same body."""
    return FromNode(node=node, port=port)


def task(name: str, executable: str | None = None, /, **inputs: Source) -> TaskNode:
    """Return a call of an executable, by default of the same name."""
    return TaskNode(name=name, executable=executable or name, inputs=inputs)


def split(
    name: str,
    branch: Body,
    /,
    *,
    over: str,
    on_error: OnError = "fail",
    max_failed_fraction: float = 1.0,
    **arguments: Source,
) -> SplitNode:
    """Return a split over the argument `over` of its body."""
    return SplitNode(
        name=name,
        iterable=over,
        arguments=arguments,
        body=branch,
        on_error=on_error,
        max_failed_fraction=max_failed_fraction,
    )


def nested(name: str, block: Body, /, **arguments: Source) -> NestedNode:
    """Return a nested block."""
    return NestedNode(name=name, arguments=arguments, body=block)


def body(
    *nodes: TaskNode | SplitNode | NestedNode, inputs: tuple[str, ...] = (), **outputs: Source
) -> Body:
    """Return a body with these nodes, arguments and results."""
    results = tuple(FlowOutput(name=name, source=source) for name, source in outputs.items())
    return Body(inputs=inputs, nodes=nodes, outputs=results)


def flow(
    top: Body,
    needs: Mapping[str, Resources] | None = None,
    name: str = "flow",
    temporary: Collection[str] = (),
) -> Flow:
    """Return the flow of a body. Its executables have the ports that are used, and `out`.

    The outputs of those in `temporary` are temporary.
    """
    inputs: dict[str, dict[str, None]] = {}
    outputs: dict[str, dict[str, None]] = {}
    for inside in _bodies(top):
        tasks = {node.name: node for node in inside.nodes if isinstance(node, TaskNode)}
        for node in tasks.values():
            inputs.setdefault(node.executable, {}).update(dict.fromkeys(node.inputs))
            outputs.setdefault(node.executable, {"out": None})
        for source in _sources(inside):
            if isinstance(source, FromNode) and source.node in tasks:
                outputs[tasks[source.node].executable][source.port] = None
    executables = {
        key: ExecutableSpec(
            name=key,
            command=(key,),
            inputs=tuple(InputPort(name=port) for port in ports),
            outputs=tuple(_output(port, temporary=key in temporary) for port in outputs[key]),
            needs=(needs or {}).get(key, Resources()),
        )
        for key, ports in inputs.items()
    }
    return Flow(name=name, executables=executables, body=top)


def _output(port: str, *, temporary: bool) -> OutputPort:
    if port == LIST_PORT:
        return OutputPort(name=port, mime_type="json", content="listfile", temporary=temporary)
    return OutputPort(name=port, temporary=temporary)


def _bodies(top: Body) -> Iterator[Body]:
    yield top
    for node in top.nodes:
        if not isinstance(node, TaskNode):
            yield from _bodies(node.body)


def _sources(inside: Body) -> Iterator[Source]:
    for node in inside.nodes:
        yield from (node.inputs if isinstance(node, TaskNode) else node.arguments).values()
    yield from (output.source for output in inside.outputs)
