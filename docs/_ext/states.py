"""The directive `states`: diagram and tables of a transition table, read when the docs are built.

    ```{states} TASK
    :without: CANCEL REVIVE
    waiting ready   ordered
    blocked .       failed
    ```

The body places the states on a grid ("." is an empty cell); arrows and words come from
`euclid_dask.core.states`. A state without a place, or a place without a state, is an error.
The directives `failure-kinds`, `stages` and `reasons` list the members of other enums in the same
way.
"""

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from itertools import pairwise
from typing import Any, ClassVar, Final

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from euclid_dask.core import attempts, states
from euclid_dask.planner import explain
from euclid_dask.report import stages

Table = Mapping[tuple[StrEnum, StrEnum], StrEnum]

TABLES: Final[dict[str, tuple[type[StrEnum], Table]]] = {
    "TASK": (states.TaskState, states.TASK_TRANSITIONS),
    "SPLIT": (states.SplitState, states.SPLIT_TRANSITIONS),
    "PILOT": (states.PilotState, states.PILOT_TRANSITIONS),
    "RUN": (states.RunState, states.RUN_TRANSITIONS),
}
WIDTH, HEIGHT, STEP_X, STEP_Y, LANE = 96, 34, 158, 100, 22
STYLE: Final = """
.states text { font: 12px sans-serif; fill: var(--color-foreground-primary, #222);
  text-anchor: middle; dominant-baseline: middle; }
.states .number { font-size: 10px; fill: var(--color-foreground-secondary, #555); }
.states circle, .states ellipse { fill: var(--color-background-primary, #fff);
  stroke: var(--color-foreground-muted, #777); stroke-width: 0.8; }
.states rect { fill: var(--color-background-secondary, #f4f4f4); stroke-width: 1.4;
  stroke: var(--color-foreground-muted, #777); }
.states rect.end { stroke-width: 2.6; }
.states path { fill: none; stroke-width: 1.3; stroke: var(--color-foreground-muted, #777); }
.states path.head { fill: var(--color-foreground-muted, #777); stroke: none; }
"""


class States(SphinxDirective):
    """A diagram of the life of something, what its states mean, and its exact table."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"without": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the diagram, the words, and the table."""
        self.env.note_dependency(str(states.__file__))
        kind, table = TABLES[self.arguments[0]]
        without = set(self.options.get("without", "").split())
        places = grid(self.content)
        if set(places) != {str(state) for state in kind}:
            raise self.error(f"the grid must hold exactly: {', '.join(kind)}")
        drawn = arrows(table, without)
        svg = Diagram(places, drawn, ends(kind, table)).svg()
        return [
            nodes.raw("", svg, format="html"),
            meanings(kind),
            transitions(table),
        ]


class FailureKinds(SphinxDirective):
    """What the kinds of failure mean."""

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        self.env.note_dependency(str(attempts.__file__))
        return [meanings(attempts.FailureKind)]


class Stages(SphinxDirective):
    """What the stages of an attempt mean."""

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        self.env.note_dependency(str(stages.__file__))
        return [meanings(stages.Stage)]


class Reasons(SphinxDirective):
    """What the kinds of reasons mean why a task does not run."""

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        self.env.note_dependency(str(explain.__file__))
        return [meanings(explain.Why)]


