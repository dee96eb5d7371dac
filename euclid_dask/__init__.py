"""Runs pipelines of science executables as dataflow graphs on Dask."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from euclid_dask.dsl import (
        ComputingResources,
        Executable,
        Input,
        Output,
        nested,
        parallel,
        pipeline,
    )

__all__ = [
    "ComputingResources",
    "Executable",
    "Input",
    "Output",
    "__version__",
    "nested",
    "parallel",
    "pipeline",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that importing the package is fast."""
    if name in __all__:
        return getattr(import_module("euclid_dask.dsl"), name)
    raise AttributeError(f"module 'euclid_dask' has no attribute {name!r}")
