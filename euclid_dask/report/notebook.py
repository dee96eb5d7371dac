"""Progress of a run inside a notebook: a small HTML box that is updated in place.

IPython is used if it is there and alive; nothing here imports it otherwise.
"""

import sys
from collections.abc import Callable
from html import escape
from importlib import import_module
from typing import Any, Final

from euclid_dask.core.states import RUN_ENDED
from euclid_dask.planner.run import Run
from euclid_dask.report.words import counted, duration
from euclid_dask.runner import views
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.loop import Runner

REFRESH_S: Final = 0.5
MOST_RUNNING: Final = 6
_COLOURS: Final = {"done": "#2f9e62", "failed": "#d64545", "cancelled": "#b7791f"}


def in_notebook() -> bool:
    """Tell whether this code is called from a cell of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def ipython_display(html: str) -> Callable[[str], None]:
    """Show HTML in the notebook; return the function that replaces it."""
    display: Any = import_module("IPython.display")
    handle = display.display(display.HTML(html), display_id=True)
    return lambda changed: handle.update(display.HTML(changed))


class NotebookProgress:
    """Follows a run in this process; `show` puts HTML before the user and returns its replacer."""

    def __init__(self, show: Callable[[str], Callable[[str], None]] = ipython_display) -> None:
        self._show = show
        self._run: Run | None = None
        self._update: Callable[[str], None] | None = None
        self._next_s = 0.0

    def on_start(self, active: ActiveRun, runner: Runner) -> None:
        """Begin to show the run."""
        self._run = active.run
        self._update = self._show(progress_html(active.run, runner.clock.now_s()))

    def on_turn(self, runner: Runner) -> None:
        """Show how it stands, now and then, and at its end."""
        assert self._run is not None
        assert self._update is not None
        now_s = runner.clock.now_s()
        if now_s >= self._next_s or self._run.state in RUN_ENDED:
            self._next_s = now_s + REFRESH_S
            address = getattr(runner.executor, "dashboard_address", "")
            self._update(progress_html(self._run, now_s, address))

    def end(self) -> None:
        """Do nothing: the box stays."""


def progress_html(run: Run, now_s: float, address: str = "") -> str:
    """Return a box that tells how a run stands, with a link to the dashboard at `address`."""
    at = views.progress(run, now_s)
    ended = at.done + at.skipped
    parts = [f"{ended:,} of {counted(at.total, 'task')} done"]
    parts += [
        f"{number:,} {word}"
        for number, word in (
            (len(at.running), "running"),
            (at.failed, "failed"),
            (at.blocked, "blocked"),
        )
        if number
    ]
    left = f", about {duration(at.eta_s)} left" if at.eta_s is not None else ""
    width = 100 * ended / max(1, at.total)
    colour = "#d64545" if at.failed else _COLOURS.get(str(at.state), "#2f7fd1")
    dashboard = f' <a href="{escape(address)}">Dask dashboard</a>' if address else ""
    running = " ".join(f"<code>{escape(name)}</code>" for name in at.running[:MOST_RUNNING])
    return (
        '<div style="max-width:640px;font-size:13px;line-height:1.6">'
        f"<b>{escape(run.id)}</b>: {at.state}, {', '.join(parts)} "
        f'<span style="opacity:.7">({duration(at.elapsed_s)}{left})</span>{dashboard}'
        '<div style="background:#8884;border-radius:4px;height:8px;overflow:hidden">'
        f'<div style="background:{colour};height:8px;width:{width:.1f}%"></div></div>'
        f'<div style="opacity:.8">{running}</div></div>'
    )