def grid(lines: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return column and row of each state on a grid of words."""
    rows = [line.split() for line in lines if line.strip()]
    return {
        word: (column, row)
        for row, words in enumerate(rows)
        for column, word in enumerate(words)
        if word != "."
    }


def arrows(table: Table, without: set[str]) -> dict[tuple[str, str], list[int]]:
    """Return the numbers (of the rows of the table) on each arrow that is drawn."""
    found: dict[tuple[str, str], list[int]] = {}
    for number, ((state, cue), after) in enumerate(table.items(), 1):
        if cue.name not in without and after is not state:
            found.setdefault((str(state), str(after)), []).append(number)
    return found


def ends(kind: type[StrEnum], table: Table) -> set[str]:
    """Return the states that only a new beginning leaves."""
    again = {"REVIVE", "UNMAKE"}
    return {str(s) for s in kind} - {str(s) for s, cue in table if cue.name not in again}


def meanings(kind: type[StrEnum]) -> nodes.Node:
    """Return a definition list of the states, from the texts below the members."""
    listing = nodes.definition_list()
    for name, text in member_docs(kind).items():
        item = nodes.definition_list_item()
        item += nodes.term("", "", nodes.literal(text=str(kind[name])))
        item += nodes.definition("", nodes.paragraph(text=text))
        listing += item
    return listing


def member_docs(kind: type[StrEnum]) -> dict[str, str]:
    """Return the text below each member of an enum."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        first.targets[0].id: inspect.cleandoc(second.value.value)
        for first, second in pairwise(body.body)
        if isinstance(first, ast.Assign)
        and isinstance(first.targets[0], ast.Name)
        and isinstance(second, ast.Expr)
        and isinstance(second.value, ast.Constant)
    }


def transitions(table: Table) -> nodes.table:
    """Return the exact table: number of the arrow, from, what happens, to."""
    rows = [(str(state), str(cue), str(after)) for (state, cue), after in table.items()]
    head, body = nodes.thead(), nodes.tbody()
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (1, 2, 4, 2)), cols=4)
    head += _row([nodes.Text(text) for text in ("arrow", "in state", "when", "goes to")])
    for number, (state, cue, after) in enumerate(rows, 1):
        cells = [nodes.literal(text=state), nodes.Text(cue), nodes.literal(text=after)]
        body += _row([nodes.Text(str(number)), *cells])
    group += [head, body]
    return nodes.table("", group, classes=["transitions"])


def _row(cells: Sequence[nodes.Node]) -> nodes.row:
    entries = [nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells]
    return nodes.row("", *entries)


