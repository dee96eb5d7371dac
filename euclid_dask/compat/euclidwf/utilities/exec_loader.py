"""Finding the executables of a package repository."""

from collections.abc import Mapping
from pathlib import Path

from euclid_dask.dsl import Executable, load_executables

__all__ = ["get_all_executables", "load_executable"]


def get_all_executables(pkgrepo: str | Path) -> Mapping[str, Executable]:
    """Return the executables that the modules in a directory define, by variable."""
    return load_executables(Path(pkgrepo))


def load_executable(pkgrepo: str | Path, name: str) -> Executable:
    """Return the executable bound to `name` in a module of a directory; KeyError if none is."""
    return load_executables(Path(pkgrepo))[name]
