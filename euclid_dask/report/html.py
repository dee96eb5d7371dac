"""The HTML report of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from euclid_dask.planner.run import Run


def write_html(
    run: Run, path: Path, *, warnings: Sequence[str] = (), reruns: Mapping[str, int] | None = None
) -> None:
    """Write."""
