"""Package definitions: executables and their ports."""

from euclid_dask.dsl import (
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

TaskProperties = Executable

__all__ = [
    "MIME_TXT",
    "MIME_XML",
    "TYPE_FILE",
    "TYPE_LISTFILE",
    "ComputingResources",
    "Executable",
    "Input",
    "Output",
    "Package",
    "TaskProperties",
]
