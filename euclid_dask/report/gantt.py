"""When attempts ran, as an SVG: a row a task for small runs, a row an executable for large ones.

Long pauses, in which nothing ran (a run that was resumed the next day), are cut out of the axis.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from euclid_dask.report.history import AttemptLine
from euclid_dask.report.words import counted, duration

COLOURS: Final = {
    "done": "#2f9e62",
    "failed": "#d64545",
    "lost": "#8e5bb5",
    "cancelled": "#8a94a0",
    "running": "#2f7fd1",
}
MOST_ROWS: Final = 90
"""With more attempts than this, a row stands for an executable."""
BINS: Final = 240
WIDTH: Final = 1100.0
LABELS: Final = 290.0
ROW: Final = 17.0
BAND: Final = 46.0
TOP: Final = 30.0
MOST_CHARS: Final = 44
_BRANCH: Final = re.compile(r"\.iterations\.(\d+)")
_STEPS_S: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps time to places. `spans` are the stretches that are shown; between two is a cut."""

    spans: tuple[tuple[float, float], ...]

    @property
    def shown_s(self) -> float:
        """The length of all stretches."""
        return max(1e-3, sum(end - begin for begin, end in self.spans))

    def share(self, at_s: float) -> float:
        """Return where a time is, from 0 to 1."""
        before = 0.0
        for begin, end in self.spans:
            if at_s <= end:
                return (before + max(0.0, at_s - begin)) / self.shown_s
            before += end - begin
        return 1.0

    def x(self, at_s: float) -> float:
        """Return where a time is in the picture."""
        return LABELS + self.share(at_s) * (WIDTH - LABELS - 12)


def axis_of(attempts: Sequence[AttemptLine], now_s: float) -> Axis:
    """Return the axis on which all attempts are seen."""
    spans: list[tuple[float, float]] = []
    for line in sorted(attempts, key=lambda line: line.started_s):
        end_s = line.ended_s or now_s
        if spans and line.started_s <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end_s))
        else:
            spans.append((line.started_s, end_s))
    longest_pause_s = max(5.0, 0.1 * sum(end - begin for begin, end in spans))
    joined = spans[:1]
    for begin, end in spans[1:]:
        if begin - joined[-1][1] <= longest_pause_s:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return Axis(tuple(joined))


def gantt(attempts: Sequence[AttemptLine], now_s: float) -> str:
    """Return the chart; "" if nothing ever ran."""
    if not attempts:
        return ""
    axis = axis_of(attempts, now_s)
    if len(attempts) <= MOST_ROWS:
        names = list(dict.fromkeys(line.task for line in attempts))
        height = TOP + ROW * len(names) + 8
        body = _task_rows(attempts, names, axis, now_s)
    else:
        names = list(dict.fromkeys(line.executable for line in attempts))
        height = TOP + BAND * (len(names) + 1) + 8
        body = _bands(attempts, names, axis, now_s)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gantt" role="img" '
        f'viewBox="0 0 {WIDTH:.0f} {height:.0f}"><title>when tasks ran</title>'
    )
    return "\n".join([head, *_grid(axis, height), *body, "</svg>"])


def _grid(axis: Axis, height: float) -> Iterator[str]:
    step_s = next((s for s in (*_STEPS_S, 6 * 3600) if axis.shown_s / s <= 9), _DAY_S)
    shown_s = 0.0
    for number, (begin, end) in enumerate(axis.spans):
        if number:
            x = axis.x(begin)
            pause = duration(begin - axis.spans[number - 1][1])
            yield (
                f'<line class="cut" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{height:.0f}">'
                f"<title>nothing ran for {pause}</title></line>"
            )
        tick_s = begin + (-shown_s % step_s)
        while tick_s <= end + 1e-9:
            x, seconds = axis.x(tick_s), shown_s + tick_s - begin
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{height:.0f}"/>'
            yield f'<text class="tick" x="{x:.1f}" y="{TOP - 10}">{_clock(seconds, step_s)}</text>'
            tick_s += step_s
        shown_s += end - begin


def _clock(seconds: float, step_s: float) -> str:
    if step_s < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if step_s < 60 and whole < 120:
        return f"{whole} s"
    if step_s < 3600 or whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole / 3600:g} h"


