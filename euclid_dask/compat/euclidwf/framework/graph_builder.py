"""Building the graph of a pipeline, as the last lines of old scripts do."""

from euclid_dask.core.flow import Flow
from euclid_dask.dsl import PipelineFunction

__all__ = ["build_graph"]


def build_graph(pipeline: PipelineFunction | Flow) -> Flow:
    """Trace a pipeline function and return its dataflow."""
    return pipeline.flow() if isinstance(pipeline, PipelineFunction) else pipeline
