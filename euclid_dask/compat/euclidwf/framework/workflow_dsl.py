"""The decorators of pipeline scripts."""

from euclid_dask.dsl import nested, parallel, pipeline

__all__ = ["nested", "parallel", "pipeline"]
