"""The decorators of pipeline scripts, and the functions that the old runner used on them."""

from collections.abc import Mapping
from pathlib import Path

from euclid_dask.core.flow import Flow
from euclid_dask.core.ports import ExecutableSpec
from euclid_dask.dsl import Executable, PipelineFunction, load, nested, parallel, pipeline
from euclid_dask.dsl.handles import Handle, Outputs

__all__ = [
    "get_invoked_execs",
    "get_portnames",
    "invoke_pipeline",
    "invoke_task",
    "load_pipeline_from_file",
    "nested",
    "parallel",
    "pipeline",
]


def invoke_task(task: Executable, **inputs: object) -> Handle | Outputs:
    """Call an executable inside a pipeline."""
    return task(**inputs)


def invoke_pipeline(function: PipelineFunction) -> Flow:
    """Trace a pipeline function and return its dataflow."""
    return function.flow()


def load_pipeline_from_file(script: str | Path, pkgrepo: str | Path | None = None) -> Flow:
    """Load a script and return the dataflow of its pipeline."""
    return load(Path(script), Path(pkgrepo) if pkgrepo is not None else None).flow


def get_portnames(pipeline: Flow | PipelineFunction) -> list[str]:
    """Return the names of the inputs of a pipeline."""
    return list(_flow(pipeline).body.inputs)


def get_invoked_execs(pipeline: Flow | PipelineFunction) -> Mapping[str, ExecutableSpec]:
    """Return the executables that a pipeline calls, by name."""
    return _flow(pipeline).executables


def _flow(pipeline: Flow | PipelineFunction) -> Flow:
    return pipeline.flow() if isinstance(pipeline, PipelineFunction) else pipeline
