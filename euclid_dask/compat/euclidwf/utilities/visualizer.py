"""Drawing the graph of a pipeline, as the last lines of old scripts do. Needs no display."""

import sys
from pathlib import Path

from euclid_dask.core.flow import Flow
from euclid_dask.dataflow.draw import to_svg, to_text
from euclid_dask.dsl import PipelineFunction

__all__ = ["visualize_graph"]


def visualize_graph(graph: Flow | PipelineFunction, path: str | Path | None = None) -> None:
    """Print the graph as a tree or, if a path is given, write it there as SVG."""
    flow = graph.flow() if isinstance(graph, PipelineFunction) else graph
    if path is None:
        sys.stdout.write(to_text(flow))
    else:
        Path(path).write_text(to_svg(flow), encoding="utf-8")
