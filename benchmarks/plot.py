"""Draw the table as one SVG picture: a row an engine, a panel a workload."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from math import log

from benchmarks.summary import Document, Spread, ordered, over_bound, ratio

WIDTH, LEFT, RIGHT, TOP, ROW, GAP = 1120, 218, 20, 112, 30, 46
INK, QUIET, GRID, PAPER = "#1f2933", "#66727f", "#e4e8ec", "#ffffff"
FLOOR_COLOUR, PEER_COLOUR, BAND = "#9aa5b1", "#52667a", "#fff4ec"
OUR_COLOUR, OUR_VARIANT = "#c2410c", "#e08a5b"
TICKS = (1, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One workload: its ratios by engine, and where its axis lies."""

    title: str
    subtitle: str
    values: dict[str, Spread]
    left: float
    width: float
    digits: int

    @property
    def low(self) -> float:
        """The start of the axis: 1, or below the least value."""
        return min([1.0, *(value.low * 0.93 for value in self.values.values())])

    @property
    def high(self) -> float:
        """The end of the axis: the first tick beyond all values."""
        most = max((value.high for value in self.values.values()), default=2.0)
        return float(next((tick for tick in TICKS if tick >= most * 1.02), most * 1.1))

    def x(self, value: float) -> float:
        """Place a ratio on the logarithmic axis."""
        inner = self.width - 34  # room for the last label
        return self.left + inner * log(value / self.low) / log(self.high / self.low)

    def ticks(self) -> list[float]:
        """Ticks from 1 on that leave each other room."""
        inside = [tick for tick in TICKS if tick <= self.high]
        kept: list[float] = []
        for tick in inside:
            if not kept or self.x(tick) - self.x(kept[-1]) > 30:
                kept.append(tick)
        return kept


def draw(
    document: Document,
    *,
    figure: str = "whole_s",
    title: str = "From process start to done",
    measure: str = "posix_spawn and wait4",
) -> str:
    """Return the picture of a figure, as SVG text; `measure` says what the floor is."""
    engines = [e for e in ordered(document) if e not in document["unavailable"]]
    panels = _panels(document, figure)
    height = TOP + ROW * len(engines) + 70
    body = [*_heading(document, title, measure), *_rows(document, engines)]
    for panel in panels:
        body += _axis(panel, TOP + ROW * len(engines))
        body += _marks(panel, engines)
    body += _footer(document, height)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-size="13" '
        f'font-family="Helvetica, Arial, DejaVu Sans, sans-serif" fill="{INK}">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _panels(document: Document, figure: str) -> list[Panel]:
    workloads = document["workloads"]
    width = (WIDTH - LEFT - RIGHT - GAP * (len(workloads) - 1)) / max(1, len(workloads))
    return [
        _panel(document, workload, figure, LEFT + i * (width + GAP), width)
        for i, workload in enumerate(workloads)
    ]


def _panel(document: Document, workload: str, figure: str, left: float, width: float) -> Panel:
    about = document["workloads"][workload]
    bounded = bool(about["lower_bound_s"])
    values = {
        engine: (
            over_bound(document, engine, workload, figure)
            if bounded
            else ratio(document, engine, workload, figure)
        )
        for engine in document["engines"]
    }
    unit = f"× lower bound {about['lower_bound_s']:.1f} s" if bounded else "× floor"  # noqa: RUF001
    return Panel(
        title=f"{workload}, {about['tasks']} tasks",
        subtitle=unit,
        values={engine: value for engine, value in values.items() if value is not None},
        left=left,
        width=width,
        digits=2 if bounded else 1,
    )


def _heading(document: Document, title: str, measure: str) -> Iterator[str]:
    floor = document["engines"].get(document["floor"], {"title": document["floor"]})["title"]
    yield _write(20, 32, title, size=19, weight="bold")
    text = (
        f"as a multiple of the {floor} ({measure}), or of the best possible makespan; "
        "logarithmic; bars: least to greatest repeat"
    )
    yield _write(20, 54, text, colour=QUIET)


def _rows(document: Document, engines: list[str]) -> Iterator[str]:
    for i, engine in enumerate(engines):
        y = TOP + ROW * i
        ours = engine == "ours"
        if ours:
            yield f'<rect x="8" y="{y}" width="{WIDTH - 16}" height="{ROW}" rx="5" fill="{BAND}"/>'
        title = document["engines"][engine]["title"]
        weight, colour = ("bold", OUR_COLOUR) if ours else ("normal", INK)
        yield _write(20, y + 19.5, title, weight=weight, colour=colour, size=12.5)


def _axis(panel: Panel, bottom: float) -> Iterator[str]:
    yield _write(panel.left, TOP - 26, panel.title, weight="bold")
    yield _write(panel.left, TOP - 10, panel.subtitle, size=11, colour=QUIET)
    for tick in panel.ticks():
        x = panel.x(tick)
        colour = FLOOR_COLOUR if tick == 1 else GRID
        yield f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="{colour}"/>'
        yield _write(x, bottom + 16, f"{tick:g}", size=11, colour=QUIET, anchor="middle")


def _marks(panel: Panel, engines: list[str]) -> Iterator[str]:
    for i, engine in enumerate(engines):
        y = TOP + ROW * (i + 0.5)
        value = panel.values.get(engine)
        if value is None:
            yield _write(panel.left + 6, y + 4, "–", size=11, colour=QUIET)  # noqa: RUF001
            continue
        colour = _colour(engine)
        low, middle, high = (panel.x(v) for v in (value.low, value.median, value.high))
        yield (
            f'<path d="M{panel.x(1):.1f} {y}H{middle:.1f}" stroke="{colour}" '
            'stroke-width="2" stroke-opacity="0.25"/>'
        )
        yield f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="{colour}" stroke-width="3.5"/>'
        yield f'<circle cx="{middle:.1f}" cy="{y}" r="5" fill="{colour}"/>'
        text = f"{value.median:.{panel.digits}f}"
        weight = "bold" if engine == "ours" else "normal"
        label = max(middle + 5, high) + 5
        yield _write(label, y + 4, text, size=11, colour=colour, weight=weight, halo=True)


def _colour(engine: str) -> str:
    if engine.startswith("ours"):
        return OUR_COLOUR if engine == "ours" else OUR_VARIANT
    return FLOOR_COLOUR if engine.startswith("floor") else PEER_COLOUR


def _footer(document: Document, height: float) -> Iterator[str]:
    m = document["machine"]
    text = (
        f"{m['cores']} cores, {m['cpu']}, {m['ram_gb']} GB, Linux {m['kernel']}, "
        f"Python {m['python']}; timed repeats, interleaved: {document['repeats']}, "
        f"seed {document['seed']}. {document['note']}"
    )
    yield _write(20, height - 18, text[:190], size=11, colour=QUIET)


def _write(  # noqa: PLR0913 - one text, many looks
    x: float,
    y: float,
    text: str,
    *,
    size: float = 13,
    colour: str = INK,
    weight: str = "normal",
    anchor: str = "start",
    halo: bool = False,
) -> str:
    around = f' stroke="{PAPER}" stroke-width="3" paint-order="stroke"' if halo else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" font-weight="{weight}" '
        f'text-anchor="{anchor}"{around}>{escape(text)}</text>'
    )
