"""Check a flow before it runs: wiring, names, inputs given, resources of the machine.

Each check is a function that yields problems; none stops at the first. A flow traced from a
script is wired well by construction, one read from a file may not be.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from euclid_dask.core.errors import PipelineError
from euclid_dask.core.flow import (
    Body,
    Constant,
    Flow,
    FromInput,
    NestedNode,
    Node,
    Source,
    SplitNode,
    TaskNode,
)
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.values import Value
from euclid_dask.dataflow.names import did_you_mean, name_problem
from euclid_dask.dataflow.steps import (
    Step,
    Supplier,
    branch_prefix,
    node_sources,
    ordered,
    tasks,
    unfold,
)

MAX_PATH_BYTES: Final = 255
"""A task's path is the name of its directory, which file systems limit to this."""
BRANCH_DIGITS: Final = 7
"""Digits a branch number may need."""
NOWHERE: Final[Mapping[str, str]] = MappingProxyType({})


class Severity(StrEnum):
    """How bad a problem is."""

    ERROR = "error"
    """The pipeline cannot run."""
    WARNING = "warning"
    """Probably a mistake."""
    NOTICE = "notice"
    """May be meant."""


class Problem(Value, frozen=True, kw_only=True):
    """Something the author or the caller should know. `where` is `file:line` or empty."""

    severity: Severity
    message: str
    hint: str = ""
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message}" + (f"\n  hint: {self.hint}" if self.hint else "")


def check(
    flow: Flow,
    *,
    limit: Resources | None = None,
    given: Collection[str] | None = None,
    places: Mapping[str, str] = NOWHERE,
) -> list[Problem]:
    """Return all problems of a flow, errors first.

    Args:
        flow: The pipeline.
        limit: The largest task the machine takes; a disk or walltime of 0 is no limit.
        given: The names of the inputs that the caller gives; not checked if None.
        places: Where some of these names stand, `file:line`.
    """
    problems = [*_bodies(flow, flow.body, "")]
    if not any(problem.severity is Severity.ERROR for problem in problems):
        problems += _use(flow)
    if limit is not None:
        problems += too_large(flow, limit)
    if given is not None:
        problems += check_inputs(flow, given, places)
    order = list(Severity)
    return sorted(problems, key=lambda problem: order.index(problem.severity))


def check_inputs(
    flow: Flow, given: Collection[str], places: Mapping[str, str] = NOWHERE
) -> list[Problem]:
    """Return an error for every input that is missing and every one that does not exist."""
    known = flow.body.inputs
    missing = [name for name in known if name not in given and name not in flow.optional_inputs]
    unknown = [name for name in given if name not in known]
    free = missing or known
    return [
        *(
            _error(
                f"the pipeline has no input '{name}'",
                did_you_mean(name, free, _free(missing)),
                places.get(name, ""),
            )
            for name in unknown
        ),
        *(
            _error(f"the input '{name}' is not given", f"give a file: {name}=path, or {name}=None")
            for name in missing
        ),
    ]


def _free(missing: list[str]) -> str:
    return "inputs not given yet" if missing else "its inputs"


def _bodies(flow: Flow, body: Body, prefix: str) -> Iterator[Problem]:
    yield from _names(body, prefix)
    try:
        ordered(body, prefix)
    except PipelineError as error:
        yield _error(error.message, error.hint)
    outputs = {node.name: _outputs(flow, node) for node in body.nodes}
    for node in body.nodes:
        for port, source in node_sources(node).items():
            what = f"input '{port}' of '{prefix}{node.name}'"
            yield from _source(source, what, body, outputs, node.where)
        yield from _node(flow, node, prefix)
    for output in body.outputs:
        what = f"output '{output.name}' of '{prefix.rstrip('.') or flow.name}'"
        yield from _source(output.source, what, body, outputs, "")


