"""A second run in a workdir redoes what has changed, and nothing else."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from euclid_dask.core.attempts import Order
from euclid_dask.core.flow import Body, Flow, FromInput, FromNode, Node, Source, TaskNode
from euclid_dask.core.ids import RunId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.states import RunState
from euclid_dask.sim import Outcome, World, begin, simulate
from euclid_dask.sim.files import AllFiles
from euclid_dask.sim.flows import arg, body, flow, out, split, task
from euclid_dask.sim.workload import random_of

INPUTS = ("one", "two", "three")


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Draw a flow of three inputs with splits over lists that tasks make."""
    files: list[Source] = [arg(name) for name in INPUTS]
    lists: list[Source] = []
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 6))):
        name = f"n{number}"
        kind = draw(st.sampled_from(["task", "maker", "split"] if lists else ["task", "maker"]))
        used = draw(st.lists(st.sampled_from(files), min_size=1, max_size=2))
        arguments = {f"a{position}": source for position, source in enumerate(used)}
        if kind == "split":
            inner: Body = body(
                task(f"{name}w", **{key: arg(key) for key in ("item", *arguments)}),
                inputs=("item", *arguments),
                r=out(f"{name}w"),
            )
            source = draw(st.sampled_from(lists))
            nodes.append(split(name, inner, over="item", item=source, **arguments))
            lists.append(out(name, "tuplelist"))
            files.append(out(name, "tuplelist"))
        else:
            nodes.append(task(name, **arguments))
            files.append(out(name, "items" if kind == "maker" else "out"))
            if kind == "maker":
                lists.append(out(name, "items"))
    return flow(body(*nodes, inputs=INPUTS, **{f"r{n}": s for n, s in enumerate(files[3:])}))


def behave(_run: RunId, order: Order) -> Outcome:
    """Write lists whose entries stay, whatever the inputs are."""
    count = random_of(0, order.task).randrange(4)
    return Outcome(
        lists={"items": tuple(f"data/{order.task}.{number}.txt" for number in range(count))}
    )


def run_in(workdir: Path, pipeline: Flow, texts: dict[str, str]) -> list[str]:
    """Run a pipeline on these inputs; return the tasks that were started."""
    for name, text in texts.items():
        path = workdir / f"{name}.txt"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    world = World(behave, files=AllFiles())
    world.add_pilot("p", Resources(cores=4, ram_bytes=8 * GB))
    active = begin(world, pipeline, workdir, {name: f"{name}.txt" for name in INPUTS})
    simulate(world, active)
    assert active.run.state is RunState.DONE
    return [one.task for one in world.log]


def contents(workdir: Path) -> dict[str, str]:
    return {
        str(path.relative_to(workdir)): path.read_text()
        for path in workdir.rglob("*")
        if path.is_file() and ".euclid-dask" not in path.parts
    }


def depending(pipeline: Flow, changed: set[str]) -> set[str]:
    """Return the nodes that use a changed input, directly or not."""
    found: set[str] = set()
    for node in pipeline.body.nodes:
        sources = node.inputs if isinstance(node, TaskNode) else node.arguments
        if any(
            (isinstance(source, FromInput) and source.name in changed)
            or (isinstance(source, FromNode) and source.node in found)
            for source in sources.values()
        ):
            found.add(node.name)
    return found


@settings(max_examples=40, deadline=None)
@given(pipeline=flows(), changed=st.sets(st.sampled_from(INPUTS)))
def test_a_second_run_makes_what_a_fresh_one_makes_and_starts_only_what_changed(
    pipeline: Flow, changed: set[str]
) -> None:
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
    before = dict.fromkeys(INPUTS, "before")
    after = before | dict.fromkeys(changed, "afterwards")
    with TemporaryDirectory(dir=folder) as again, TemporaryDirectory(dir=folder) as fresh:
        run_in(Path(again), pipeline, before)
        repeated = run_in(Path(again), pipeline, after)
        run_in(Path(fresh), pipeline, after)
        assert contents(Path(again)) == contents(Path(fresh))
        assert {name.split(".")[0] for name in repeated} <= depending(pipeline, changed)
