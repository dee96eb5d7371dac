"""Bars as SVG: where the time of each executable went, and what it used of what it asked for."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from euclid_dask.report.stages import Stage, StageTotals
from euclid_dask.report.usage import Usage
from euclid_dask.report.words import lapse, percent

COLOURS: Final = {
    Stage.QUEUE: "#d5dae0",
    Stage.MATCH: "#8e5bb5",
    Stage.BEHIND: "#b8c4d0",
    Stage.CARRY: "#d98c3a",
    Stage.LAUNCH: "#e0c14a",
    Stage.RUN: "#2f9e62",
    Stage.CHECK: "#3aa6b9",
    Stage.REGISTER: "#d64545",
}
WIDTH: Final = 1100.0
LABELS: Final = 290.0
NOTES: Final = 210.0
ROW: Final = 22.0
TOP: Final = 24.0
MOST_CHARS: Final = 44
FULL: Final = 1.25
"""The share of what was asked for at which a bar ends."""


def stage_bars(parts: Sequence[StageTotals]) -> str:
    """Return a bar for each executable: the stages of its attempts, as shares; "" for none."""
    return _drawing("where time went", "stages", _stage_rows(parts), len(parts)) if parts else ""


def usage_bars(usages: Sequence[Usage]) -> str:
    """Return three bars for each executable: cores, RAM and walltime used of those asked for."""
    if not usages:
        return ""
    return _drawing("used, of what was asked for", "used", _usage_rows(usages), len(usages))


def _drawing(title: str, kind: str, rows: Iterable[str], count: int) -> str:
    height = TOP + ROW * count + 6
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gantt {kind}" role="img" '
        f'viewBox="0 0 {WIDTH:.0f} {height:.0f}"><title>{title}</title>'
    )
    return "\n".join([head, *rows, "</svg>"])


def _stage_rows(parts: Sequence[StageTotals]) -> Iterator[str]:
    yield _text(LABELS, 12, "of the time from ready to registered", "sub", anchor="start")
    yield _text(WIDTH - NOTES + 10, 12, "mean in all; ours, of ours and run", "sub", anchor="start")
    room = WIDTH - LABELS - NOTES
    for number, part in enumerate(parts):
        y, x = TOP + ROW * number, LABELS
        whole = sum(part.seconds.values()) or 1.0
        yield _name(part.executable, y)
        for stage in Stage:
            width = room * part.seconds[stage] / whole
            if width >= 0.05:
                told = f"{part.executable}: {stage} {lapse(part.mean_s(stage))} on average"
                yield _bar(x, y + 5, width, COLOURS[stage], told)
            x += width
        mean = lapse(whole / part.count if part.count else 0.0)
        note = f"{mean}; {percent(part.engine_share)}"
        yield _text(WIDTH - NOTES + 10, y + 15, note, "label", anchor="start")


def _usage_rows(usages: Sequence[Usage]) -> Iterator[str]:
    step = (WIDTH - LABELS) / 3
    room = step - 24
    for column, title in enumerate(("cores", "RAM", "walltime")):
        x = LABELS + step * column
        yield _text(x, 12, f"{title}, of asked", "sub", anchor="start")
    for number, use in enumerate(usages):
        y = TOP + ROW * number
        yield _name(use.executable, y)
        for column, (middle, most) in enumerate(_shares(use)):
            x = LABELS + step * column
            told = f"{use.executable}: {percent(middle)} in the middle, {percent(most)} at most"
            colour = COLOURS[Stage.CARRY] if most > 0.9 else "#5a8fc7"
            yield _bar(x, y + 5, room, "#eef1f5", "")
            yield _bar(x, y + 5, room * min(1.0, most / FULL), f"{colour}80", told)
            yield _bar(x, y + 5, room * min(1.0, middle / FULL), colour, told)

    foot = TOP + ROW * len(usages)
    for column in range(3):
        x = LABELS + step * column + room / FULL
        yield f'<line class="asked" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{foot}"/>'


def _shares(use: Usage) -> tuple[tuple[float, float], ...]:
    """Return the middle and the largest share of cores, RAM and walltime that was used."""
    ram, walltime = use.asked.ram_bytes or 1, use.asked.walltime_s or 1.0
    cores = use.cores / (use.asked.cores or 1.0)
    return (
        (cores, cores),
        (use.ram_bytes[0] / ram, use.ram_bytes[2] / ram),
        (use.wall_s[0] / walltime, use.wall_s[2] / walltime),
    )


def _bar(x: float, y: float, width: float, colour: str, told: str) -> str:
    title = f"<title>{escape(told)}</title>" if told else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{ROW - 10:.0f}" '
        f'fill="{colour}">{title}</rect>'
    )


def _name(text: str, y: float) -> str:
    short = text if len(text) <= MOST_CHARS else f"…{text[1 - MOST_CHARS :]}"
    return _text(LABELS - 10, y + 14, short, "label")


def _text(x: float, y: float, text: str, kind: str, anchor: str = "end") -> str:
    style = "" if anchor == "end" else f' style="text-anchor:{anchor}"'
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{style}>{escape(text)}</text>'
