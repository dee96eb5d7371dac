"""The dataflow of a pipeline as a value: what the journal keeps and the planner walks.

A `Flow` is a tree of bodies. The body of the pipeline function holds nodes; a split or nested
node holds a body of its own. Sources wire nodes of one body to each other and to the arguments
of that body. Building, checking and drawing flows is the business of `euclid_dask.dataflow`.
"""

from typing import Literal as OneOf

from euclid_dask.core.ports import ExecutableSpec
from euclid_dask.core.values import Value


class FromInput(Value, frozen=True, kw_only=True, tag="input"):
    """The value of an argument of the enclosing function."""

    name: str


class FromNode(Value, frozen=True, kw_only=True, tag="node"):
    """An output of another node of the same body, by its name and port."""

    node: str
    port: str


class Constant(Value, frozen=True, kw_only=True, tag="constant"):
    """A text written in the script, passed to the executable as it is."""

    text: str


Source = FromInput | FromNode | Constant

OnError = OneOf["fail", "skip", "null"]
"""What a failed branch does to its join: fail it, be left out of the list, or stand as null."""


class FlowOutput(Value, frozen=True, kw_only=True):
    """A named result of a body."""

    name: str
    source: Source


class TaskNode(Value, frozen=True, kw_only=True, tag="task"):
    """One call of an executable. `executable` is a key of `Flow.executables`.

    `where` is `file:line` of the call.
    """

    name: str
    executable: str
    inputs: dict[str, Source] = {}
    where: str = ""


class SplitNode(Value, frozen=True, kw_only=True, tag="split"):
    """One call of a `@parallel` body: a branch for each element of `arguments[iterable]`.

    `output` names the joined list. `max_failed_fraction` (0 to 1) is the largest share of failed
    branches that `on_error` "skip" and "null" put up with.
    """

    name: str
    iterable: str
    arguments: dict[str, Source]
    body: "Body"
    output: str = "tuplelist"
    on_error: OnError = "fail"
    max_failed_fraction: float = 1.0
    where: str = ""


class NestedNode(Value, frozen=True, kw_only=True, tag="nested"):
    """One call of a `@nested` body: its nodes, under a prefix, with no barrier."""

    name: str
    arguments: dict[str, Source]
    body: "Body"
    where: str = ""


Node = TaskNode | SplitNode | NestedNode


class Body(Value, frozen=True, kw_only=True):
    """The traced body of a decorated function: arguments, nodes in call order, results."""

    inputs: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    outputs: tuple[FlowOutput, ...] = ()


class Flow(Value, frozen=True, kw_only=True):
    """A whole pipeline. `script` is the path of the file it was read from, "" if none.

    `optional_inputs` are arguments with a default of None: they may stay absent.
    """

    name: str
    executables: dict[str, ExecutableSpec]
    body: Body
    script: str = ""
    optional_inputs: tuple[str, ...] = ()
