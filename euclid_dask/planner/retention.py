"""Which temporary outputs nothing needs any more.

What needs an output are tasks, splits that are not open yet, and joined lists that something
needs. Each output waits for one of these at a time, so that a run costs time proportional to its
uses. What leaves the pipeline is needed for ever, and so are the outputs of a task for which a part
is run; so is what serves a task that failed or is left out. What an earlier run made is left alone.

Rule 1: a run is read here, and not changed. Rule 2: what was wrongly held to be needed no more is
made again when something needs it: that costs time, and nothing else.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from euclid_dask.core.attempts import Fingerprint
from euclid_dask.core.effects import RemoveOutputs
from euclid_dask.core.events import (
    OutputsMissed,
    RunEvent,
    SplitExpanded,
    TaskReused,
    TaskSucceeded,
)
from euclid_dask.core.flow import (
    FromInput,
    FromNode,
    NestedNode,
    Node,
    Source,
    SplitNode,
    TaskNode,
)
from euclid_dask.core.ids import TaskId
from euclid_dask.core.states import TaskState
from euclid_dask.dataflow.steps import node_sources
from euclid_dask.planner.nodes import Scope, Split, Task
from euclid_dask.planner.run import Run

_NEVER: Final = ""
"""What never comes to pass."""
_JOINED: Final = ".reduce"
"""The end of the name of a joined list, after the id of its split."""


class _Value(NamedTuple):
    """An output of a task, or the joined list of a split, which has no port."""

    maker: str
    port: str = ""


class Retention:
    """The temporary outputs of a run that are still needed, and what each of them waits for.

    What is waited for is known by a name: a task that is to be done, a split that is to be open, or
    a joined list that nothing is to need any more.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._ports = {
            key: ports
            for key, spec in run.flow.executables.items()
            if (ports := [port.name for port in spec.outputs if port.temporary])
        }
        self._rest: dict[_Value, Iterator[str]] = {}
        self._waiting: dict[str, list[_Value]] = {}
        self._unneeded: dict[TaskId, dict[str, None]] = {}
        self._lists: set[str] = set()  # joined lists that nothing needs any more
        if self._ports:
            for task in list(run.tasks.values()):
                self._made(task)

    def __bool__(self) -> bool:
        """Tell whether the pipeline has temporary outputs at all."""
        return bool(self._ports)

    def note(self, event: RunEvent) -> None:
        """Take notice of what has happened to the run."""
        if not self._ports:
            return
        match event:
            case TaskSucceeded(task=task_id) | TaskReused(task=task_id):
                self._made(self._run.tasks[task_id])
                self._wake(task_id)
            case SplitExpanded(split=split_id):
                self._wake(split_id)
            case OutputsMissed():
                self._lists.clear()
            case _:
                pass

    def due(self) -> list[RemoveOutputs]:
        """Return what is to be removed now; each output is named once."""
        found, self._unneeded = self._unneeded, {}
        effects: list[RemoveOutputs] = []
        for task_id, ports in found.items():
            task = self._run.tasks[task_id]
            sure = tuple(port for port in ports if self._is_sure(task, port))
            if sure:
                effects.append(RemoveOutputs(run=self._run.id, task=task_id, ports=sure))
        return effects

    def _made(self, task: Task) -> None:
        """Have the outputs of a task wait, if it made them in this run."""
        if task.state is not TaskState.DONE or _is_end(self._run, task):
            return
        gone = {file.path for file in task.removed}
        for port in self._ports.get(task.node.executable, ()):
            if task.output_path(port) not in gone and not task.given(port):
                self._follow(_Value(task.id, port))

    def _follow(self, value: _Value) -> None:
        self._rest[value] = self._needs(value)
        self._go_on(value)

    def _go_on(self, value: _Value) -> None:
        """Have a value wait for the next thing that it must, if there is one."""
        for name in self._rest.get(value, ()):
            if not self._has_come(name):
                self._wait(value, name)
                return
        if self._rest.pop(value, None) is None:
            return
        if value.port:
            self._unneeded.setdefault(TaskId(value.maker), {})[value.port] = None
        else:
            self._lists.add(value.maker + _JOINED)
            self._wake(value.maker + _JOINED)

    def _wait(self, value: _Value, name: str) -> None:
        self._waiting.setdefault(name, []).append(value)
        joined = _Value(name.removesuffix(_JOINED))
        if name.endswith(_JOINED) and joined not in self._rest:
            self._follow(joined)

    def _wake(self, name: str) -> None:
        for value in self._waiting.pop(name, ()):
            self._go_on(value)

    def _is_sure(self, task: Task, port: str) -> bool:
        """Tell whether nothing needs an output, also if something has been made again since."""
        value = _Value(task.id, port)
        if task.state is not TaskState.DONE or value in self._rest:
            return False
        again = next((name for name in self._needs(value) if not self._has_come(name)), None)
        if again is not None:
            self._follow(value)
        return again is None

    def _has_come(self, name: str) -> bool:
        facts = self._run.board.facts
        if name in facts.tasks:
            return facts.tasks[name].is_made
        if name in facts.splits:
            return facts.splits[name].expanded
        return name in self._lists

    def _needs(self, value: _Value) -> Iterator[str]:
        """Yield the names of all that must come before nothing needs a value."""
        facts = self._run.board.facts
        maker: Task | Split = facts.tasks[value.maker] if value.port else facts.splits[value.maker]
        port = value.port or facts.splits[value.maker].node.output
        yield from self._uses(maker.scope, FromNode(node=maker.node.name, port=port))

    def _uses(self, scope: Scope, source: Source) -> Iterator[str]:
        for node in scope.body.nodes:
            ports = [port for port, used in node_sources(node).items() if used == source]
            if ports:
                yield from self._uses_in(scope, node, ports)
        for output in scope.body.outputs:
            if output.source == source:
                yield from self._uses_outside(scope, output.name)

    def _uses_in(self, scope: Scope, node: Node, ports: list[str]) -> Iterator[str]:
        path, facts = scope.prefix + node.name, scope.facts
        if isinstance(node, TaskNode):
            yield path
            return
        if isinstance(node, NestedNode):
            inside = [facts.nested[path]]
        else:
            yield path
            inside = [branch.scope for branch in facts.splits[path].branches]
        for inner in inside:
            for port in ports:
                yield from self._uses(inner, FromInput(name=port))

    def _uses_outside(self, scope: Scope, output: str) -> Iterator[str]:
        if scope.parent is None:
            yield _NEVER
        elif scope.split is not None:
            yield scope.split.id + _JOINED
        else:
            yield from self._uses(scope.parent, FromNode(node=_block(scope), port=output))


