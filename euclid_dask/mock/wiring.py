"""Which files of a pipeline have to be lists, and who reads what: found by walking the flow.

A file has a depth: 0 for a file, 1 for a list of files, 2 for a list of lists. What a split goes
over must be a list, whatever its port declares; a split inside a split over the element of a list
makes that a list of lists. What the executable of a port declares counts where no split does.
"""

from collections.abc import Mapping
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
from euclid_dask.core.ports import ExecutableSpec, InputPort
from euclid_dask.dataflow.steps import branch_prefix, node_sources, ordered


@dataclass(frozen=True, slots=True)
class Origin:
    """A file that is there at the start or made by an executable, or an element of it.

    `executable` is "" for a pipeline input; `level` is how many times an element was taken.
    """

    executable: str
    port: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """A text written in the script."""

    text: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A list that the runner writes, of these values in each branch."""

    elements: tuple["Stuff", ...]


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several values."""

    values: tuple["Stuff", ...]


Stuff = Origin | Text | Joined | OneOf
Key = tuple[str, str]
"""An executable, or "" for the pipeline's inputs, and a port."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A port that reads the elements of a file at some level."""

    port: InputPort
    level: int


@dataclass(slots=True)
class Wiring:
    """What the walk found.

    `split_depths` are the depths that splits ask for, `read_depths` those that declared list
    ports ask for. `tasks` are the template paths of each executable's tasks, `texts` the texts
    written in the script for its ports.
    """

    flow: Flow
    split_depths: dict[Key, int] = field(default_factory=dict)
    read_depths: dict[Key, int] = field(default_factory=dict)
    readings: dict[Key, list[Reading]] = field(default_factory=dict)
    tasks: dict[str, list[str]] = field(default_factory=dict)
    texts: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, flow: Flow) -> "Wiring":
        """Walk a flow.

        Raises:
            PipelineError: If nodes wait for each other.
        """
        wiring = cls(flow)
        bound: dict[str, Stuff] = {name: Origin("", name) for name in flow.body.inputs}
        wiring._walk(flow.body, "", bound)
        return wiring

    def input_depth(self, name: str) -> int:
        """Return the depth of a pipeline input."""
        key = ("", name)
        return max(self.split_depths.get(key, 0), self.read_depths.get(key, 0))

    def output_depth(self, key: str, spec: ExecutableSpec, port: str) -> int:
        """Return the depth of an output: a list if it is split, declared one, or read as one."""
        output = spec.output(port)
        depth = self.split_depths.get((key, port), 0)
        if output.is_list:
            depth = max(depth, 1)
        if output.is_list or output.mime_type == "json":
            depth = max(depth, self.read_depths.get((key, port), 0))
        return depth

    def dm_type(self, key: Key, depth: int) -> str:
        """Return the type that the readers of a file, or of its innermost elements, declare."""
        found = [
            reading.port.dm_type
            for reading in self.readings.get(key, [])
            if reading.port.dm_type and reading.level == depth
        ]
        return found[0] if found else ""

    def contents(self, name: str) -> set[str]:
        """Return the content types that the readers of a pipeline input declare."""
        return {reading.port.content for reading in self.readings.get(("", name), [])}

    def is_used(self, name: str) -> bool:
        """Tell whether anything uses a pipeline input."""
        return bool(self.readings.get(("", name))) or ("", name) in self.split_depths

    def _walk(self, body: Body, prefix: str, bound: Mapping[str, Stuff]) -> dict[str, Stuff]:
        """Walk one body; return what its results stand for."""
        made: dict[Key, Stuff] = {}

        def stuff(sources: Mapping[str, Source]) -> dict[str, Stuff]:
            found = {name: _resolve(source, bound, made) for name, source in sources.items()}
            return {name: value for name, value in found.items() if value is not None}

        for node in ordered(body, prefix):
            results = self._node(node, prefix + node.name, stuff(node_sources(node)))
            made |= {(node.name, name): value for name, value in results.items()}
        return stuff({output.name: output.source for output in body.outputs})

    def _node(self, node: Node, path: str, given: Mapping[str, Stuff]) -> dict[str, Stuff]:
        match node:
            case TaskNode():
                return self._task(node, path, given)
            case NestedNode():
                return self._walk(node.body, f"{path}.", given)
            case SplitNode():
                return self._split(node, path, given)

    def _task(self, node: TaskNode, path: str, given: Mapping[str, Stuff]) -> dict[str, Stuff]:
        key = node.executable
        spec = self.flow.executables[key]
        self.tasks.setdefault(key, []).append(path)
        for port in spec.inputs:
            if port.name in given:
                self._read(given[port.name], port, key, int(port.is_list))
        return {port.name: Origin(key, port.name) for port in spec.outputs}

    def _split(self, node: SplitNode, path: str, given: Mapping[str, Stuff]) -> dict[str, Stuff]:
        inner = dict(given)
        if node.iterable in given:
            self._require(given[node.iterable], 1)
            inner[node.iterable] = _element(given[node.iterable])
        results = tuple(self._walk(node.body, branch_prefix(path), inner).values())
        return {node.output: Joined(results if len(results) == 1 else (Joined(results),))}

    def _require(self, value: Stuff, depth: int) -> None:
        """Note that a split needs `value` to be a list of at least that depth."""
        match value:
            case Origin(executable, port, level):
                key = (executable, port)
                self.split_depths[key] = max(self.split_depths.get(key, 0), level + depth)
            case Joined(elements) if depth > 1:
                for element in elements:
                    self._require(element, depth - 1)
            case OneOf(values):
                for one in values:
                    self._require(one, depth)
            case _:
                pass

    def _read(self, value: Stuff, port: InputPort, reader: str, depth: int) -> None:
        """Note that an input port reads `value`, as a list if `depth` is 1."""
        match value:
            case Origin(executable, name, level):
                key = (executable, name)
                self.read_depths[key] = max(self.read_depths.get(key, 0), level + depth)
                self.readings.setdefault(key, []).append(Reading(port, level + depth))
            case Text(text):
                self.texts.setdefault(reader, set()).add(text)
            case Joined():
                pass
            case OneOf(values):
                for one in values:
                    self._read(one, port, reader, depth)


def _resolve(source: Source, bound: Mapping[str, Stuff], made: Mapping[Key, Stuff]) -> Stuff | None:
    if isinstance(source, Constant):
        return Text(source.text)
    if isinstance(source, FromInput):
        return bound.get(source.name)
    return made.get((source.node, source.port))


def _element(value: Stuff) -> Stuff:
    """Return what an element of a list stands for."""
    match value:
        case Origin(executable, port, level):
            return Origin(executable, port, level + 1)
        case Text():
            return value
        case Joined(elements):
            return elements[0] if len(elements) == 1 else OneOf(elements)
        case OneOf(values):
            return OneOf(tuple(_element(one) for one in values))