def _names(body: Body, prefix: str) -> Iterator[Problem]:
    for node in body.nodes:
        path = prefix + node.name
        problem = name_problem(node.name)
        if problem:
            yield _error(f"the name of task '{path[:60]}' {problem}", "give it a name=", node.where)
        elif isinstance(node, TaskNode) and _path_bytes(path) > MAX_PATH_BYTES:
            yield _error(
                f"the path of task '{path}' is longer than {MAX_PATH_BYTES} bytes",
                "give it or the blocks around it shorter names by name=",
                node.where,
            )
    for kind, names in (
        ("nodes", [node.name for node in body.nodes]),
        ("arguments", list(body.inputs)),
        ("outputs", [output.name for output in body.outputs]),
    ):
        for name in _twice(names):
            yield _error(f"two {kind} are named '{prefix}{name}'", "rename one of them")


def _path_bytes(path: str) -> int:
    return len(path.encode()) + path.count("*") * (BRANCH_DIGITS - 1)


def _source(
    source: Source,
    what: str,
    body: Body,
    outputs: dict[str, tuple[str, ...] | None],
    where: str,
) -> Iterator[Problem]:
    match source:
        case Constant():
            return
        case FromInput(name=name):
            if name not in body.inputs:
                hint = did_you_mean(name, body.inputs, "the arguments there")
                yield _error(f"{what} comes from '{name}', which is no argument", hint, where)
        case _:
            known = outputs.get(source.node, ())
            if source.node not in outputs:
                hint = did_you_mean(source.node, outputs, "the tasks there")
                yield _error(f"{what} comes from '{source.node}', which is no task", hint, where)
            elif known is not None and source.port not in known:
                hint = did_you_mean(source.port, known, "its outputs")
                text = f"{what} comes from '{source.node}', which has no output '{source.port}'"
                yield _error(text, hint, where)


def _outputs(flow: Flow, node: Node) -> tuple[str, ...] | None:
    """Return the names of a node's outputs, None if they are not known."""
    match node:
        case TaskNode():
            spec = flow.executables.get(node.executable)
            return tuple(port.name for port in spec.outputs) if spec else None
        case SplitNode():
            return (node.output,)
        case _:
            return tuple(output.name for output in node.body.outputs)


def _node(flow: Flow, node: Node, prefix: str) -> Iterator[Problem]:
    path = prefix + node.name
    match node:
        case TaskNode():
            yield from _task(flow, node, path)
        case SplitNode():
            if node.iterable not in node.arguments:
                hint = did_you_mean(node.iterable, node.arguments, "its arguments")
                yield _error(
                    f"'{path}' splits over '{node.iterable}', which it is not given",
                    hint,
                    node.where,
                )
            yield from _bodies(flow, node.body, branch_prefix(path))
            yield from _unbound(node, path)
        case _:
            yield from _bodies(flow, node.body, f"{path}.")
            yield from _unbound(node, path)


def _unbound(node: SplitNode | NestedNode, path: str) -> Iterator[Problem]:
    for name in node.body.inputs:
        if name not in node.arguments:
            yield _error(f"'{path}' is not given its argument '{name}'", "", node.where)
    for name in node.arguments:
        if name not in node.body.inputs:
            hint = did_you_mean(name, node.body.inputs, "its arguments")
            yield _error(f"'{path}' has no argument '{name}'", hint, node.where)


def _task(flow: Flow, node: TaskNode, path: str) -> Iterator[Problem]:
    spec = flow.executables.get(node.executable)
    if spec is None:
        hint = did_you_mean(node.executable, flow.executables, "the executables")
        yield _error(f"'{path}' calls '{node.executable}', which is not defined", hint, node.where)
        return
    inputs = dict.fromkeys(port.name for port in spec.inputs)
    for port in node.inputs:
        if port not in inputs:
            hint = did_you_mean(port, inputs, "its inputs")
            yield _error(f"'{path}' has no input '{port}'", hint, node.where)
    for port in _twice([*inputs, *(port.name for port in spec.outputs)]):
        yield _error(
            f"'{path}': executable '{spec.name}' has two ports named '{port}'",
            f"the option --{port} would be ambiguous; rename one of them",
            spec.where,
        )