@dataclass
class Diagram:
    """States on a grid and arrows between them, as SVG without scripts and without fonts."""

    places: Mapping[str, tuple[int, int]]
    arrows: Mapping[tuple[str, str], Sequence[int]]
    ends: set[str]
    lanes: dict[int, list[list[tuple[int, int]]]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)

    def svg(self) -> str:
        """Return the drawing."""
        long = [pair for pair in self.arrows if self._is_long(*pair)]
        for pair in sorted(long, key=lambda pair: abs(self._columns(*pair))):
            self._arc(*pair)
        tops = [row * STEP_Y - LANE * len(lanes) for row, lanes in self.lanes.items()]
        top = min([0, *tops]) - HEIGHT / 2 - 12
        for pair in self.arrows:
            if pair not in long:
                self._straight(*pair)
        columns = max(column for column, _ in self.places.values())
        rows = max(row for _, row in self.places.values())
        box = f"{-WIDTH / 2 - 6} {top} {columns * STEP_X + WIDTH + 12} {rows * STEP_Y - top + 30}"
        width = columns * STEP_X + WIDTH + 12
        parts = [*self.lines, *map(self._box, self.places), *self.numbers]
        return (
            f'<style>{STYLE}</style><svg class="states" viewBox="{box}" role="img" '
            f'style="width:100%;max-width:{width}px" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
        )

    def _at(self, state: str) -> tuple[float, float]:
        column, row = self.places[state]
        return column * STEP_X, row * STEP_Y

    def _columns(self, state: str, after: str) -> int:
        return self.places[after][0] - self.places[state][0]

    def _is_long(self, state: str, after: str) -> bool:
        """Tell whether other states may be between the two, in their row."""
        same_row = self.places[state][1] == self.places[after][1]
        back = (after, state) in self.arrows and self._columns(state, after) < 0
        return same_row and (abs(self._columns(state, after)) > 1 or back)

    def _box(self, state: str) -> str:
        x, y = self._at(state)
        kind = ' class="end"' if state in self.ends else ""
        return (
            f'<rect{kind} x="{x - WIDTH / 2}" y="{y - HEIGHT / 2}" width="{WIDTH}" '
            f'height="{HEIGHT}" rx="7"/><text x="{x}" y="{y}">{escape(state)}</text>'
        )

    def _arc(self, state: str, after: str) -> None:
        """Draw an arrow above the row, in the lowest lane that is free."""
        (x1, y), (x2, _) = self._at(state), self._at(after)
        left, right = sorted((self.places[state][0], self.places[after][0]))
        lanes = self.lanes.setdefault(self.places[state][1], [])
        lane = next((n for n, used in enumerate(lanes) if _free(used, left, right)), len(lanes))
        lanes[lane:] = lanes[lane:] or [[]]
        lanes[lane].append((left, right))
        high = y - HEIGHT / 2 - LANE * (lane + 1)
        side = 1 if x2 > x1 else -1
        x1, x2 = x1 + side * (34 - 7 * lane), x2 - side * (34 - 7 * lane)
        edge = y - HEIGHT / 2
        self.lines.append(
            f'<path d="M{x1} {edge}V{high + 8}Q{x1} {high} {x1 + side * 8} {high}'
            f'H{x2 - side * 8}Q{x2} {high} {x2} {high + 8}V{edge - 7}"/>'
            f'<path class="head" d="M{x2} {edge}l-4 -9h8z"/>'
        )
        self._say((x1 + x2) / 2, high, self.arrows[state, after])

    def _straight(self, state: str, after: str) -> None:
        (x1, y1), (x2, y2) = self._at(state), self._at(after)
        dx, dy = x2 - x1, y2 - y1
        if (after, state) in self.arrows and dy:  # two ways: side by side
            shift = 14 if dy > 0 else -14
            x1, x2 = x1 + shift, x2 + shift
        begin, end = _cut(dx, dy, 0), _cut(dx, dy, 8)
        head = _cut(dx, dy, 0)
        x1, y1 = x1 + begin[0], y1 + begin[1]
        length = (dx * dx + dy * dy) ** 0.5
        ux, uy = dx / length, dy / length
        tip_x, tip_y = x2 - head[0], y2 - head[1]
        self.lines.append(
            f'<path d="M{x1:.1f} {y1:.1f}L{x2 - end[0]:.1f} {y2 - end[1]:.1f}"/>'
            f'<path class="head" d="M{tip_x:.1f} {tip_y:.1f}l{-9 * ux + 4 * uy:.1f} '
            f'{-9 * uy - 4 * ux:.1f}l{-8 * uy:.1f} {8 * ux:.1f}z"/>'
        )
        self._say((x1 + tip_x) / 2, (y1 + tip_y) / 2, self.arrows[state, after])

    def _say(self, x: float, y: float, numbers: Sequence[int]) -> None:
        text = ",".join(str(number) for number in numbers)
        wide = 8 + 5 * max(0, len(text) - 2)
        self.numbers.append(
            f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{wide}" ry="8"/>'
            f'<text class="number" x="{x:.1f}" y="{y + 0.5:.1f}">{text}</text>'
        )


def _free(used: Sequence[tuple[int, int]], left: int, right: int) -> bool:
    return all(right <= other_left or left >= other_right for other_left, other_right in used)


def _cut(dx: float, dy: float, more: float) -> tuple[float, float]:
    """Return the way from the middle of a box to its edge, in the direction given."""
    scale = min(
        (WIDTH / 2) / abs(dx) if dx else float("inf"),
        (HEIGHT / 2) / abs(dy) if dy else float("inf"),
    )
    length = (dx * dx + dy * dy) ** 0.5
    return dx * (scale + more / length), dy * (scale + more / length)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("states", States)
    app.add_directive("failure-kinds", FailureKinds)
    app.add_directive("stages", Stages)
    app.add_directive("reasons", Reasons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
