"""Policies: in which order ready tasks get a place.

A policy is prepared once a run and then answers, for each task that becomes ready, with a key;
smaller keys go first. Keys may use the flow and the task, nothing else.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.flow import Flow
from euclid_dask.dataflow.graph import ranks
from euclid_dask.planner.nodes import Task

Rank = Callable[[Task, int], tuple[float, ...]]
"""Of a task and the count of tasks that were ready before it: its key."""

Policy = Callable[[Flow], Rank]


def fifo(_flow: Flow) -> Rank:
    """First ready, first served."""
    return lambda _task, count: (count,)


def critical_path(flow: Flow) -> Rank:
    """Longest declared walltime from here to the end of the pipeline first."""
    remaining_s = ranks(flow)
    return lambda task, count: (-remaining_s[task.scope.template + task.node.name], count)


POLICIES: Final[Mapping[str, Policy]] = MappingProxyType(
    {"fifo": fifo, "critical-path": critical_path}
)


def policy_named(name: str) -> Policy:
    """Return the policy of that name.

    Raises:
        InputError: There is none.
    """
    try:
        return POLICIES[name]
    except KeyError:
        known = ", ".join(sorted(POLICIES))
        raise InputError(f"there is no policy {name!r}", hint=f"policies: {known}") from None
