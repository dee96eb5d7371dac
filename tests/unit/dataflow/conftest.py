"""Flows made by hand: a small vocabulary for tests of the graph."""

import pytest

from euclid_dask.core.flow import (
    Body,
    Flow,
    FlowOutput,
    FromInput,
    FromNode,
    NestedNode,
    Source,
    SplitNode,
    TaskNode,
)
from euclid_dask.core.ports import ExecutableSpec, InputPort, OutputPort
from euclid_dask.core.resources import Resources


class Build:
    """Makes flows; a wire is written `node.port`, or `name` for an argument."""

    def wire(self, text: str) -> Source:
        node, _, port = text.partition(".")
        return FromNode(node=node, port=port) if port else FromInput(name=node)

    def wires(self, **texts: str) -> dict[str, Source]:
        return {name: self.wire(text) for name, text in texts.items()}

    def task(self, name: str, executable: str = "exe", **inputs: str) -> TaskNode:
        return TaskNode(
            name=name, executable=executable, inputs=self.wires(**inputs), where=f"script.py:{name}"
        )

    def split(self, name: str, iterable: str, body: Body, **arguments: str) -> SplitNode:
        return SplitNode(
            name=name, iterable=iterable, body=body, arguments=self.wires(**arguments), output="out"
        )

    def nested(self, name: str, body: Body, **arguments: str) -> NestedNode:
        return NestedNode(name=name, body=body, arguments=self.wires(**arguments))

    def body(self, *nodes, inputs=("i",), **outputs: str) -> Body:
        return Body(
            inputs=tuple(inputs),
            nodes=nodes,
            outputs=tuple(
                FlowOutput(name=name, source=source)
                for name, source in self.wires(**outputs).items()
            ),
        )

    def exe(self, name: str = "exe", outputs=("x",), mime_type="json", **needs) -> ExecutableSpec:
        return ExecutableSpec(
            name=name,
            command=(name,),
            inputs=(InputPort(name="a"), InputPort(name="b")),
            outputs=tuple(OutputPort(name=port, mime_type=mime_type) for port in outputs),
            needs=Resources(**needs),
            where=f"defs.py:{name}",
        )

    def flow(self, body: Body, *executables: ExecutableSpec, **fields) -> Flow:
        known = executables or (self.exe(),)
        return Flow(name="p", executables={spec.name: spec for spec in known}, body=body, **fields)

    def vis(self) -> Flow:
        """A split with a nested block in its body, between two tasks."""
        block = self.body(self.task("dark", a="e", b="d"), inputs=("e", "d"), x="dark.x", same="e")
        branch = self.body(
            self.nested("block", block, e="q", d="m"),
            self.task("cosmics", a="block.x", b="block.same"),
            inputs=("q", "m"),
            y="cosmics.x",
        )
        return self.flow(
            self.body(
                self.task("cut", a="i"),
                self.split("each", "q", branch, q="cut.x", m="m"),
                self.task("join", a="each.out"),
                inputs=("i", "m"),
                result="join.x",
            )
        )


@pytest.fixture
def build() -> Build:
    return Build()
