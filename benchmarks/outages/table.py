"""What the outages cost, as a table for the documentation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.outages.check import Verdict
from benchmarks.outages.kinds import NONE, OUTAGES
from benchmarks.outages.scene import Size

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = """\
| what happens | extra starts | seconds lost | what the user sees |
|---|--:|--:|---|
"""


class Result(Protocol):
    """What became of a run that was disturbed."""

    name: str
    whole_s: float
    verdict: Verdict


def write(page: Path, results: Sequence[Result], size: Size) -> None:
    """Put the table between the markers of a page."""
    head, _, rest = page.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n\n{table(results, size)}\n{END}{tail}")


def table(results: Sequence[Result], size: Size) -> str:
    """Return the table; the first result is that of the undisturbed run."""
    undisturbed_s = next(one.whole_s for one in results if one.name == NONE.name)
    about = (
        f"{size.tasks} tasks of {size.seconds[0]:g} to {size.seconds[1]:g} s on {size.pilots} "
        f"pilots of 2 cores, {undisturbed_s:.0f} s when nothing happens. What ends again lasts "
        f"{size.outage_s:g} s.\n\n"
    )
    rows = [
        f"| {_title(one.name, size)} | {one.verdict.extra_starts} | "
        f"{one.whole_s - undisturbed_s:.0f} | {OUTAGES[one.name].seen} |\n"
        for one in results
        if one.name != NONE.name
    ]
    return about + HEAD + "".join(rows)


def _title(name: str, size: Size) -> str:
    return OUTAGES[name].title.format(tenth_s=size.outage_s / 10)
