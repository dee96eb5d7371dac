"""The graph of a flow, and what can be read off it: order, ancestors, critical path.

Nodes are the template paths of tasks and joins (`dataflow.steps`), edges go from a step to those
that wait for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from euclid_dask.core.flow import Flow, SplitNode, TaskNode
from euclid_dask.dataflow.steps import Step, steps

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True)
class Graph:
    """The steps of a flow and their order of dependence."""

    digraph: "nx.DiGraph[str]"

    @classmethod
    def of(cls, flow: Flow) -> "Graph":
        """Build the graph of a flow.

        Raises:
            PipelineError: If nodes wait for each other.
        """
        import networkx as nx  # noqa: PLC0415 - slow to import, and not needed to load a script

        digraph: nx.DiGraph[str] = nx.DiGraph()
        for step in steps(flow):
            digraph.add_node(step.path, is_task=isinstance(step.node, TaskNode))
            digraph.add_edges_from((other, step.path) for other in step.waits_for)
        return cls(digraph)

    def order(self) -> list[str]:
        """Return all paths, each after those it waits for."""
        import networkx as nx  # noqa: PLC0415

        return list(nx.topological_sort(self.digraph))

    def ancestors(self, paths: Iterable[str]) -> set[str]:
        """Return all steps that `paths` wait for, directly or not."""
        return self._reached(self.digraph.reverse(copy=False), paths)

    def descendants(self, paths: Iterable[str]) -> set[str]:
        """Return all steps that wait for `paths`, directly or not."""
        return self._reached(self.digraph, paths)

    def tasks(self) -> list[str]:
        """Return the paths of the tasks, without the joins."""
        return [path for path, facts in self.digraph.nodes.items() if facts["is_task"]]

    @staticmethod
    def _reached(digraph: "nx.DiGraph[str]", paths: Iterable[str]) -> set[str]:
        import networkx as nx  # noqa: PLC0415

        found: set[str] = set()
        for path in paths:
            found |= nx.descendants(digraph, path)
        return found


def ranks(flow: Flow) -> dict[str, float]:
    """Return for every task the seconds of declared walltime on the longest way to the end.

    The task's own walltime is included; a join takes no time. Keys are template paths.
    """
    found: dict[str, float] = {}
    ahead: dict[str, float] = {}
    listed = steps(flow)
    for step in reversed(listed):
        rank = _walltime_s(flow, step) + ahead.get(step.path, 0.0)
        found[step.path] = rank
        for other in step.waits_for:
            ahead[other] = max(rank, ahead.get(other, 0.0))
    return {step.path: found[step.path] for step in listed if isinstance(step.node, TaskNode)}


def _walltime_s(flow: Flow, step: Step) -> float:
    if isinstance(step.node, SplitNode):
        return 0.0
    return flow.executables[step.node.executable].needs.walltime_s