def _use(flow: Flow) -> Iterator[Problem]:
    """Yield what is wired well and used by nothing."""
    whole = unfold(flow)
    used = {supplier for step in whole.steps for supplier in step.suppliers.values()}
    used |= {step.iterable for step in whole.steps if step.iterable is not None}
    used |= set(whole.results.values())
    for name in flow.body.inputs:
        if Supplier(path="", port=name) not in used:
            yield Problem(
                severity=Severity.WARNING,
                message=f"the input '{name}' of the pipeline is used by no task",
                hint="it still has to be given; remove the argument if nothing needs it",
            )
    for step in whole.steps:
        yield from _unused(flow, step, used)
        yield from _iterable(flow, step)


def _unused(flow: Flow, step: Step, used: set[Supplier]) -> Iterator[Problem]:
    names = _outputs(flow, step.node) or ()
    unused = [name for name in names if Supplier(path=step.path, port=name) not in used]
    if unused:
        yield Problem(
            severity=Severity.NOTICE,
            message=f"nothing uses the output {', '.join(unused)} of '{step.path}'",
            where=step.node.where,
        )


def _iterable(flow: Flow, step: Step) -> Iterator[Problem]:
    """Yield a notice if a split is fed by what is not declared as a list."""
    node = tasks(flow).get(step.iterable.path) if step.iterable else None
    if step.iterable is None or node is None:
        return
    port = flow.executables[node.executable].output(step.iterable.port)
    if not port.is_list and port.mime_type != "json":
        yield Problem(
            severity=Severity.NOTICE,
            message=f"'{step.path}' splits over output '{port.name}' of '{step.iterable.path}', "
            "which is not declared as a list",
            hint='it has to be a JSON list: Output(..., mime_type="json", content_type="listfile")',
            where=step.node.where,
        )


def too_large(flow: Flow, limit: Resources) -> Iterator[Problem]:
    """Yield an error for each amount that an executable of a flow asks for and there is not."""
    calls: dict[str, list[str]] = {}
    for path, node in tasks(flow).items():
        calls.setdefault(node.executable, []).append(path)
    for name, spec in flow.executables.items():
        for text, fix in _excess(spec.needs, limit):
            place = "in a workdir with more room" if "disk" in fix else "on a larger machine"
            if name in calls:
                yield _error(
                    f"task {_listed(calls[name])} asks for {text}",
                    f"set {fix} or less in the ComputingResources of '{spec.name}', "
                    f"or run it {place}",
                    spec.where,
                )


def _excess(needs: Resources, limit: Resources) -> Iterator[tuple[str, str]]:
    """Yield what of `needs` is more than there is, and the smallest fix."""
    if needs.cores > limit.cores:
        cores, plural = f"{limit.cores:g}", "" if needs.cores == 1 else "s"
        yield f"{needs.cores:g} core{plural}, there are {cores}", f"cores={cores}"
    if needs.ram_bytes > limit.ram_bytes:
        ram = _floor(limit.ram_bytes / GB)
        yield f"{needs.ram_bytes / GB:g} GB of RAM, there are {ram}", f"ram={ram}"
    if limit.disk_bytes and needs.disk_bytes > limit.disk_bytes:
        disk = _floor(limit.disk_bytes / GB)
        asked = f"{needs.disk_bytes / GB:g} GB of disk"
        yield f"{asked}, there are {disk} at the workdir", f"disk={disk}"
    if limit.walltime_s and needs.walltime_s > limit.walltime_s:
        hours = _floor(limit.walltime_s / 3600)
        yield f"{needs.walltime_s / 3600:g} hours, there are {hours}", f"walltime={hours}"


def _floor(value: float) -> str:
    """Return a number that is not larger, with at least two digits that mean something."""
    digits = max(2, 1 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{float(Decimal(repr(value)).quantize(Decimal(10) ** -digits, ROUND_FLOOR)):.12g}"


def _listed(paths: list[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(f"'{path}'" for path in paths[:3]) + more


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _error(message: str, hint: str, where: str = "") -> Problem:
    return Problem(severity=Severity.ERROR, message=message, hint=hint, where=where)
