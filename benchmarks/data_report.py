"""Write the figures of the data room for people: a table and a picture of targets and peers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from math import log10
from pathlib import Path
from typing import Any

from benchmarks.report import replace_between

BEGIN, END = "<!-- data: begin -->", "<!-- data: end -->"
WIDTH, LEFT, RIGHT, TOP, ROW = 1120, 330, 150, 96, 26
INK, QUIET, GRID, PAPER, OURS, PEER = (
    "#1f2933",
    "#66727f",
    "#e4e8ec",
    "#ffffff",
    "#c2410c",
    "#52667a",
)
LOW, HIGH = 0.1, 100.0
RUNS = "runs"
"""Says among figures how often they were measured, if not as often as others."""
NEEDS_CORES = "needs more cores"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What was measured, and what is aimed at."""

    title: str
    key: str
    target: float | None
    part: str = ""
    """Of a latency: `p50` or `p99`."""
    is_rate: bool = False
    """Whether more is better."""
    relative: str = ""
    """The peer that the target is a multiple of, if it is."""
    cores: int = 1
    """With fewer there is no target."""

    def value(self, figures: dict[str, Any], who: str = "ours") -> float | None:
        """Return a figure, None if there is none."""
        found = figures.get(self.key, {}).get(who)
        return found[self.part] if isinstance(found, dict) else found

    def peers(self, figures: dict[str, Any]) -> dict[str, float]:
        """Return the figures of others."""
        names = [name for name in figures.get(self.key, {}) if name not in {"ours", RUNS}]
        return {name: value for name in names if (value := self.value(figures, name)) is not None}

    def aim(self, figures: dict[str, Any]) -> float | None:
        """Return the target in the unit of the figure."""
        if not self.relative or self.target is None:
            return self.target
        peer = figures.get(self.key.replace("_md5", ""), {}).get(self.relative)
        return None if peer is None else self.target * peer

    def merit(self, figures: dict[str, Any], value: float) -> float:
        """Return how much better than the target a value is: 1 is as aimed at."""
        aim = self.aim(figures) or value
        return value / aim if self.is_rate else aim / value


def _latency(title: str, key: str, p50: float, p99: float) -> list[Line]:
    return [
        Line(title=f"{title}, median ms", key=key, part="p50", target=p50),
        Line(title=f"{title}, 99th percentile ms", key=key, part="p99", target=p99),
    ]


def _rate(title: str, key: str, target: float | None) -> Line:
    return Line(title=title, key=key, target=target, is_rate=True)


LINES = (
    _rate("import, empty SQLite, files/s", "empty.import_per_s", 8000),
    _rate("import, full SQLite, files/s", "full.import_per_s", 5000),
    _rate("import, PostgreSQL, files/s", "postgresql.import_per_s", 10_000),
    _rate("import, PostgreSQL, two at once, files/s", "postgresql.import_two_per_s", 10_000),
    _rate("files and their XML where they lie, files/s", "ingest_per_s", 5000),
    _rate("one file at a time, SQLite, files/s", "full.single_per_s", 200),
    _rate("one file at a time, PostgreSQL, files/s", "postgresql.single_per_s", 200),
    *_latency("replicas of a name", "full.locate_ms", 0.5, 10),
    *_latency("replicas of 100 names", "full.locate_100_ms", 20, 100),
    *_latency("replicas of a name, PostgreSQL", "postgresql.locate_ms", 5, 30),
    *_latency("replicas of 100 names, PostgreSQL", "postgresql.locate_100_ms", 20, 100),
    *_latency("100 products of a release", "full.find_release_ms", 5, 50),
    Line(title="count by storage and state, s", key="full.count_s", target=3),
    _rate("claim, SQLite, transfers/s", "empty.claim_20_per_s", 5000),
    _rate("claim, full SQLite, transfers/s", "full.claim_20_per_s", 5000),
    _rate("claim, PostgreSQL, transfers/s", "postgresql.claim_20_per_s", 5000),
    _rate("rules, new files/s", "empty.ruled_new_per_s", 10_000),
    _rate("rules, new files, full SQLite, files/s", "full.ruled_new_per_s", 10_000),
    _rate("rules, nothing new, full SQLite, files/s", "full.ruled_again_per_s", 333_000),
    Line(title="memory of a server, full SQLite, MB", key="full.server_mb", target=500),
    _rate("read products, 1/s", "products.read_per_s", 4000),
    _rate("read a large product, MB/s", "products.large_mb_per_s", 8.3),
    Line(title="memory for that, MB", key="products.large_rss_mb", target=50),
    Line(title="copy, verified, s", key="copy_s", target=2, relative="cp"),
    Line(title="copy, verified, with md5, s", key="copy_md5_s", target=3.5, relative="cp"),
    _rate("hash what is in memory, GB/s", "hash_gb_per_s", None),
    _rate("copy small files, durably, files/s", "small_per_s", 1000),
    Line(title="end 10 000 transfers of a dead mover, s", key="restart_s", target=30),
    _rate("stage inputs by links, 1/s", "staged_per_s", 2000),
    _rate("from sftp, loopback, MB/s", "sftp_mb_per_s", 50),
    Line(
        title="the same, four connections, MB/s",
        key="sftp_four_mb_per_s",
        target=1.5,
        is_rate=True,
        relative="one connection",
        cores=4,
    ),
    _rate("from http, loopback, MB/s", "http_mb_per_s", 50),
    Line(title="find the URLs of a file, ms", key="resolve_ms", target=0.05),
    Line(title="plan its way, 200 storages, ms", key="plan_ms", target=2),
)


