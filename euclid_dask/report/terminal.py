"""What a terminal shows of a run that ended, or as far as it got."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from euclid_dask.core.texts import NOTICE
from euclid_dask.report.failures import FailureGroup, grouped
from euclid_dask.report.words import counted, duration, listed, printable
from euclid_dask.runner.views import FailureView, Summary, TaskCounts

COLOURS: Final[Mapping[str, str]] = {
    "done": "green",
    "failed": "red",
    "cancelled": "yellow",
    "active": "blue",
    "cancelling": "yellow",
}
MOST_WARNINGS: Final = 20
_FAILURE_KEYS: Final = ("task", "reason", "exit_code", "command", "log")


def as_json(summary: Summary) -> dict[str, Any]:
    """Return what `--json` prints of a run: the contract with programs."""
    counts = summary.tasks
    return {
        "run": summary.run,
        "state": summary.state,
        "tasks": {name: getattr(counts, name) for name in counts.__struct_fields__},
        "outputs": dict(summary.outputs),
        "failures": [
            {key: getattr(failure, key) for key in _FAILURE_KEYS} for failure in summary.failures
        ],
        "wall_s": summary.wall_s,
        "warnings": list(summary.warnings),
    }


def counts_text(counts: TaskCounts) -> str:
    """Return how many tasks there are, by how they ended."""
    parts = [f"{counts.done:,} of {counted(counts.total, 'task')} done"]
    for name in ("skipped", "omitted", "failed", "blocked"):
        number = getattr(counts, name)
        if number:
            parts.append(f"{number:,} {name}")
    return ", ".join(parts)


def state_text(state: str) -> str:
    """Return a state in its colour."""
    return click.style(state, fg=COLOURS.get(state), bold=True)


def outcome(summary: Summary, workdir: Path, reruns: Mapping[str, int]) -> str:
    """Return what is said at the end of a run."""
    return "\n".join(_outcome(summary, workdir, reruns))


def _outcome(summary: Summary, workdir: Path, reruns: Mapping[str, int]) -> Iterator[str]:
    yield from failures_text(summary.failures)
    yield from _warnings(summary.warnings)
    for reason, number in reruns.items():
        yield f"{counted(number, 'task')} known from an earlier run ran again: {reason}"
    yield (
        f"{summary.run}: {state_text(summary.state)} after {duration(summary.wall_s)}, "
        f"{counts_text(summary.tasks)}"
    )
    if summary.tasks.skipped:
        yield "  (skipped: done by an earlier run, with the same inputs and programs)"
    if summary.tasks.omitted:
        yield "  (omitted: left out by --until, --from or --skip; what they made was there)"
    if summary.outputs:
        yield "outputs:"
        width = max(map(len, summary.outputs))
        for name, path in summary.outputs.items():
            yield f"  {name:<{width}}  {workdir / path}"
    if summary.state in {"failed", "cancelled"}:
        yield f"go on with it: euclid-dask resume {shlex.quote(str(workdir))}"


def _warnings(warnings: Iterable[str]) -> Iterator[str]:
    told = list(warnings)
    for text in told[:MOST_WARNINGS]:
        yield warning_text(text)
    if len(told) > MOST_WARNINGS:
        yield f"and {counted(len(told) - MOST_WARNINGS, 'warning')} more"


def warning_text(text: str) -> str:
    """Return a warning, or a notice, that says which of the two it is."""
    label, colour = (NOTICE, "cyan") if text.startswith(NOTICE) else ("warning: ", "yellow")
    return click.style(label, fg=colour) + printable(text.removeprefix(NOTICE))


def failures_text(failures: Iterable[FailureView]) -> Iterator[str]:
    """Yield the lines that tell of failures: each message once, with all its tasks."""
    groups = grouped(failures)
    for group in groups:
        yield from _group(group)
        yield ""


def _group(group: FailureGroup) -> Iterator[str]:
    first, number = group.first, len(group.failures)
    head = click.style("failed: ", fg="red", bold=True) + printable(first.reason)
    yield head + (f" (and {number - 1:,} like it)" if number > 1 else "")
    rows = {"tasks" if number > 1 else "task": listed(group.tasks, most=50)}
    if group.blocks:
        rows["blocks"] = counted(group.blocks, "task")
    if first.command:
        rows["command"] = printable(first.command)
    if first.log:
        rows["log"] = first.log
    for name, text in rows.items():
        yield f"  {name + ':':<9}{text}"
    for line in first.tail.splitlines():
        yield click.style("  | ", dim=True) + printable(line)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  "
        + row[0].ljust(widths[0])
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )
