"""A layered layout: boxes in rows from top to bottom, edges as curves between them.

In four passes: rows by longest path, order within a row by the mean of the neighbours, places
as near to the neighbours as the widths allow, ends of edges spread along their boxes. An edge
over several rows is led through a lane of its own in each of them.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

ROW_GAP: Final = 34.0
BOX_GAP: Final = 22.0
LANE_WIDTH: Final = 10.0
SWEEPS: Final = 12
MANY_CELLS: Final = 5000
"""From here on a drawing is not looked at closely, and must not take long."""

Point = tuple[float, float]
Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Width and height of a box. One that `hangs` is put in the row above its first user."""

    width: float
    height: float
    hangs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where boxes are (top left corner) and through which points edges lead."""

    places: dict[str, Point]
    edges: dict[Edge, list[Point]]
    width: float
    height: float


@dataclass(slots=True)
class _Cell:
    width: float
    row: int
    above: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    middle: float = 0.0


def layered(sizes: dict[str, Size], edges: Iterable[Edge]) -> Layout:
    """Lay out boxes, given in an order in which edges lead forward."""
    edges = list(dict.fromkeys(edges))
    row_of = _rows(sizes, edges)
    cells = {name: _Cell(size.width, row_of[name]) for name, size in sizes.items()}
    lanes = {edge: _lane(cells, edge) for edge in edges}
    rows: list[list[str]] = [[] for _ in range(max(row_of.values(), default=-1) + 1)]
    for name, cell in cells.items():
        rows[cell.row].append(name)
    _order(rows, cells)
    _spread(rows, cells)
    return _finish(sizes, rows, cells, lanes)


def _rows(sizes: dict[str, Size], edges: list[Edge]) -> dict[str, int]:
    rows = dict.fromkeys(sizes, 0)
    users: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        users[source].append(target)
    for name in sizes:
        for user in users[name]:
            rows[user] = max(rows[user], rows[name] + 1)
    for name, size in sizes.items():
        if size.hangs and users[name]:
            rows[name] = min(rows[user] for user in users[name]) - 1
    return rows


def _lane(cells: dict[str, _Cell], edge: Edge) -> list[str]:
    """Add the cells that an edge passes through; return all its cells, both ends included."""
    source, target = edge
    chain = [source]
    for row in range(cells[source].row + 1, cells[target].row):
        name = f"{source}\0{target}\0{row}"
        cells[name] = _Cell(LANE_WIDTH, row)
        chain.append(name)
    chain.append(target)
    for upper, lower in pairwise(chain):
        cells[upper].below.append(lower)
        cells[lower].above.append(upper)
    return chain


def _order(rows: list[list[str]], cells: dict[str, _Cell]) -> None:
    best, fewest = [list(row) for row in rows], _crossings(rows, cells)
    for sweep in range(_sweeps(cells)):
        down = sweep % 2 == 0
        rank = _ranks(rows)
        for row in rows if down else reversed(rows):
            means = {name: _mean(cells[name], rank, down=down) for name in row}
            row.sort(key=means.__getitem__)
            rank.update(_ranks([row]))
        crossings = _crossings(rows, cells)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _mean(cell: _Cell, rank: dict[str, int], *, down: bool) -> float:
    ranks = [rank[name] for name in (cell.above if down else cell.below)]
    ranks = ranks or [rank[name] for name in (cell.below if down else cell.above)]
    return sum(ranks) / len(ranks) if ranks else 0.0


def _sweeps(cells: dict[str, _Cell]) -> int:
    return SWEEPS if len(cells) < MANY_CELLS else 2


def _ranks(rows: list[list[str]]) -> dict[str, int]:
    return {name: place for row in rows for place, name in enumerate(row)}


def _crossings(rows: list[list[str]], cells: dict[str, _Cell]) -> int:
    rank = _ranks(rows)
    total = 0
    for row in rows:
        passed: list[int] = []
        for name in row:
            ends = sorted(rank[other] for other in cells[name].below)
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total


def _spread(rows: list[list[str]], cells: dict[str, _Cell]) -> None:
    for row in rows:
        _place(row, cells, [0.0] * len(row))
    for sweep in range(_sweeps(cells)):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wanted = []
            for name in row:
                cell = cells[name]
                near = (cell.above if down else cell.below) or [name]
                wanted.append(sum(cells[other].middle for other in near) / len(near))
            _place(row, cells, wanted)


def _place(row: Sequence[str], cells: dict[str, _Cell], wanted: list[float]) -> None:
    """Put the boxes of a row as near to where they want to be as their order and widths allow.

    This is a least-squares fit of a growing sequence: neighbours that would overlap are pooled
    and share the mean of their wishes.
    """
    offset, offsets = 0.0, []
    for number, name in enumerate(row):
        if number:
            offset += (cells[row[number - 1]].width + cells[name].width) / 2 + BOX_GAP
        offsets.append(offset)
    pools: list[tuple[float, int]] = []
    for wish, shift in zip(wanted, offsets, strict=True):
        total, count = wish - shift, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            more = pools.pop()
            total, count = total + more[0], count + more[1]
        pools.append((total, count))
    starts = [total / count for total, count in pools for _ in range(count)]
    for name, start, shift in zip(row, starts, offsets, strict=True):
        cells[name].middle = start + shift


def _finish(
    sizes: dict[str, Size],
    rows: list[list[str]],
    cells: dict[str, _Cell],
    lanes: dict[Edge, list[str]],
) -> Layout:
    left = min((cell.middle - cell.width / 2 for cell in cells.values()), default=0.0)
    for cell in cells.values():
        cell.middle -= left
    tops, heights, top = [], [], 0.0
    for row in rows:
        height = max((sizes[name].height for name in row if name in sizes), default=0.0)
        tops.append(top)
        heights.append(height)
        top += height + ROW_GAP
    places = {}
    for name, size in sizes.items():
        cell = cells[name]
        # in a row of boxes of unequal height each hangs from the top, inputs stand at the bottom
        drop = heights[cell.row] - size.height if size.hangs else 0.0
        places[name] = (cell.middle - size.width / 2, tops[cell.row] + drop)
    ends = _ends(cells, lanes)
    edges = {}
    for edge, chain in lanes.items():
        source, target = edge
        points = [(ends[edge, source], places[source][1] + sizes[source].height)]
        for name in chain[1:-1]:
            cell = cells[name]
            points.append((cell.middle, tops[cell.row]))
            points.append((cell.middle, tops[cell.row] + heights[cell.row]))
        points.append((ends[edge, target], places[target][1]))
        edges[edge] = points
    width = max((cell.middle + cell.width / 2 for cell in cells.values()), default=0.0)
    return Layout(places=places, edges=edges, width=width, height=max(top - ROW_GAP, 0.0))


def _ends(cells: dict[str, _Cell], lanes: dict[Edge, list[str]]) -> dict[tuple[Edge, str], float]:
    """Return where along a box each of its edges begins or ends."""
    sides: dict[tuple[str, bool], list[tuple[float, Edge]]] = defaultdict(list)
    for edge, chain in lanes.items():
        sides[edge[0], True].append((cells[chain[1]].middle, edge))
        sides[edge[1], False].append((cells[chain[-2]].middle, edge))
    ends = {}
    for (name, _), found in sides.items():
        cell = cells[name]
        step = min(18.0, cell.width * 0.6 / len(found))
        for number, (_, edge) in enumerate(sorted(found)):
            ends[edge, name] = cell.middle + (number - (len(found) - 1) / 2) * step
    return ends
