"""Choose a part of a pipeline: until some tasks, from some tasks on, without some.

Tasks are named by template path, by the path of one branch, by the path of a block, or by a bare
name of a task, block or executable, which means all that have it.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.flow import Flow
from euclid_dask.dataflow.graph import Graph
from euclid_dask.dataflow.names import did_you_mean
from euclid_dask.dataflow.steps import branch_prefix, tasks, unfold

BRANCH: Final = ".iterations.*"
"""What stands for all branches of a split in a template path."""


def inputs_of(flow: Flow, chosen: Collection[str]) -> frozenset[str]:
    """Return the inputs of the pipeline that tasks use, or that are among its outputs.

    `chosen` are the template paths of the tasks; a list is used by all tasks of its branches.
    """
    whole = unfold(flow)
    used = [one for one in whole.results.values() if not one.path]
    for step in whole.steps:
        inside = branch_prefix(step.path)
        if step.path in chosen or any(path.startswith(inside) for path in chosen):
            used += [one for one in (step.iterable, *step.suppliers.values()) if one is not None]
    return frozenset(one.port for one in used if not one.path)


def select(
    flow: Flow,
    *,
    until: Iterable[str] = (),
    start: Iterable[str] = (),
    skip: Iterable[str] = (),
) -> frozenset[str]:
    """Return the template paths of the tasks to run.

    Args:
        flow: The whole pipeline.
        until: Run these and what they need; all if empty.
        start: Run these and what needs them (`--from`); all if empty.
        skip: Do not run these; their outputs have to be given.

    Raises:
        InputError: If a name is unknown, or nothing is left of all or of `until`.
    """
    chosen = set(tasks(flow))
    last, first, without = (named(flow, names) for names in (until, start, skip))
    if last and last <= without:
        raise InputError(
            "nothing is left to run: --skip leaves out all that --until names",
            hint="name in --until what is to be made last",
        )
    if last:
        chosen &= last | Graph.of(flow).ancestors(last)
    if first:
        chosen &= first | Graph.of(flow).descendants(first)
    chosen -= without
    if not chosen:
        raise InputError(
            "no task is left to run",
            hint="tasks are left that are before --until, after --from and not in --skip",
        )
    return frozenset(chosen)


def named(flow: Flow, names: Iterable[str]) -> set[str]:
    """Return the template paths of the tasks that `names` mean."""
    found: set[str] = set()
    nodes = tasks(flow)
    for name in names:
        matching = {path for path, node in nodes.items() if _means(name, path, node.executable)}
        if not matching:
            known = {part for path in nodes for part in _parts(path)} | nodes.keys()
            raise InputError(
                f"no task or block is called '{name}'", hint=did_you_mean(name, known, "there are")
            )
        found |= matching
    return found


def template(path: str) -> str:
    """Return the template path of a task's path: branch numbers become `*`."""
    return re.sub(r"\.iterations\.\d+(?=\.|$)", BRANCH, path)


def _means(name: str, path: str, executable: str) -> bool:
    wanted = template(name)
    return f"{path}.".startswith(f"{wanted}.") or name in _parts(path) or name == executable


def _parts(path: str) -> list[str]:
    return [part for part in path.split(".") if part not in {"iterations", "*"}]
