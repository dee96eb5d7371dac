"""Write the figures of pilots for people: between markers of their own in docs/benchmarks.md."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.plot import draw
from benchmarks.report import (
    conditions,
    escaped,
    name_of,
    replace_between,
    table,
    text_of,
    what_was_run,
)
from benchmarks.summary import Cell, Document, Spread, cell, ordered, over_bound, spread

BEGIN, END = "<!-- pilots: begin -->", "<!-- pilots: end -->"


def write_docs(document: Document, docs: Path) -> None:
    """Put the tables between the markers of docs/benchmarks.md and draw docs/pilots.svg."""
    picture = draw(
        document,
        figure="span_s",
        title="In pilots on Slurm, from the first task's start to the last one's end",
        measure="the C program in one job",
    )
    (docs / "benchmarks-pilots.svg").write_text(picture)
    link = "![Time in pilots of every engine](benchmarks-pilots.svg)\n"
    replace_between(docs / "benchmarks.md", BEGIN, END, f"{link}\n{tables(document)}")


def tables(document: Document) -> str:
    """The whole report in Markdown."""
    parts = [conditions(document, others=False)]
    parts += [_workload(document, workload) for workload in document["workloads"]]
    return "\n".join([*parts, what_was_run(document)])


def _workload(document: Document, workload: str) -> str:
    about = document["workloads"][workload]
    bound = f", lower bound {about['lower_bound_s']:.2f} s" if about["lower_bound_s"] else ""
    columns = _columns(document, workload)
    rows = []
    for engine in ordered(document, "span_s", workload):
        found = cell(document, engine, workload)
        title = name_of(engine, document["engines"][engine]["title"])
        if found.wrong:
            wrong = f"**invalid**: {escaped(found.wrong[0])[:200]}"
            rows.append([title, wrong] + [""] * (len(columns) - 1))
        elif found.timed:
            rows.append([title, *(column(found) for column in columns.values())])
    head = f"### {workload} in pilots\n\n{about['tasks']} tasks, {about['slots']} slots{bound}."
    return f"{head}\n\n{table(['engine', *columns], rows)}"


def _columns(document: Document, workload: str) -> dict[str, Callable[[Cell], str]]:
    floor = cell(document, document["floor"], workload)
    ours = cell(document, "ours", workload)
    about, cores = document["workloads"][workload], document["machine"]["cores"]

    def busy(found: Cell) -> Spread | None:
        return spread([_busy_ms(one, about["tasks"], cores) for one in found.timed.values()])

    columns: dict[str, Callable[[Cell], str]] = {
        "steady ms a task": lambda c: text_of(c.figure("steady_ms")),
        "× floor": lambda c: text_of(c.times(floor, "span_s")),  # noqa: RUF001
        "× ours": lambda c: text_of(c.times(ours, "span_s")),  # noqa: RUF001
        "first task s": lambda c: text_of(c.figure("first_task_s")),
        "whole s": lambda c: text_of(c.figure("whole_s")),
        "machine's CPU ms a task": lambda c: text_of(busy(c)),
    }
    if about["lower_bound_s"]:
        columns["tasks / bound"] = lambda c: text_of(
            over_bound(document, c.engine, workload, "span_s"), 3
        )
    return columns


def _busy_ms(figures: dict[str, float], tasks: int, cores: int) -> float:
    """What the whole machine did, the tasks themselves excepted: jobs are nobody's children."""
    elsewhere_ms = figures["other_load"] * figures["exit_s"] * cores * 1e3 / tasks
    return elsewhere_ms + figures["engine_cpu_ms"]
