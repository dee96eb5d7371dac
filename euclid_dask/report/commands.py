"""The command lines of a pipeline before it runs: branches of a split once, with `*`."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from euclid_dask.core.attempts import InputArgument, Order, OutputArgument, Place
from euclid_dask.core.flow import (
    Body,
    Constant,
    Flow,
    FromInput,
    FromNode,
    NestedNode,
    Node,
    Source,
    SplitNode,
    TaskNode,
)
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.worker.commands import render


@dataclass(slots=True)
class _Scope:
    """A body at its place; `texts` are what its arguments stand for."""

    flow: Flow
    body: Body
    prefix: str
    texts: Mapping[str, str | None]
    nodes: dict[str, Node] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = {node.name: node for node in self.body.nodes}

    def text(self, source: Source) -> str | None:
        """Return what stands on a command line for `source`; None for no file."""
        match source:
            case Constant(text=text):
                return text
            case FromInput(name=name):
                return self.texts.get(name)
            case FromNode(node=name, port=port):
                return self._made(self.nodes[name], port)

    def _made(self, node: Node, port: str) -> str | None:
        path = self.prefix + node.name
        match node:
            case TaskNode(executable=executable):
                mime = self.flow.executables[executable].output(port).mime_type
                return f"{path}/{port}.{mime}"
            case SplitNode(output=output):
                return f"{path}.reduce/{output}.json"
            case NestedNode():
                inner = self.inner(node)
                return next(inner.text(o.source) for o in inner.body.outputs if o.name == port)

    def inner(self, node: SplitNode | NestedNode) -> "_Scope":
        """Return the body of a block."""
        texts = {name: self.text(source) for name, source in node.arguments.items()}
        prefix = f"{self.prefix}{node.name}."
        if isinstance(node, SplitNode):
            prefix += "iterations.*."
            texts[node.iterable] = f"<an element of {texts[node.iterable]}>"
        return _Scope(self.flow, node.body, prefix, texts)


def command_lines(
    flow: Flow, files: Mapping[str, str | None], workdir: str = "<workdir>", logdir: str = "logs"
) -> dict[str, str]:
    """Return the command line of each task by template path.

    `files` are the inputs known so far; one that is not known stands as `<its name>`.
    """
    texts = {name: files.get(name, f"<{name}>") for name in flow.body.inputs}
    place = Place(run=RunId(""), workdir=workdir, logdir=logdir, records="")
    return dict(_lines(_Scope(flow, flow.body, "", texts), place))


def _lines(scope: _Scope, place: Place) -> Iterator[tuple[str, str]]:
    for node in scope.body.nodes:
        if isinstance(node, TaskNode):
            path = scope.prefix + node.name
            yield path, shlex.join(render(_order(scope, node, path), place))
        else:
            yield from _lines(scope.inner(node), place)


def _order(scope: _Scope, node: TaskNode, path: str) -> Order:
    spec = scope.flow.executables[node.executable]
    wired = {name: scope.text(source) for name, source in node.inputs.items()}
    return Order(
        task=TaskId(path),
        attempt=1,
        executable=spec.name,
        command=spec.command,
        inputs=tuple(
            InputArgument(port=port.name, text=text)
            for port in spec.inputs
            if (text := wired.get(port.name)) is not None
        ),
        outputs=tuple(
            OutputArgument(
                port=port.name, path=f"{path}/{port.name}.{port.mime_type}", mime_type=""
            )
            for port in spec.outputs
        ),
        needs=spec.needs,
    )
