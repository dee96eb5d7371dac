"""Ready tasks of one shape, in the order of the policy and by how long they have waited."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from sortedcontainers import SortedList

from euclid_dask.core.ids import TaskId
from euclid_dask.core.resources import Resources

Key = tuple[float, ...]


class Shape(NamedTuple):
    """What tasks have in common that can take each other's place: an executable and its needs.

    They rather not run on hosts in `avoids`. Careful ones are expected to take all the walltime
    that they ask for: an attempt before ran longer than others like it.
    """

    executable: str
    needs: Resources
    avoids: tuple[str, ...] = ()
    careful: bool = False


class Turn(NamedTuple):
    """A ready task and its rank among all: overdue tasks, the oldest first, then by their keys."""

    rank: tuple[int, Key]
    task: TaskId


class ReadyQueue:
    """A queue in the order of keys; every operation costs at most the logarithm of its length."""

    __slots__ = ("_order", "_since")

    def __init__(self) -> None:
        self._order: SortedList = SortedList()
        self._since: OrderedDict[TaskId, tuple[float, Key]] = OrderedDict()

    def add(self, key: Key, task: TaskId, now_s: float) -> None:
        """Add a task that is ready since `now_s`, which is never before the latest added."""
        self._order.add((key, task))
        self._since[task] = (now_s, key)

    def remove(self, key: Key, task: TaskId) -> None:
        """Take a task out."""
        self._order.remove((key, task))
        del self._since[task]

    def __len__(self) -> int:
        return len(self._since)

    def __iter__(self) -> Iterator[tuple[Key, TaskId]]:
        return iter(self._order)

    def turns(self, overdue_s: float) -> Iterator[Turn]:
        """Yield the tasks as they come; those that are ready since before `overdue_s` first."""
        any_overdue = False
        for task, (since_s, key) in self._since.items():
            if since_s >= overdue_s:
                break
            any_overdue = True
            yield Turn((0, (since_s, *key)), task)
        for key, task in self._order:
            if not (any_overdue and self._since[task][0] < overdue_s):
                yield Turn((1, key), task)
