"""The steps of a flow: its tasks and joins in one list, blocks opened, with what each waits for.

A step is named by its template path: like a task's path at run time, with `*` in place of the
number of a branch (`correct.iterations.*.cosmics`). The join of a split has the path of the
split. Nested blocks are no steps: their tasks wait for what they use, not for the block.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from euclid_dask.core.errors import PipelineError
from euclid_dask.core.flow import (
    Body,
    Flow,
    FromInput,
    FromNode,
    NestedNode,
    Node,
    Source,
    SplitNode,
    TaskNode,
)
from euclid_dask.core.values import Value


class Supplier(Value, frozen=True, kw_only=True):
    """Where a file comes from: a port of a step, or a pipeline input if `path` is empty."""

    path: str
    port: str


class Step(Value, frozen=True, kw_only=True):
    """A task or a join. `waits_for` are the paths of the steps that must end before it.

    `suppliers` are those of a task's inputs, or of the values that the branches of a join return;
    `iterable` supplies the list that a join's branches split.
    """

    path: str
    node: TaskNode | SplitNode
    suppliers: dict[str, Supplier]
    waits_for: tuple[str, ...]
    iterable: Supplier | None = None


class Unfolded(Value, frozen=True, kw_only=True):
    """A flow with its blocks opened. `results` are the suppliers of its outputs."""

    steps: tuple[Step, ...]
    results: dict[str, Supplier]


@dataclass(slots=True)
class Opened:
    """A body at its place in the flow. `bound` says who supplies its arguments."""

    body: Body
    prefix: str
    bound: Mapping[str, Supplier | None]
    after: tuple[str, ...] = ()
    blocks: dict[str, "Opened"] = field(default_factory=dict)

    def supplier(self, source: Source) -> Supplier | None:
        """Return who supplies a source of this body; None for a constant or a loose end."""
        if isinstance(source, FromInput):
            return self.bound.get(source.name)
        if not isinstance(source, FromNode):
            return None
        if source.node not in self.blocks:
            return Supplier(path=self.prefix + source.node, port=source.port)
        block = self.blocks[source.node]
        sources = {output.name: output.source for output in block.body.outputs}
        return block.supplier(sources[source.port]) if source.port in sources else None


def list_inputs(flow: Flow) -> frozenset[str]:
    """Return the inputs that are lists: a split goes over them, or an executable takes a list."""
    found: set[str] = set()
    for step in unfold(flow).steps:
        suppliers = [] if step.iterable is None else [step.iterable]
        if isinstance(step.node, TaskNode):
            ports = flow.executables[step.node.executable].inputs
            lists = {port.name for port in ports if port.is_list}
            suppliers += [one for port, one in step.suppliers.items() if port in lists]
        found |= {one.port for one in suppliers if not one.path}
    return frozenset(found)


def unfold(flow: Flow) -> Unfolded:
    """Return the steps of a flow, each after those it waits for, and its results.

    Raises:
        PipelineError: If nodes wait for each other.
    """
    bound = {name: Supplier(path="", port=name) for name in flow.body.inputs}
    whole = Opened(body=flow.body, prefix="", bound=bound)
    listed = tuple(_steps(whole))
    return Unfolded(steps=listed, results=_results(whole))


def steps(flow: Flow) -> tuple[Step, ...]:
    """Return the steps of a flow, each after those it waits for.

    Raises:
        PipelineError: If nodes wait for each other.
    """
    return unfold(flow).steps


def tasks(flow: Flow) -> dict[str, TaskNode]:
    """Return the tasks of a flow by template path, in the order of the calls."""
    return dict(_tasks(flow.body, ""))


def node_sources(node: Node) -> Mapping[str, Source]:
    """Return the sources of a node by port or argument."""
    return node.inputs if isinstance(node, TaskNode) else node.arguments


def branch_prefix(path: str) -> str:
    """Return what the paths inside a branch of the split at `path` begin with."""
    return f"{path}.iterations.*."


def ordered(body: Body, prefix: str = "") -> list[Node]:
    """Return the nodes of a body, each after those it uses; in call order if that is one."""
    nodes = {node.name: node for node in body.nodes}
    uses = {name: _used(node) & nodes.keys() for name, node in nodes.items()}
    done: set[str] = set()
    for name in nodes:
        if not uses[name] <= done:
            break
        done.add(name)
    else:
        return list(nodes.values())
    try:
        return [nodes[name] for name in TopologicalSorter(uses).static_order()]
    except CycleError as error:
        circle = " -> ".join(prefix + name for name in reversed(error.args[1]))
        where = nodes[error.args[1][0]].where
        raise PipelineError(
            f"{where or 'pipeline'}: tasks wait for each other: {circle}",
            hint="a task can only use what was called before it",
        ) from error


def _used(node: Node) -> set[str]:
    sources = node_sources(node).values()
    return {source.node for source in sources if isinstance(source, FromNode)}


def _tasks(body: Body, prefix: str) -> Iterator[tuple[str, TaskNode]]:
    for node in body.nodes:
        path = prefix + node.name
        match node:
            case TaskNode():
                yield path, node
            case SplitNode():
                yield from _tasks(node.body, branch_prefix(path))
            case _:
                yield from _tasks(node.body, f"{path}.")


def _steps(place: Opened) -> Iterator[Step]:
    for node in ordered(place.body, place.prefix):
        path = place.prefix + node.name
        found = {name: place.supplier(source) for name, source in node_sources(node).items()}
        match node:
            case TaskNode():
                wired = {name: item for name, item in found.items() if item is not None}
                waits = _paths(place.after, wired)
                yield Step(path=path, node=node, suppliers=wired, waits_for=waits)
            case NestedNode():
                block = Opened(body=node.body, prefix=f"{path}.", bound=found, after=place.after)
                yield from _steps(block)
                place.blocks[node.name] = block
            case _:
                yield from _split(path, node, found, place.after)


def _split(
    path: str, node: SplitNode, found: Mapping[str, Supplier | None], after: tuple[str, ...]
) -> Iterator[Step]:
    iterable = found.get(node.iterable)
    waits = (*after, iterable.path) if iterable and iterable.path else after
    branch = Opened(body=node.body, prefix=branch_prefix(path), bound=found, after=waits)
    yield from _steps(branch)
    yield Step(
        path=path,
        node=node,
        suppliers=(results := _results(branch)),
        waits_for=_paths(waits, results),
        iterable=iterable,
    )


def _results(place: Opened) -> dict[str, Supplier]:
    found = {output.name: place.supplier(output.source) for output in place.body.outputs}
    return {name: supplier for name, supplier in found.items() if supplier is not None}


def _paths(after: tuple[str, ...], suppliers: Mapping[str, Supplier]) -> tuple[str, ...]:
    paths = [supplier.path for supplier in suppliers.values() if supplier.path]
    return tuple(dict.fromkeys([*after, *paths]))
