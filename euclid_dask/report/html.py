"""The HTML report of a run: one file that needs nothing else, and no network."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from euclid_dask.core.states import RUN_ENDED, TaskState
from euclid_dask.planner.nodes import Task
from euclid_dask.planner.run import Run
from euclid_dask.report import bars, words
from euclid_dask.report.drawing import svg_of
from euclid_dask.report.failures import grouped
from euclid_dask.report.gantt import COLOURS, gantt
from euclid_dask.report.history import history_of
from euclid_dask.report.stages import Stage, stages_of, together, totals
from euclid_dask.report.usage import usage_of
from euclid_dask.runner import views
from euclid_dask.worker.clock import now_s

MOST_TASKS: Final = 3000
"""More tasks than this are not listed one by one; those that are not done always are."""
MOST_WARNINGS: Final = 200


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of the pipeline: `link` leads to it from the report, "" if it is not there."""

    port: str
    path: str
    link: str
    size: str


def write_html(
    run: Run, path: Path, *, warnings: Sequence[str] = (), reruns: Mapping[str, int] | None = None
) -> None:
    """Write the report of a run to `path`.

    Raises:
        JournalError: The journal of the run cannot be read.
        OSError: The file cannot be written.
    """
    page = html_of(run, path.absolute().parent, warnings=tuple(warnings), reruns=reruns or {})
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        half.write_text(page, encoding="utf-8")
        half.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        half.unlink(missing_ok=True)


def html_of(
    run: Run, folder: Path, *, warnings: tuple[str, ...] = (), reruns: Mapping[str, int]
) -> str:
    """Return the report of a run, to be put into `folder`."""
    history = history_of(run)
    summary = views.summary(run, warnings)
    at_s = now_s() if run.state not in RUN_ENDED else run.last_s
    usage, stages = usage_of(run), totals(stages_of(run))
    page: str = _template().render(
        run=run,
        summary=summary,
        counts=_count_tiles(run),
        failures=grouped(summary.failures),
        graph=Markup(svg_of(run)),  # noqa: S704  our own drawing, which escapes its texts
        gantt=Markup(gantt(history.attempts, at_s)),  # noqa: S704
        gantt_colours=COLOURS,
        history=history,
        reruns=reruns,
        stages=stages,
        stages_together=together(stages),
        stage_names=tuple(Stage),
        stage_bars=Markup(bars.stage_bars(stages)),  # noqa: S704
        stage_colours=bars.COLOURS,
        usage=usage,
        usage_bars=Markup(bars.usage_bars(usage)),  # noqa: S704
        inputs=_inputs(run, folder),
        outputs=_outputs(run, folder),
        tasks=_listed_tasks(run),
        most_warnings=MOST_WARNINGS,
    )
    return page


@cache
def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("euclid_dask.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "counted": words.counted,
        "duration": words.duration,
        "lapse": words.lapse,
        "moment": words.moment,
        "percent": words.percent,
        "printable": words.printable,
        "ram": words.ram,
        "size": words.size,
    }
    return environment.get_template("report.html")


def _count_tiles(run: Run) -> list[tuple[str, int]]:
    """Return the states that tasks are in, and how many are."""
    return [(str(state), run.count(state)) for state in TaskState if run.count(state)]


def _inputs(run: Run, folder: Path) -> Iterator[FileRow]:
    for port, file in run.board.facts.inputs.items():
        yield _row(run, folder, port, file.path)


def _outputs(run: Run, folder: Path) -> Iterator[FileRow]:
    found = run.outputs()
    for output in run.flow.body.outputs:
        yield _row(run, folder, output.name, found.get(output.name, ""))


def _row(run: Run, folder: Path, port: str, path: str) -> FileRow:
    file = Path(run.place.workdir) / path
    if not path or not file.is_file():
        return FileRow(port, path, "", "")
    return FileRow(port, path, os.path.relpath(file, folder), words.size(file.stat().st_size))


def _listed_tasks(run: Run) -> list[Task]:
    tasks = list(run.tasks.values())
    return tasks if len(tasks) <= MOST_TASKS else [task for task in tasks if not task.is_finished]