def lasting(run: Run, task: Task, outputs: Mapping[str, Fingerprint]) -> dict[str, Fingerprint]:
    """Return the outputs of a task that never go: those not temporary, and results that are."""
    whole = _is_end(run, task)
    return {
        port: made
        for port, made in outputs.items()
        if whole
        or not task.spec.output(port).temporary
        or _leaves(task.scope, FromNode(node=task.node.name, port=port))
    }


def _is_end(run: Run, task: Task) -> bool:
    """Tell whether a part is run for the sake of `task`."""
    return task.scope.template + task.node.name in run.board.selection.ends


def _leaves(scope: Scope, source: Source) -> bool:
    """Tell whether a value leaves the pipeline, in a joined list too."""
    for output in scope.body.outputs:
        if output.source == source:
            if scope.parent is None:
                return True
            name = scope.split.node.name if scope.split else _block(scope)
            port = scope.split.node.output if scope.split else output.name
            if _leaves(scope.parent, FromNode(node=name, port=port)):
                return True
    return any(
        _leaves(scope, FromNode(node=node.name, port=port))
        for node in scope.body.nodes
        if not isinstance(node, TaskNode)
        for port in _handed_on(node, source)
    )


def _handed_on(node: SplitNode | NestedNode, source: Source) -> list[str]:
    """Return the outputs of a block in which it hands on a value that it is given."""
    given = {FromInput(name=port) for port, used in node.arguments.items() if used == source}
    found = [output.name for output in node.body.outputs if output.source in given]
    for inner in node.body.nodes if given else ():
        if not isinstance(inner, TaskNode):
            names = [port for one in given for port in _handed_on(inner, one)]
            made = [FromNode(node=inner.name, port=port) for port in names]
            found += [output.name for output in node.body.outputs if output.source in made]
    return [node.output] if found and isinstance(node, SplitNode) else found


def _block(scope: Scope) -> str:
    """Return the name of the node that a nested block is of."""
    assert scope.parent is not None
    return scope.prefix[len(scope.parent.prefix) : -1]
