"""The things of a run that have a state: tasks, splits, and the branches of splits.

They are changed by `planner.run.Run` and by nothing else. A `Scope` is one copy of a body: the
pipeline's own, a nested block's, or a branch's. It says what the sources of that body stand for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import assert_never

from euclid_dask.core.attempts import Failure, Fingerprint, Profile
from euclid_dask.core.errors import InternalError
from euclid_dask.core.events import InputFile
from euclid_dask.core.flow import (
    Body,
    Constant,
    FromInput,
    FromNode,
    NestedNode,
    Source,
    SplitNode,
    TaskNode,
)
from euclid_dask.core.ids import PilotId, RunId, SplitId, TaskId
from euclid_dask.core.ports import ExecutableSpec
from euclid_dask.core.resources import Resources
from euclid_dask.core.states import TASK_DEAD, TASK_FINISHED, SplitState, TaskState
from euclid_dask.planner.ready import Shape


@dataclass(slots=True, eq=False)
class Task:
    """One planned execution of an executable.

    `missing` counts producers that are not finished; `sequence` is the order of planting;
    `returns` counts attempts in a row that were given back because something went wrong,
    `enlargements` those that asked for more after one had too little, `expiries` those whose
    pilot reached its walltime. `removed` are files of its outputs that nothing needed any more.
    `asked` is what it asks for now, None for what was declared;
    `tolerated` says that its failure does not fail the run.
    """

    id: TaskId
    node: TaskNode
    spec: ExecutableSpec
    scope: "Scope"
    sequence: int
    tolerated: bool = False
    state: TaskState = TaskState.WAITING
    missing: int = 0
    attempt: int = 0
    science_failures: int = 0
    losses: int = 0
    returns: int = 0
    enlargements: int = 0
    expiries: int = 0
    asked: Resources | None = None
    avoids: tuple[str, ...] = ()
    careful: bool = False
    no_reuse: bool = False
    identity: str = ""
    failure: Failure | None = None
    blocked_by: str = ""
    pilot: PilotId | None = None
    bundle: int = -1
    ready_key: tuple[float, ...] = ()
    started_s: float = 0.0
    ended_s: float = 0.0
    outputs: dict[str, Fingerprint] | None = None
    removed: tuple[Fingerprint, ...] = ()
    profile: Profile | None = None
    warnings: tuple[str, ...] = ()
    consumers: "list[Consumer]" = field(default_factory=list)

    @property
    def needs(self) -> Resources:
        """What its next attempt asks for, or its current one."""
        return self.spec.needs if self.asked is None else self.asked

    @property
    def shape(self) -> Shape:
        """What it has in common with tasks that can take its place."""
        return Shape(self.node.executable, self.needs, self.avoids, self.careful)

    def output_path(self, port: str) -> str:
        """Return where the output of that port is, relative to the workdir."""
        given = self.given(port)
        if given is not None:
            return given.path
        return f"{self.id}/{port}.{self.spec.output(port).mime_type}"

    def given(self, port: str) -> InputFile | None:
        """Return the file that stands for the output of that port, None if there is none."""
        given = self.scope.facts.given
        if not given:
            return None
        every = f"{self.scope.template}{self.node.name}.{port}"
        return given.get(f"{self.id}.{port}") or given.get(every)

    def arguments(self) -> "Iterator[tuple[str, Resolved]]":
        """Yield its input ports with what stands behind them, in the order of declaration."""
        inputs = self.node.inputs
        for port in self.spec.inputs:
            if port.name in inputs:
                yield port.name, self.scope.resolve(inputs[port.name])

    def producers(self) -> "list[Task | Split]":
        """Return the tasks and splits that make its inputs, each once."""
        return distinct_producers(value for _, value in self.arguments())

    @property
    def is_finished(self) -> bool:
        """Tell whether its outputs exist."""
        return self.state in TASK_FINISHED

    @property
    def is_made(self) -> bool:
        """Tell whether it is finished, and not left out."""
        return self.is_finished and self.state is not TaskState.OMITTED

    @property
    def is_dead(self) -> bool:
        """Tell whether its outputs will not exist."""
        return self.state in TASK_DEAD


@dataclass(slots=True, eq=False)
class Split:
    """One `@parallel` call: its branches, once its list was read, and its joined list.

    `pending` counts branches that have not ended, `failed` those that failed; `partial` says that
    the run leaves out something that the joined list would be made of, so that it is not written.
    """

    id: SplitId
    node: SplitNode
    scope: "Scope"
    tolerated: bool = False
    partial: bool = False
    state: SplitState = SplitState.WAITING
    missing: int = 0
    branches: "list[Branch]" = field(default_factory=list)
    expanded: bool = False
    pending: int = 0
    failed: int = 0
    identity: str = ""
    failure: str = ""
    consumers: "list[Consumer]" = field(default_factory=list)

    @property
    def list_path(self) -> str:
        """Return where the joined list is, relative to the workdir."""
        return f"{self.id}.reduce/{self.node.output}.json"

    @property
    def iterated(self) -> "Resolved":
        """Return what stands behind the list to split over."""
        return self.scope.resolve(self.node.arguments[self.node.iterable])

    def producers(self) -> "list[Task | Split]":
        """Return the one task or split that makes the list to split over, if any does."""
        return distinct_producers([self.iterated])

    @property
    def is_finished(self) -> bool:
        """Tell whether its joined list exists."""
        return self.state is SplitState.DONE

    @property
    def is_dead(self) -> bool:
        """Tell whether its joined list will not exist."""
        return self.state is SplitState.BLOCKED


@dataclass(slots=True, eq=False)
class Branch:
    """One copy of a split's body. `missing` counts producers of its results not yet finished."""

    split: Split
    scope: "Scope"
    missing: int = 0
    failed: bool = False

    def results(self) -> "tuple[Resolved, ...]":
        """Return what stands behind each value that the body returns."""
        return tuple(self.scope.resolve(out.source) for out in self.scope.body.outputs)

    def producers(self) -> "list[Task | Split]":
        """Return the tasks and splits that make its results, each once."""
        return distinct_producers(self.results())


