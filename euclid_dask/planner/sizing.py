"""How much to ask for: first allocations from what tasks used so far.

A task that gets less than it needs is killed and tried again with the largest amount seen; one
that gets more wastes the rest. The formulas weigh the one against the other.

Source: B. Tovar et al., "A Job Sizing Strategy for High-Throughput Scientific Workflows", IEEE
TPDS 29(2), 2018; their program is `category.c` of cctools.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from math import ceil, exp
from operator import attrgetter
from typing import NamedTuple

from euclid_dask.planner.estimates import Duration


class Goal(StrEnum):
    """What a first allocation is to be good for."""

    WASTE = "waste"
    """As little as possible is held and not used, second attempts included."""
    THROUGHPUT = "throughput"
    """As many tasks as possible end in a time on the same resources."""
    SAFE = "safe"
    """Nothing seen so far would have been killed."""


class Use(NamedTuple):
    """What one task used: the peak of a resource, and for how many seconds it was held."""

    peak: float
    wall_s: float


class _Candidate(NamedTuple):
    """An allocation: the share of tasks that exceed it, and their seconds by number of tasks."""

    amount: float
    exceeding: float
    again_s: float


def first_allocation(uses: Sequence[Use], goal: Goal) -> float:
    """Return the peak among `uses` that is the best amount to give to a task at first.

    With the mean time t, the largest peak m, and S(a) the seconds of the tasks that exceed a, by
    the number of all tasks, it is the a that makes least  a t + m S(a)  for waste, and that makes
    most  (m/a P(peak <= a) + P(peak > a)) / (t + S(a))  for throughput; of equals, the largest.

    >>> uses = [Use(1.0, 10.0)] * 9 + [Use(10.0, 10.0)]
    >>> [first_allocation(uses, goal) for goal in (Goal.WASTE, Goal.SAFE)]
    [1.0, 10.0]
    """
    most = max(use.peak for use in uses)
    if goal is Goal.SAFE or most <= 0:
        return most
    mean_s = sum(use.wall_s for use in uses) / len(uses)

    def worth(one: _Candidate) -> tuple[float, float]:
        if goal is Goal.WASTE:
            return -(one.amount * mean_s + most * one.again_s), one.amount
        tasks = most / one.amount * (1 - one.exceeding) + one.exceeding
        return tasks / (mean_s + one.again_s or 1.0), one.amount

    return max(_candidates(uses), key=worth).amount


def _candidates(uses: Sequence[Use]) -> Iterator[_Candidate]:
    """Yield each peak as an allocation, the largest first."""
    above, above_s = 0, 0.0
    for peak, same in groupby(sorted(uses, reverse=True), key=attrgetter("peak")):
        held = [use.wall_s for use in same]
        if peak > 0:
            yield _Candidate(peak, above / len(uses), above_s / len(uses))
        above, above_s = above + len(held), above_s + sum(held)


def risk(peaks: Sequence[float], amount: float) -> float:
    """Return how likely the next task exceeds `amount`, if it is like those before.

    The next is as likely to be anywhere among the ordered peaks as anywhere else, so with k of n
    above, it is (k + 1) / (n + 1) at most.
    """
    return (sum(peak > amount for peak in peaks) + 1) / (len(peaks) + 1)


def cores_for(shares: Sequence[float]) -> int:
    """Return the cores for tasks that kept so many busy on average: nine of ten have enough.

    A tenth of a core too much is put up with: it is the program's own start and end.

    >>> cores_for([0.9, 0.98, 1.04]), cores_for([1.2, 2.6, 2.7])
    (1, 3)
    """
    ordered = sorted(shares)
    return max(1, ceil(ordered[ceil(0.9 * len(ordered)) - 1] - 0.1))


def walltime_for(seconds: Sequence[float]) -> float:
    """Return a walltime that tasks like these stay below.

    It is twice the longest, or the time that one of a thousand exceeds by a lognormal
    distribution, if that is more; but never more than ten times the longest.

    >>> walltime_for([10.0] * 30)
    20.0
    """
    known = Duration()
    for one in seconds:
        known.add(one)
    longest = max(seconds)
    sigma = (known.squares_log / (known.count - 1)) ** 0.5 if known.count > 1 else 0.0
    return min(10 * longest, max(2 * longest, exp(known.mean_log + 3.09 * sigma)))
