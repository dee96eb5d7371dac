"""Write the figures for people: Markdown tables, between the markers of docs/benchmarks.md."""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from benchmarks.plot import draw
from benchmarks.registry import PYTHON_FLOOR
from benchmarks.summary import Cell, Document, Spread, cell, ordered, over_bound, ratio

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
NOTHING = "–"  # noqa: RUF001


def write_docs(document: Document, docs: Path) -> None:
    """Put the tables between the markers of docs/benchmarks.md and draw docs/benchmarks.svg."""
    (docs / "benchmarks.svg").write_text(draw(document))
    picture = "![Time to done of every engine, as a multiple of the floor](benchmarks.svg)\n"
    replace_between(docs / "benchmarks.md", BEGIN, END, f"{picture}\n{tables(document)}")


def replace_between(page: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two markers on a page."""
    head, _, rest = page.read_text().partition(begin)
    _, _, tail = rest.partition(end)
    page.write_text(f"{head}{begin}\n\n{text}\n{end}{tail}")


def tables(document: Document) -> str:
    """The whole report in Markdown."""
    parts = [conditions(document), _overview(document)]
    parts += [_detail(document, workload) for workload in document["workloads"]]
    parts += [what_was_run(document)]
    return "\n".join(parts)


def conditions(document: Document, *, others: bool = True) -> str:
    """Say on what was measured, and with `others` how much other work there was."""
    m = document["machine"]
    timed = [r for r in document["runs"] if r["repeat"] > 0]
    loads = [r["load"][0] for r in timed] or [0.0]
    foreign = [r["figures"]["other_load"] for r in timed if r["figures"]] or [0.0]
    optimized = "with" if m["python_optimized"] else "without"
    machine_line = (
        f"**Machine**: {m['cores']} cores ({m['cpu']}), {m['ram_gb']} GB, {m['system']}, "
        f"Linux {m['kernel']}, files on {m['scratch']}; Python {m['python']} "
        f"({optimized} PGO), {m['gcc']}."
    )
    dirty = " with uncommitted changes" if m["uncommitted"] else ""
    runs_line = (
        f"**Runs**: {document['repeats']} timed repeats, engines interleaved, seed "
        f"{document['seed']}, scale {document['scale']:g}; commit {m['commit']}{dirty}. "
        f"Load average {min(loads):.1f} to {max(loads):.1f}"
    )
    if others:
        runs_line += (
            f"; other work took {median(foreign):.0%} of the machine in the median run, "
            f"{max(foreign):.0%} in the worst"
        )
    runs_line += "."
    lines = [machine_line, runs_line]
    if document["note"]:
        lines.append(f"**Note**: {document['note']}")
    return "\n\n".join(lines) + "\n"


def _overview(document: Document) -> str:
    workloads = list(document["workloads"])
    floor = document["engines"].get(document["floor"], {"title": "floor (not measured)"})["title"]
    titles = [_over(document, w) for w in workloads]
    rows = [_overview_row(document, engine, workloads) for engine in ordered(document)]
    head = ["engine", *titles, "first task s", "CPU ms a task", "peak MB", "keeps"]
    about = (
        f"Start to done as a multiple of the {floor}, of the same repeat, median (least to "
        "greatest); Montage as a multiple of its lower bound. First task, CPU and memory are of "
        f"the {workloads[0]} workload."
    )
    return f"{about}\n\n{table(head, rows)}"


def _over(document: Document, workload: str) -> str:
    bound = document["workloads"][workload]["lower_bound_s"]
    return f"{workload}, × bound" if bound else f"{workload}, × floor"  # noqa: RUF001


def _overview_row(document: Document, engine: str, workloads: list[str]) -> list[str]:
    about = document["engines"][engine]
    first = cell(document, engine, workloads[0])
    ratios = [
        _ratio_text(document, engine, workload, cell(document, engine, workload))
        for workload in workloads
    ]
    return [
        name_of(engine, about["title"]),
        *ratios,
        text_of(first.figure("first_task_s"), 3),
        text_of(first.figure("engine_cpu_ms")),
        _number(first.peak_mb),
        about["duties"] or "nothing",
    ]


def _ratio_text(document: Document, engine: str, workload: str, found: Cell) -> str:
    if engine in document["unavailable"]:
        return "not installed"
    if found.wrong:
        return "**invalid**"
    bounded = document["workloads"][workload]["lower_bound_s"]
    value = (
        over_bound(document, engine, workload, "whole_s")
        if bounded
        else ratio(document, engine, workload)
    )
    return value.show(3 if bounded else 1) if value else NOTHING


def _detail(document: Document, workload: str) -> str:
    about = document["workloads"][workload]
    bound = f", lower bound {about['lower_bound_s']:.2f} s" if about["lower_bound_s"] else ""
    head = f"### {workload}: {about['question']}\n\n{about['tasks']} tasks, {about['slots']} slots"
    columns = _columns(document, workload)
    rows = [
        [name_of(engine, document["engines"][engine]["title"]), *cells]
        for engine in ordered(document)
        if (cells := _detail_cells(document, engine, workload, columns))
    ]
    return f"{head}{bound}.\n\n{table(['engine', *columns], rows)}"


Column = Callable[[Cell], str]


def _columns(document: Document, workload: str) -> dict[str, Column]:
    floor = cell(document, document["floor"], workload)
    python_floor = cell(document, PYTHON_FLOOR, workload)
    tasks = document["workloads"][workload]["tasks"]

    def over_floor(mine: Cell) -> Spread | None:
        return mine.paired(floor, lambda a, b: (a - b) * 1e3 / tasks)

    columns: dict[str, Column] = {
        "whole s": lambda c: text_of(c.figure("whole_s")),
        "× floor": lambda c: text_of(c.times(floor)),  # noqa: RUF001
        "× Python floor": lambda c: text_of(c.times(python_floor)),  # noqa: RUF001
        "steady ms a task": lambda c: text_of(c.figure("steady_ms")),
        "over the floor ms a task": lambda c: text_of(over_floor(c)),
        "first task s": lambda c: text_of(c.figure("first_task_s"), 3),
        "exit s": lambda c: text_of(c.figure("exit_s")),
        "CPU ms a task": lambda c: text_of(c.figure("engine_cpu_ms")),
        "peak MB": lambda c: _number(c.peak_mb),
        "other load": lambda c: _percent(c.figure("other_load")),
    }
    if document["workloads"][workload]["lower_bound_s"]:
        columns |= {
            "whole / bound": lambda c: text_of(
                over_bound(document, c.engine, workload, "whole_s"), 3
            ),
            "tasks / bound": lambda c: text_of(
                over_bound(document, c.engine, workload, "span_s"), 3
            ),
        }
    return columns


def _detail_cells(
    document: Document, engine: str, workload: str, columns: dict[str, Column]
) -> list[str]:
    found = cell(document, engine, workload)
    if found.wrong:
        return [f"**invalid**: {escaped(found.wrong[0])[:200]}"] + [""] * (len(columns) - 1)
    return [column(found) for column in columns.values()] if found.timed else []


def what_was_run(document: Document) -> str:
    """List the engines with their versions, and why one is missing."""
    lines = ["### What was run", ""]
    for engine, about in document["engines"].items():
        versions = ", ".join(f"{n} {v}" for n, v in about.get("versions", {}).items())
        reason = document["unavailable"].get(engine)
        missing = f"; **not installed**: {escaped(reason)}" if reason else ""
        lines.append(
            f"- `{engine}`: {about['title']}{f' ({versions})' if versions else ''}{missing}"
        )
    return "\n".join(lines) + "\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Write a Markdown table."""
    return "\n".join(_lines(head, rows)) + "\n"


def _lines(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def name_of(engine: str, title: str) -> str:
    """Write the title of an engine, our own one in bold."""
    return f"**{title}**" if engine == "ours" else title


def text_of(value: Spread | None, digits: int = 2) -> str:
    """Write a figure, or that there is none."""
    return value.show(digits) if value else NOTHING


def _number(value: float | None) -> str:
    return NOTHING if value is None else "< 1" if value < 1 else f"{value:.0f}"


def _percent(value: Spread | None) -> str:
    return f"{value.median:.0%} (to {value.high:.0%})" if value else NOTHING


def escaped(text: str) -> str:
    """Write a text so that it fits into a cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
