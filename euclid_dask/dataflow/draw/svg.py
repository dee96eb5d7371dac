"""Draw a flow as a self-contained SVG: no script, no font file, readable at any size."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape

from euclid_dask.core.flow import Flow
from euclid_dask.dataflow.draw.layout import Point
from euclid_dask.dataflow.draw.scene import (
    HEADER,
    PADDING,
    Box,
    Scene,
    States,
    View,
    scene,
    shortened,
)

MARGIN: Final = 20.0
STATE_COLOURS: Final[Mapping[str, str]] = {
    "waiting": "#cbd2d9",
    "ready": "#e9c46a",
    "ordered": "#7fb3e6",
    "running": "#2f7fd1",
    "done": "#2f9e62",
    "failed": "#d64545",
    "blocked": "#c98a5a",
    "cancelled": "#8a94a0",
    "skipped": "#a9b8a9",
    "omitted": "#dfe3e8",
}
"""The colour of a state, by its name in small letters; other states are grey."""
OTHER_STATE: Final = "#9aa5b1"
WORST_FIRST: Final = ("failed", "blocked", "cancelled", "running", "ordered", "ready", "waiting")

STYLE: Final = """
.ed text{font-family:"Helvetica Neue",Helvetica,Arial,"DejaVu Sans",sans-serif;fill:#1f2933}
.ed .t{font-size:12.5px;font-weight:600}
.ed .d{font-size:10px;fill:#616e7c}
.ed .p{font-size:11.5px}
.ed .e{fill:none;stroke:#7b8794;stroke-width:1.3}
.ed .task{fill:#fff;stroke:#486581;stroke-width:1.3}
.ed .split,.ed .back{fill:#eef4fb;stroke:#5a8fc7;stroke-width:1.3}
.ed .nested{fill:#fafbfc;stroke:#829ab1;stroke-width:1.2;stroke-dasharray:5 3}
.ed .input{fill:#e3f1ea;stroke:#6aa585}
.ed .each{fill:#dce9f8;stroke:#5a8fc7}
.ed .output{fill:#fbeedd;stroke:#c99a5b}
.ed .badge{fill:#5a8fc7}
.ed text.b{font-size:11px;font-weight:600;fill:#fff}
"""

ARROW: Final = (
    '<defs><marker id="ed-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
    'markerHeight="7" orient="auto"><path d="M0,0.8 L7.5,4 L0,7.2 z" fill="#7b8794"/>'
    "</marker></defs>"
)


def to_svg(
    flow: Flow,
    *,
    states: States | None = None,
    branches: Mapping[str, int] | None = None,
    depth: int = 9,
) -> str:
    """Return the drawing of a flow.

    Args:
        flow: The pipeline.
        states: The state of each task by template path, or how many branches are in which state.
        branches: The number of branches of splits by template path; `N` where it is not known.
        depth: How many levels of blocks are drawn open.
    """
    view = View(flow=flow, states=states or {}, branches=branches or {}, depth=depth)
    drawn = scene(view)
    note = f"given to many tasks: {', '.join(drawn.everywhere)}" if drawn.everywhere else ""
    width = max(drawn.layout.width, len(note) * 5.6, len(flow.name) * 9.0) + 2 * MARGIN
    height = drawn.layout.height + 2 * MARGIN + 26 + (20 if note else 0)
    box = f'width="{width:.0f}" height="{height:.0f}"'
    left = (width - drawn.layout.width) / 2
    view_box = f'viewBox="0 0 {width:.0f} {height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ed" {box} {view_box} role="img">',
        f"<title>{escape(flow.name)}</title><style>{STYLE}</style>{ARROW}",
        f'<rect {box} rx="8" fill="#ffffff"/>',
        _text("t", MARGIN, MARGIN + 4, flow.name),
        f'<g transform="translate({left:.1f},{MARGIN + 22:.1f})">',
        *_scene(drawn),
        "</g>",
    ]
    if note:
        parts.append(_text("d", MARGIN, height - 10, note))
    return "\n".join([*parts, "</svg>"])


def _scene(drawn: Scene) -> Iterator[str]:
    for points in drawn.layout.edges.values():
        yield f'<path class="e" d="{_curve(points)}" marker-end="url(#ed-arrow)"/>'
    for name, box in drawn.boxes.items():
        x, y = drawn.layout.places[name]
        yield f'<g transform="translate({x:.1f},{y:.1f})">'
        if box.tooltip:
            yield f"<title>{escape(box.tooltip)}</title>"
        if box.kind in {"input", "each", "output"}:
            yield from _pill(box)
        elif box.inner is not None:
            yield from _block(box, box.inner)
        else:
            yield from _closed(box)
        yield "</g>"


def _pill(box: Box) -> Iterator[str]:
    width, height = box.size.width, box.size.height
    yield _rect(box.kind, width, height, height / 2)
    yield _text("p", width / 2, height / 2 + 4, shortened(box.title), middle=True)


def _closed(box: Box) -> Iterator[str]:
    width, height = box.size.width, box.size.height
    if box.kind == "split":
        yield from _stack(box)
    yield _rect(box.kind, width, height, 6, fill=_tint(box.counts))
    yield _text("t", width / 2, 19, shortened(box.title), middle=True)
    yield _text("d", width / 2, 34, box.detail, middle=True)
    yield from _bar(box, 6)


def _block(box: Box, inner: Scene) -> Iterator[str]:
    width, height = box.size.width, box.size.height
    if box.kind == "split":
        yield from _stack(box)
    yield _rect(box.kind, width, height, 10)
    yield _text("t", 12, 19, shortened(box.title))
    if box.detail:
        badge = len(box.detail) * 6.6 + 14
        yield (
            f'<rect class="badge" x="{width - badge - 8:.1f}" y="6" width="{badge:.1f}" '
            'height="17" rx="8.5"/>'
        )
        yield _text("b", width - badge / 2 - 8, 18.5, box.detail, middle=True)
    left = (width - inner.layout.width) / 2
    yield f'<g transform="translate({left:.1f},{HEADER:.1f})">'
    yield from _scene(inner)
    yield "</g>"
    yield from _bar(box, PADDING / 2)


def _stack(box: Box) -> Iterator[str]:
    for shift in (8, 4):
        yield (
            f'<rect class="back" x="{shift}" y="{shift}" width="{box.size.width:.1f}" '
            f'height="{box.size.height:.1f}" rx="10"/>'
        )


def _bar(box: Box, inset: float) -> Iterator[str]:
    """Draw the shares of the states at the foot of a box."""
    total = sum(box.counts.values())
    x, full = inset, box.size.width - 2 * inset
    for state, count in box.counts.items():
        share = full * count / total
        yield (
            f'<rect x="{x:.1f}" y="{box.size.height - 6:.1f}" width="{share:.1f}" height="3.5" '
            f'rx="1.5" fill="{_colour(state)}"/>'
        )
        x += share


def _tint(counts: Mapping[str, int]) -> str:
    """Return a light tone of the state that matters most, "" if there is none."""
    present = [state.lower() for state in counts]
    worst = [state for state in WORST_FIRST if state in present] or present
    return _mixed(_colour(worst[0])) if worst else ""


def _colour(state: str) -> str:
    return STATE_COLOURS.get(state.lower(), OTHER_STATE)


def _mixed(colour: str) -> str:
    """Return the colour with much white in it."""
    channels = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(channel * 0.22 + 255 * 0.78):02x}" for channel in channels)


def _rect(kind: str, width: float, height: float, radius: float, *, fill: str = "") -> str:
    style = f' style="fill:{fill}"' if fill else ""
    return (
        f'<rect class="{kind}" width="{width:.1f}" height="{height:.1f}" rx="{radius:g}"{style}/>'
    )


def _text(kind: str, x: float, y: float, text: str, *, middle: bool = False) -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{anchor}>{escape(text)}</text>'


def _curve(points: list[Point]) -> str:
    x, y = points[0]
    parts = [f"M{x:.1f},{y:.1f}"]
    for (x1, y1), (x2, y2) in pairwise(points):
        if abs(x1 - x2) < 0.5:
            parts.append(f"L{x2:.1f},{y2:.1f}")
        else:
            bend = (y2 - y1) / 2
            parts.append(f"C{x1:.1f},{y1 + bend:.1f} {x2:.1f},{y2 - bend:.1f} {x2:.1f},{y2:.1f}")
    return " ".join(parts)