def _task_rows(
    attempts: Sequence[AttemptLine], names: Sequence[str], axis: Axis, now_s: float
) -> Iterator[str]:
    row_of = {name: number for number, name in enumerate(names)}
    for name, row in row_of.items():
        yield _label(name, TOP + ROW * row + ROW / 2)
    for line in attempts:
        y = TOP + ROW * row_of[line.task] + 2
        end_s = line.ended_s or now_s
        x = axis.x(line.started_s)
        width = max(2.0, axis.x(end_s) - x)
        told = f"{line.task}, attempt {line.attempt}: {line.outcome}"
        told += f", {duration(end_s - line.started_s)}"
        told += f" on {line.host or line.pilot}" + (f"; {line.reason}" if line.reason else "")
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{ROW - 4}" rx="2" '
            f'fill="{COLOURS[line.outcome]}"><title>{escape(told)}</title></rect>'
        )


def _bands(
    attempts: Sequence[AttemptLine], names: Sequence[str], axis: Axis, now_s: float
) -> Iterator[str]:
    yield from _band("all tasks", attempts, axis, (TOP, now_s), "#486581")
    for number, name in enumerate(names, start=1):
        chosen = [line for line in attempts if line.executable == name]
        y = TOP + BAND * number
        yield from _band(name, chosen, axis, (y, now_s), COLOURS["done"])
        for line in chosen:
            if line.outcome in {"failed", "lost"} and line.ended_s is not None:
                x = axis.x(line.ended_s)
                told = escape(f"{line.task}: {line.reason or line.outcome}")
                yield (
                    f'<circle cx="{x:.1f}" cy="{y + BAND - 7:.1f}" r="3" '
                    f'fill="{COLOURS[line.outcome]}"><title>{told}</title></circle>'
                )


def _band(
    name: str,
    attempts: Sequence[AttemptLine],
    axis: Axis,
    place: tuple[float, float],
    colour: str,
) -> Iterator[str]:
    """Draw how many of `attempts` ran at once; `place` is the top of the row, and now."""
    y, now_s = place
    level = _running_at_once(attempts, axis, now_s)
    most = max(1.0, *level)
    foot, room = y + BAND - 7, BAND - 14
    step = (WIDTH - LABELS - 12) / BINS
    points = [
        f"{LABELS + step * (i + side):.1f},{foot - room * v / most:.1f}"
        for i, v in enumerate(level)
        for side in (0, 1)
    ]
    outline = f"{LABELS},{foot:.1f} {' '.join(points)} {WIDTH - 12},{foot:.1f}"
    facts = f"{counted(len(attempts), 'attempt')}, about {most:.2g} at once at most"
    told = f"{name}: {facts}"
    yield _label(name, y + BAND / 2 - 5)
    yield _label(facts, y + BAND / 2 + 9, "sub")
    yield (
        f'<polygon points="{outline}" fill="{colour}" fill-opacity="0.75">'
        f"<title>{escape(told)}</title></polygon>"
    )


def _running_at_once(attempts: Sequence[AttemptLine], axis: Axis, now_s: float) -> list[float]:
    """Return the mean number of running attempts in each bin of the axis."""
    change = [0.0] * (BINS + 2)
    level = [0.0] * BINS
    for line in attempts:
        begin = axis.share(line.started_s) * BINS
        end = max(begin, axis.share(line.ended_s or now_s) * BINS)
        first, last = min(int(begin), BINS - 1), min(int(end), BINS - 1)
        if first == last:
            level[first] += end - begin
            continue
        level[first] += first + 1 - begin
        level[last] += end - last
        change[first + 1] += 1
        change[last] -= 1
    running = 0.0
    for i in range(BINS):
        running += change[i]
        level[i] += running
    return level


def _label(text: str, y: float, kind: str = "label") -> str:
    short = _BRANCH.sub(r"[\1]", text)
    short = short if len(short) <= MOST_CHARS else f"…{short[1 - MOST_CHARS :]}"
    return (
        f'<text class="{kind}" x="{LABELS - 10:.0f}" y="{y + 4:.1f}">{escape(short)}'
        f"<title>{escape(text)}</title></text>"
    )