Consumer = Task | Split | Branch


@dataclass(slots=True, frozen=True)
class Given:
    """A value that no task makes as such: a file from outside, a constant, an element of a list.

    `branch` is the scope of the branch that receives it as its element, if it is one.
    """

    file: InputFile
    is_file: bool = True
    branch: "Scope | None" = None

    @property
    def split(self) -> Split | None:
        """Return the split of whose list it is an element, None if it is none."""
        return None if self.branch is None else self.branch.split


@dataclass(slots=True, frozen=True)
class Made:
    """A value that a task makes."""

    task: Task
    port: str


@dataclass(slots=True, frozen=True)
class Joined:
    """A value that a split makes: its joined list."""

    split: Split


Resolved = Given | Made | Joined | None
"""What a source stands for in one scope; None where it is absent."""


def producer(value: Resolved) -> Task | Split | None:
    """Return the task or split that makes `value`, or None if it was there from the start.

    An element of a list is made by what makes the list.
    """
    match value:
        case Made(task=task):
            return task
        case Joined(split=split):
            return split
        case Given(split=Split() as split):
            return producer(split.iterated)
        case _:
            return None


def distinct_producers(values: "Iterable[Resolved]") -> list[Task | Split]:
    """Return the tasks and splits that make `values`, each once, in order."""
    return list(dict.fromkeys(p for value in values if (p := producer(value)) is not None))


@dataclass(slots=True, eq=False)
class Facts:
    """What all scopes of a run share. `given` maps `task.port` to a file that stands for it."""

    run: RunId
    executables: dict[str, ExecutableSpec]
    inputs: dict[str, InputFile]
    given: dict[str, InputFile]
    tasks: dict[str, Task] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    nested: "dict[str, Scope]" = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Scope:
    """One copy of a body.

    `prefix` and `template` are "" or end in "."; the template has `*` for the numbers of branches.
    `exported` names the nodes whose outputs leave the pipeline. A branch has the `item` that its
    `iterable` argument receives, absent if its path is "", and its `index` from 1.
    """

    facts: Facts
    body: Body
    exported: frozenset[str]
    prefix: str = ""
    template: str = ""
    parent: "Scope | None" = None
    arguments: dict[str, Source] = field(default_factory=dict)
    split: Split | None = None
    index: int = 0
    item: InputFile | None = None

    def resolve(self, source: Source) -> Resolved:
        """Return what `source` stands for in this scope."""
        match source:
            case Constant(text=text):
                return Given(InputFile(path=text), is_file=False)
            case FromInput(name=name):
                return self._resolve_input(name)
            case FromNode(node=node, port=port):
                return self._resolve_node(node, port)
            case _:
                assert_never(source)

    def _resolve_input(self, name: str) -> Resolved:
        if self.split is not None and name == self.split.node.iterable:
            assert self.item is not None
            if not self.item.path:
                return None
            return Given(self.item, is_file=self.item.is_file, branch=self)
        if self.parent is not None:
            source = self.arguments.get(name)
            return None if source is None else self.parent.resolve(source)
        file = self.facts.inputs.get(name)
        return None if file is None or not file.path else Given(file)

    def _resolve_node(self, node: str, port: str) -> Resolved:
        path = self.prefix + node
        if path in self.facts.tasks:
            return Made(self.facts.tasks[path], port)
        if path in self.facts.splits:
            return Joined(self.facts.splits[path])
        if path in self.facts.nested:
            inner = self.facts.nested[path]
            for out in inner.body.outputs:
                if out.name == port:
                    return inner.resolve(out.source)
            raise InternalError(f"block {path!r} has no output {port!r}")
        return None  # not selected in this run


def exported_nodes(body: Body) -> frozenset[str]:
    """Return the names of the nodes of `body` that its outputs come from."""
    return _exported(body)[0]


def _exported(body: Body) -> tuple[frozenset[str], frozenset[str]]:
    """Return the nodes that the outputs of `body` come from, and its inputs that it hands on."""
    nodes = {node.name: node for node in body.nodes}
    names: set[str] = set()
    inputs: set[str] = set()
    sources = [out.source for out in body.outputs]
    while sources:
        match sources.pop():
            case FromInput(name=name):
                inputs.add(name)
            case FromNode(node=name) if name not in names:
                names.add(name)
                node = nodes[name]
                if not isinstance(node, TaskNode):
                    handed_on = _exported(node.body)[1]
                    sources += [node.arguments[key] for key in handed_on & node.arguments.keys()]
            case _:
                pass
    return frozenset(names), frozenset(inputs)


def child_template(template: str, node: SplitNode | NestedNode) -> str:
    """Return the template prefix of the body of `node`, which stands under `template`."""
    middle = ".iterations.*." if isinstance(node, SplitNode) else "."
    return f"{template}{node.name}{middle}"
