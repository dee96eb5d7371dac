"""Planting: the nodes of a body become the tasks and splits of a scope."""

from dataclasses import dataclass
from typing import Self, assert_never

from euclid_dask.core.events import RunOptions
from euclid_dask.core.flow import Body, Flow, NestedNode, SplitNode, TaskNode
from euclid_dask.core.ids import SplitId, TaskId
from euclid_dask.core.ports import ExecutableSpec
from euclid_dask.core.states import TaskState
from euclid_dask.dataflow.graph import Graph
from euclid_dask.dataflow.select import named, select
from euclid_dask.planner.nodes import (
    Scope,
    Split,
    Task,
    child_template,
    exported_nodes,
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tasks of a pipeline a run is about, by their template paths.

    `dropped` tasks are no part of it; `omitted` ones do not run, but what they make is needed.
    `ends` are those that `--until` names, or that no other task of the part needs.
    """

    dropped: frozenset[str] = frozenset()
    omitted: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()

    @classmethod
    def of(cls, flow: Flow, options: RunOptions) -> Self:
        """Work out what `--until`, `--from` and `--skip` mean for `flow`."""
        if not (options.until or options.from_ or options.skip):
            return cls()
        graph = Graph.of(flow)
        selected = select(flow, until=options.until, start=options.from_, skip=options.skip)
        others = frozenset(graph.tasks()) - selected
        needed = graph.ancestors(selected)
        return cls(
            dropped=others - needed,
            omitted=others & needed,
            ends=(selected - needed) | (selected & named(flow, options.until)),
        )


def plant(scope: Scope, selection: Selection) -> tuple[list[Task], list[Split]]:
    """Add the nodes of the body of `scope`, blocks included, to the facts of the run.

    Returns them in call order. Their `missing` is counted; nothing is ready yet.
    """
    tasks: list[Task] = []
    splits: list[Split] = []
    facts = scope.facts
    for node in scope.body.nodes:
        match node:
            case TaskNode():
                if scope.template + node.name not in selection.dropped:
                    tasks.append(_plant_task(scope, node, selection))
            case SplitNode():
                template = child_template(scope.template, node)
                if not _all_dropped(template, node.body, selection):
                    splits.append(_plant_split(scope, node, selection))
            case NestedNode():
                inner = Scope(
                    facts,
                    node.body,
                    exported_nodes(node.body) if node.name in scope.exported else frozenset(),
                    prefix=f"{scope.prefix}{node.name}.",
                    template=child_template(scope.template, node),
                    parent=scope,
                    arguments=node.arguments,
                    split=None,
                )
                facts.nested[scope.prefix + node.name] = inner
                inner_tasks, inner_splits = plant(inner, selection)
                tasks += inner_tasks
                splits += inner_splits
            case _:
                assert_never(node)
    return tasks, splits


def _plant_task(scope: Scope, node: TaskNode, selection: Selection) -> Task:
    facts = scope.facts
    task = Task(
        id=TaskId(scope.prefix + node.name),
        node=node,
        spec=_spec(scope, node),
        scope=scope,
        sequence=len(facts.tasks),
        tolerated=_is_tolerated(scope),
    )
    facts.tasks[task.id] = task
    if scope.template + node.name in selection.omitted:
        task.state = TaskState.OMITTED
        task.identity = f"omitted in {facts.run}: {task.id}"
        return task
    for maker in task.producers():
        maker.consumers.append(task)
        task.missing += not maker.is_finished
    return task


def _plant_split(scope: Scope, node: SplitNode, selection: Selection) -> Split:
    split = Split(
        id=SplitId(scope.prefix + node.name),
        node=node,
        scope=scope,
        tolerated=_is_tolerated(scope),
        partial=_is_partial(child_template(scope.template, node), node.body, selection),
    )
    scope.facts.splits[split.id] = split
    for maker in split.producers():
        maker.consumers.append(split)
        split.missing += not maker.is_finished
    return split


def _spec(scope: Scope, node: TaskNode) -> ExecutableSpec:
    return scope.facts.executables[node.executable]


def _is_tolerated(scope: Scope | None) -> bool:
    while scope is not None:
        if scope.split is not None and scope.split.node.on_error != "fail":
            return True
        scope = scope.parent
    return False


def _is_partial(template: str, body: Body, selection: Selection) -> bool:
    """Tell whether a result of `body` comes from a dropped node."""
    return any(
        template + name in selection.dropped
        or any(path.startswith(f"{template}{name}.") for path in selection.dropped)
        for name in exported_nodes(body)
    )


def _all_dropped(template: str, body: Body, selection: Selection) -> bool:
    """Tell whether every task below `template` is dropped."""
    if not selection.dropped:
        return False
    for node in body.nodes:
        if isinstance(node, TaskNode):
            if template + node.name not in selection.dropped:
                return False
        elif not _all_dropped(child_template(template, node), node.body, selection):
            return False
    return True
