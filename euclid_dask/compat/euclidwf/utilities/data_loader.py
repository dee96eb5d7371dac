"""Reading the data file of a run."""

import os
from pathlib import Path

from euclid_dask.core.errors import InputError

__all__ = ["load_data"]


def load_data(path: str | Path) -> dict[str, str]:
    """Return the `key=value` lines of a data file; comments and blank lines are left out."""
    found: dict[str, str] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        text = line.split("#", maxsplit=1)[0].strip()
        if not text:
            continue
        key, equals, value = (part.strip() for part in text.partition("="))
        if not key or not equals:
            raise InputError(f"{path}:{number}: not a line of the form key=value: {line}")
        if key in found:
            raise InputError(f"{path}:{number}: the key '{key}' is there twice")
        found[key] = os.path.expandvars(value)
    return found
