"""A run drawn as the graph of its pipeline: a task once, coloured by the states of its copies."""

from collections import Counter

from euclid_dask.dataflow.draw import to_mermaid, to_svg
from euclid_dask.dataflow.select import template
from euclid_dask.planner.run import Run

__all__ = ["states_of", "svg_of", "to_mermaid", "to_svg"]


def svg_of(run: Run) -> str:
    """Return the drawing of a run."""
    states, branches = states_of(run)
    return to_svg(run.flow, states=states, branches=branches)


def states_of(run: Run) -> tuple[dict[str, Counter[str]], dict[str, int]]:
    """Return how many copies of a task are in which state, and how many branches splits have.

    Keys are template paths. A split that is not read yet, or has copies of different sizes, has
    no number.
    """
    states: dict[str, Counter[str]] = {}
    for task in run.tasks.values():
        states.setdefault(template(task.id), Counter())[str(task.state)] += 1
    sizes: dict[str, set[int]] = {}
    for split in run.splits.values():
        if split.expanded:
            sizes.setdefault(template(split.id), set()).add(len(split.branches))
    return states, {path: found.pop() for path, found in sizes.items() if len(found) == 1}
