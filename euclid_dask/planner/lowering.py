"""The static part of a run: steps with their dependences, for who takes a whole graph at once.

A split is static when the list it goes over is an input of the pipeline and has been read. What
depends on a split that is not static is left out.
"""

from dataclasses import dataclass, field
from typing import Any

from euclid_dask.core.attempts import Order
from euclid_dask.core.resources import Resources
from euclid_dask.core.states import TaskState
from euclid_dask.planner.decide import joined_entries
from euclid_dask.planner.nodes import Given, Joined, Made, Split, Task
from euclid_dask.planner.orders import order
from euclid_dask.planner.run import Run


@dataclass(frozen=True, slots=True)
class Step:
    """A chain of attempts, one after the other, or the writing of a joined list.

    `id` is that of the last task of the chain, or of the split. `waits_for` are ids of tasks and
    splits. `entries` are those of the joined list, `list_path` is "" for a chain.
    """

    id: str
    executable: str
    waits_for: tuple[str, ...]
    orders: tuple[Order, ...] = ()
    needs: Resources = field(default_factory=Resources)
    list_path: str = ""
    entries: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class StaticPart:
    """The steps of a run, each after those it waits for.

    `results` maps an output of the pipeline to the id of what makes it and its path. `left_out`
    are tasks and splits that cannot be known before the run.
    """

    steps: tuple[Step, ...]
    results: dict[str, tuple[str, str]]
    left_out: tuple[str, ...]


def static_part(run: Run, *, fuse: bool = True) -> StaticPart:
    """Return the static part of a run of which nothing has been started.

    With `fuse`, a task whose only consumer waits for nothing else shares its step.
    """
    tasks = [task for task in run.tasks.values() if task.state is not TaskState.OMITTED]
    nodes: list[Task | Split] = [*tasks, *run.splits.values()]
    static: dict[str, Task | Split] = {}
    for node in _ordered(nodes):
        is_known = isinstance(node, Task) or node.expanded
        if is_known and all(maker.id in static for maker in _makers(node)):
            static[node.id] = node
    steps = _steps(static, fuse=fuse)
    results = {}
    for out in run.flow.body.outputs:
        match run.board.root.resolve(out.source):
            case Made(task=task, port=port) if task.id in static:
                results[out.name] = (str(task.id), task.output_path(port))
            case Joined(split=split) if split.id in static:
                results[out.name] = (str(split.id), split.list_path)
            case Given(file=file, is_file=True):
                results[out.name] = ("", file.path)
            case _:
                pass
    return StaticPart(
        steps=tuple(steps),
        results=results,
        left_out=tuple(node.id for node in nodes if node.id not in static),
    )


def _makers(node: Task | Split) -> list[Task | Split]:
    """Return what `node` waits for: for a split, what makes the entries of its joined list.

    What tasks that were left out make is there.
    """
    makers = (
        node.producers()
        if isinstance(node, Task)
        else dict.fromkeys(maker for branch in node.branches for maker in branch.producers())
    )
    return [maker for maker in makers if maker.state is not TaskState.OMITTED]


def _ordered(nodes: list[Task | Split]) -> list[Task | Split]:
    """Return `nodes`, each after those it waits for."""
    done: dict[str, Task | Split] = {}
    for first in nodes:
        work = [first]
        while work:
            node = work[-1]
            waiting = [maker for maker in _makers(node) if maker.id not in done]
            if waiting and node.id not in done:
                work += waiting
            else:
                done[node.id] = node
                work.pop()
    return list(done.values())


def _steps(static: dict[str, Task | Split], *, fuse: bool) -> list[Step]:
    waiting: dict[str, list[str]] = {name: [] for name in static}
    for node in static.values():
        for maker in _makers(node):
            waiting[maker.id].append(node.id)
    chains: dict[str, list[Task]] = {}
    steps: list[Step] = []
    for node in static.values():
        makers = [maker.id for maker in _makers(node)]
        if isinstance(node, Split):
            steps.append(_join_step(node, tuple(makers)))
            continue
        chain = chains.pop(makers[0], []) if fuse and len(makers) == 1 else []
        chain.append(node)
        if fuse and _goes_on(waiting[node.id], node, static):
            chains[node.id] = chain
        else:
            steps.append(_chain_step(chain))
    return steps


def _goes_on(waiting: list[str], task: Task, static: dict[str, Task | Split]) -> bool:
    """Tell whether the one consumer of `task` can share its step."""
    if len(waiting) != 1:
        return False
    (consumer,) = (static[name] for name in waiting)
    return (
        isinstance(consumer, Task)
        and len(_makers(consumer)) == 1
        and consumer.spec.needs == task.spec.needs
    )


def _join_step(split: Split, makers: tuple[str, ...]) -> Step:
    return Step(
        id=split.id,
        executable=split.node.name,
        waits_for=makers,
        list_path=split.list_path,
        entries=tuple(joined_entries(split)),
    )


def _chain_step(chain: list[Task]) -> Step:
    return Step(
        id=chain[-1].id,
        executable=chain[-1].spec.name,
        waits_for=tuple(maker.id for maker in _makers(chain[0])),
        orders=tuple(order(task, 1) for task in chain),
        needs=chain[0].spec.needs,
    )
