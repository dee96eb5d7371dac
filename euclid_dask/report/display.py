"""Which display follows a run: that of a notebook, of a terminal, or none."""

import sys

from euclid_dask.report.notebook import NotebookProgress, in_notebook
from euclid_dask.report.progress import ProgressDisplay


def usual_display() -> ProgressDisplay | None:
    """Return the display for who looks; None where output goes to a file or a pipe."""
    if in_notebook():
        return NotebookProgress()
    if not sys.stderr.isatty():
        return None
    from rich.console import Console  # noqa: PLC0415  slow to import

    from euclid_dask.report.live import LiveProgress  # noqa: PLC0415

    return LiveProgress(Console(stderr=True))
