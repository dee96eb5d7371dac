"""A pipeline written as a script again, with other commands: for commands with a path of their own.

A command such as `/opt/vis/correct` is not looked for on the PATH, so no stand-in can take its
place. The script that is written here is the same pipeline, whose executables are the stand-ins;
its tasks have the same paths.
"""

import keyword
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from euclid_dask.core.flow import (
    Body,
    Constant,
    Flow,
    FromInput,
    NestedNode,
    Node,
    Source,
    SplitNode,
    TaskNode,
)
from euclid_dask.core.ports import ExecutableSpec, InputPort, OutputPort
from euclid_dask.core.resources import GB
from euclid_dask.dataflow.steps import node_sources, ordered

_HEAD = '''\
"""The pipeline '{name}' with stand-ins, written by euclid-dask mock. Source: {script}"""

from euclid_dask import ComputingResources, Executable, Input, Output, nested, parallel, pipeline
'''


def render_script(flow: Flow, commands: Mapping[str, tuple[str, ...]]) -> str:
    """Return a script of the same pipeline, whose executables have these commands."""
    writer = _Writer(flow)
    for key, spec in flow.executables.items():
        writer.blocks.append(_executable(writer.variable(key), spec, commands[key]))
    lines = writer.body(flow.body)
    arguments = ", ".join(
        f"{name}=None" if name in flow.optional_inputs else name for name in flow.body.inputs
    )
    outputs = tuple(output.name for output in flow.body.outputs)
    writer.blocks.append(_function(f"pipeline(outputs={outputs!r})", flow.name, arguments, lines))
    head = _HEAD.format(name=flow.name, script=flow.script or "a function")
    return "\n\n".join([head, *writer.blocks])


@dataclass(slots=True)
class _Writer:
    """The functions written so far."""

    flow: Flow
    blocks: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def variable(self, key: str) -> str:
        """Return the variable of an executable."""
        usable = key.isidentifier() and not keyword.iskeyword(key) and key != self.flow.name
        return self.names.setdefault(key, key if usable else f"executable_{len(self.names) + 1}")

    def body(self, body: Body) -> list[str]:
        """Return the lines of a body; write the blocks that it calls before."""
        lines: list[str] = []
        made: dict[tuple[str, str], str] = {}
        for number, node in enumerate(ordered(body), 1):
            ports = _outputs(self.flow, node)
            variables = [f"result_{number}_{at}" for at in range(1, len(ports) + 1)]
            given = [f"name={node.name!r}"]
            given += [
                f"{port}={_value(source, made)}" for port, source in node_sources(node).items()
            ]
            assigned = f"({', '.join(variables)},) = " if variables else ""
            lines.append(f"{assigned}{self._callee(node)}({', '.join(given)})")
            made |= {(node.name, port): name for port, name in zip(ports, variables, strict=True)}
        results = [_value(output.source, made) for output in body.outputs]
        return [*lines, f"return ({', '.join(results)},)"]

    def _callee(self, node: Node) -> str:
        if isinstance(node, TaskNode):
            return self.variable(node.executable)
        lines = self.body(node.body)
        name = f"block_{len(self.blocks) + 1}"
        self.blocks.append(_function(_decorator(node), name, ", ".join(node.body.inputs), lines))
        return name


def _decorator(node: SplitNode | NestedNode) -> str:
    if isinstance(node, NestedNode):
        return f"nested(outputs={tuple(output.name for output in node.body.outputs)!r})"
    return (
        f"parallel(iterable={node.iterable!r}, outputs=({node.output!r},), "
        f"on_error={node.on_error!r}, max_failed_fraction={node.max_failed_fraction!r})"
    )


def _function(decorator: str, name: str, arguments: str, lines: list[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"@{decorator}\ndef {name}({arguments}):\n{body}"


def _outputs(flow: Flow, node: Node) -> tuple[str, ...]:
    match node:
        case TaskNode():
            return tuple(port.name for port in flow.executables[node.executable].outputs)
        case NestedNode():
            return tuple(output.name for output in node.body.outputs)
        case SplitNode():
            return (node.output,)


def _value(source: Source, made: Mapping[tuple[str, str], str]) -> str:
    match source:
        case Constant(text=text):
            return repr(text)
        case FromInput(name=name):
            return name
        case _:
            return made[source.node, source.port]


def _executable(variable: str, spec: ExecutableSpec, command: tuple[str, ...]) -> str:
    needs = spec.needs
    resources = (
        f"cores={needs.cores!r}, ram={needs.ram_bytes / GB!r}, "
        f"walltime={needs.walltime_s / 3600!r}, disk={needs.disk_bytes / GB!r}"
    )
    lines = [
        f"{variable} = Executable(",
        f"    command={shlex.join(command)!r},",
        *_ports("inputs", (_input(port) for port in spec.inputs)),
        *_ports("outputs", (_output(port) for port in spec.outputs)),
        f"    resources=ComputingResources({resources}),",
        ")\n",
    ]
    return "\n".join(lines)


def _ports(name: str, ports: Iterator[str]) -> list[str]:
    return [f"    {name}=[", *(f"        {port}," for port in ports), "    ],"]


def _input(port: InputPort) -> str:
    optional = ", optional=True" if port.optional else ""
    return f"Input({port.name!r}, {port.dm_type!r}, content_type={port.content!r}{optional})"


def _output(port: OutputPort) -> str:
    temporary = ", temporary=True" if port.temporary else ""
    return (
        f"Output({port.name!r}, {port.dm_type!r}, mime_type={port.mime_type!r}, "
        f"content_type={port.content!r}{temporary})"
    )
