"""Our engine, written as its users would write it: a pipeline script and one command line.

A bag is a `@parallel` over a list file; chains are a `@parallel` whose body calls an executable a
hundred times; a scatter is a task that makes the list, a split and a task that takes the join; any
other graph is one call a task. The elements of the lists are files that lie in the workdir, as the
products of a real pipeline do; each holds the id of its branch.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.engines import Engine, Job

ROOT = Path(__file__).parent.parent.parent
OURS = (f"-e {ROOT}",)
DUTIES = "logs, rusage, checks, receipts, journal"

HEAD = """\
from euclid_dask import ComputingResources, Executable, Input, Output, parallel, pipeline

TICK = {tick!r}
SMALL = ComputingResources(cores=1, ram=0.1, walltime=1.0)


def out():
    return [Output("out", mime_type="txt")]
"""

BAG = """
work = Executable(command=TICK, inputs=[Input("item")], outputs=out(), resources=SMALL)


@parallel(iterable="item")
def each(item):
    return work(item=item)


@pipeline(outputs=("results",))
def bag(items):
    return each(item=items)
"""

CHAINS = """
DEPTH = {depth}
first = Executable(
    command=f"{{TICK}} --step=s000", inputs=[Input("item")], outputs=out(), resources=SMALL
)
later = [
    Executable(
        command=f"{{TICK}} --step=s{{step:03d}}",
        inputs=[Input("item"), Input("before")],
        outputs=out(),
        resources=SMALL,
    )
    for step in range(1, DEPTH)
]


@parallel(iterable="item")
def chain(item):
    made = first(item=item)
    for step, executable in enumerate(later, start=1):
        made = executable(item=item, before=made, name=f"step{{step:03d}}")
    return made


@pipeline(outputs=("results",))
def chains(items):
    return chain(item=items)
"""

SCATTER = """
source = Executable(
    command=f"{{TICK}} --id=source --count={width} --prefix=items/b --suffix=.txt",
    inputs=[Input("seed")],
    outputs=[Output("outlist", mime_type="json", content_type="listfile")],
    resources=SMALL,
)
work = Executable(command=TICK, inputs=[Input("item")], outputs=out(), resources=SMALL)
sink = Executable(
    command=f"{{TICK}} --id=sink",
    inputs=[Input("all", content_type="listfile")],
    outputs=out(),
    resources=SMALL,
)


@parallel(iterable="item")
def each(item):
    return work(item=item)


@pipeline(outputs=("result",))
def scatter(seed):
    return sink(all=each(item=source(seed=seed)))
"""

GRAPH = """
TASKS = {tasks}
executables = {{
    task: Executable(
        command=f"{{TICK}} --id={{task}} --duration={{duration_s}}",
        inputs=[Input(f"from_{{before}}") for before in after] or [Input("seed")],
        outputs=out(),
        resources=SMALL,
    )
    for task, (duration_s, after) in TASKS.items()
}}


@pipeline(outputs={lasts})
def graph(seed):
    made = {{}}
    for task, (_, after) in TASKS.items():
        inputs = {{f"from_{{before}}": made[before] for before in after}} or {{"seed": seed}}
        made[task] = executables[task](name=task, **inputs)
    return {returned}
"""


def script(job: Job) -> str:
    """Write the workload as a pipeline script."""
    return HEAD.format(tick=str(job.tick)) + _WRITERS[job.workload.kind](job)


def _graph(job: Job) -> str:
    tasks = job.workload.tasks
    waited_for = {before for task in tasks for before in task.after}
    lasts = tuple(task.id for task in tasks if task.id not in waited_for)
    rows = "".join(f"    {t.id!r}: ({t.duration_s!r}, {t.after!r}),\n" for t in tasks)
    returned = ", ".join(f"made[{last!r}]" for last in lasts)
    return GRAPH.format(tasks=f"{{\n{rows}}}", lasts=lasts, returned=returned)


_WRITERS: Mapping[str, Callable[[Job], str]] = {
    "bag": lambda _: BAG,
    "chains": lambda job: CHAINS.format(**job.workload.shape),
    "scatter": lambda job: SCATTER.format(**job.workload.shape),
    "graph": _graph,
}


def inputs(job: Job) -> dict[str, str]:
    """Write the pipeline's input files and return them by port, relative to the workdir."""
    workload = job.workload
    if workload.kind == "graph":
        return _seed(job)
    (job.workdir / "items").mkdir()
    names = {task.id.partition(".")[0]: None for task in workload.tasks}
    for name in names:
        (job.workdir / "items" / f"{name}.txt").write_text(f"{name}\n")
    if workload.kind == "scatter":
        return _seed(job)
    (job.workdir / "items.json").write_text(json.dumps([f"items/{name}.txt" for name in names]))
    return {"items": "items.json"}


def _seed(job: Job) -> dict[str, str]:
    (job.workdir / "seed.txt").write_text("seed\n")
    return {"seed": "seed.txt"}


def write_script(job: Job) -> Path:
    """Put the script into the workdir."""
    path = job.workdir / "pipeline.py"
    path.write_text(script(job))
    return path


def _prepare(job: Job, *options: str) -> list[str]:
    path = write_script(job)
    ports = [f"{port}={file}" for port, file in inputs(job).items()]
    program = str(job.python.parent / "euclid-dask")
    where = ["--workdir", str(job.workdir), "--cores", str(job.slots)]
    return [program, "run", str(path), *ports, *where, "--json", *options]


def engine(name: str, title: str, *options: str) -> Engine:
    """Return our engine with some options of its command line."""
    return Engine(
        name=name,
        title=title,
        duties=DUTIES,
        requirements=OURS,
        prepare=lambda job: _prepare(job, *options),
        shows=("dask", "distributed"),
    )


ENGINES = (
    engine("ours", "euclid_dask"),
    engine("ours-dask", "euclid_dask, Dask at once", "--executor", "dask"),
    engine("ours-one-by-one", "euclid_dask, no bundles", "--one-by-one"),
    engine("ours-inline", "euclid_dask, without Dask", "--executor", "inline"),
)