def write_docs(document: dict[str, Any], docs: Path) -> None:
    """Put the table between the markers of docs/benchmarks.md and draw a picture of it."""
    (docs / "benchmarks-data.svg").write_text(draw(document))
    picture = "![Figures of the data room, as multiples of their targets](benchmarks-data.svg)\n"
    replace_between(docs / "benchmarks.md", BEGIN, END, f"{picture}\n{table(document)}")


def table(document: dict[str, Any]) -> str:
    """Return the report in Markdown."""
    machine, load, figures = document["machine"], document["load"], document["figures"]
    dirty = " with uncommitted changes" if machine["uncommitted"] else ""
    head = (
        f"**Machine**: {machine['cores']} cores ({machine['cpu']}), {machine['ram_gb']} GB, "
        f"{machine['system']}, files on {machine['scratch']}; Python {machine['python']}. "
        f"**Run**: {document['files']:,} files in the full registry, a file of "
        f"{document['size']:,} bytes, a product of {document['xml']:,}; commit "
        f"{machine['commit']}{dirty}; seed {document['seed']}; load average {load[0]:.1f} before "
        f"and {load[1]:.1f} after; the run took {document['took_s'] / 60:.0f} minutes and had "
        f"{document['share']:.0%} of a core in the mean."
    )
    rows = [
        head,
        "",
        "| | ours | target | | beside it |",
        "| --- | --- | --- | --- | --- |",
    ]
    for line, value in _measured(document):
        aim = line.aim(figures)
        sign = "≥" if line.is_rate else "≤"
        aimed = "" if aim is None else f"{sign} {_text(aim)}"
        if line.relative:
            aimed += f" ({line.target:g} x {line.relative})" if line.target else NEEDS_CORES
        missed = "" if line.merit(figures, value) >= 1 else "**missed**"
        peers = "; ".join(f"{who} {_text(it)}" for who, it in line.peers(figures).items())
        once = ", once" if figures[line.key].get(RUNS) == 1 else ""
        rows.append(f"| {line.title}{once} | {_text(value)} | {aimed} | {missed} | {peers} |")
    if "rsync" not in figures.get("copy_s", {}):
        rows += ["", "`rsync` is not installed on this machine, and is missing beside `cp`."]
    return "\n".join(rows) + "\n"


def _measured(document: dict[str, Any]) -> Iterator[tuple[Line, float]]:
    for line in LINES:
        if (value := line.value(document["figures"])) is not None:
            is_able = document["machine"]["cores"] >= line.cores
            yield line if is_able else replace(line, target=None), value


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def draw(document: dict[str, Any]) -> str:
    """Return the picture, as SVG: how much better or worse than its target each figure is."""
    figures = document["figures"]
    lines = [(line, value) for line, value in _measured(document) if line.target is not None]
    bottom = TOP + ROW * len(lines)
    body = [
        _write(20, 32, "Registering, finding and moving files", size=19, bold=True),
        _write(
            20,
            54,
            f"{document['files']:,} files; how many times better than its target each figure is; "
            "logarithmic; grey: plain SQL, cp and the like",
            colour=QUIET,
        ),
    ]
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100):
        x, colour = _x(tick), INK if tick == 1 else GRID
        body.append(f'<path d="M{x:.1f} {TOP - 8}V{bottom}" stroke="{colour}"/>')
        body.append(_write(x, bottom + 18, f"{tick:g}", size=11, colour=QUIET, anchor="middle"))
    for number, (line, value) in enumerate(lines):
        y = TOP + ROW * (number + 0.5)
        body.append(_write(20, y + 4, line.title, size=12.5))
        peers = line.peers(figures).values()
        body += [_dot(line.merit(figures, peer), y, PEER) for peer in peers]
        merit = line.merit(figures, value)
        body.append(_dot(merit, y, OURS))
        text = f"{_text(value)}{'' if merit >= 1 else '  missed'}"
        body.append(_write(WIDTH - RIGHT + 16, y + 4, text, size=12, colour=OURS, bold=merit < 1))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 40}" '
        f'width="{WIDTH}" height="{bottom + 40}" font-size="13" '
        f'font-family="Helvetica, Arial, DejaVu Sans, sans-serif" fill="{INK}">\n'
        f'<rect width="{WIDTH}" height="{bottom + 40}" fill="{PAPER}"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _x(merit: float) -> float:
    inside = min(max(merit, LOW), HIGH)
    return LEFT + (WIDTH - LEFT - RIGHT) * log10(inside / LOW) / log10(HIGH / LOW)


def _dot(merit: float, y: float, colour: str) -> str:
    return f'<circle cx="{_x(merit):.1f}" cy="{y}" r="5" fill="{colour}" fill-opacity="0.85"/>'


def _write(  # noqa: PLR0913 - one text, many looks
    x: float,
    y: float,
    text: str,
    *,
    size: float = 13,
    colour: str = INK,
    anchor: str = "start",
    bold: bool = False,
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}"{weight}>{escape(text)}</text>'
    )
