"""The language of pipelines: executables, ports, decorators, and loading a script.

A pipeline script defines or imports executables and wires them in a decorated function. This
room traces that function to a `Flow`; it runs nothing and knows no path of data.
"""

from euclid_dask.dsl.blocks import LoadedPipeline, PipelineFunction
from euclid_dask.dsl.decorators import nested, parallel, pipeline
from euclid_dask.dsl.definitions import (
    MIME_TXT,
    MIME_XML,
    TYPE_FILE,
    TYPE_LISTFILE,
    ComputingResources,
    Executable,
    Input,
    Output,
    Package,
)
from euclid_dask.dsl.load import load, load_executables

__all__ = [
    "MIME_TXT",
    "MIME_XML",
    "TYPE_FILE",
    "TYPE_LISTFILE",
    "ComputingResources",
    "Executable",
    "Input",
    "LoadedPipeline",
    "Output",
    "Package",
    "PipelineFunction",
    "load",
    "load_executables",
    "nested",
    "parallel",
    "pipeline",
]
