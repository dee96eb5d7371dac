"""Virtual time: a clock that jumps, and the agenda of what is to happen."""

import heapq
from collections.abc import Callable
from itertools import count
from math import inf

Action = Callable[[], None]

BEGIN_S = 1_767_225_600.0
"""When a world begins, unless it is said: 2026-01-01, seconds since the epoch."""


class Agenda:
    """A clock, and actions in the order of their times; those of one time in order of addition."""

    def __init__(self, begin_s: float = BEGIN_S) -> None:
        self._now_s = begin_s
        self._actions: list[tuple[float, int, Action]] = []
        self._numbers = count()

    def now_s(self) -> float:
        """Return the virtual time, in seconds since the epoch."""
        return self._now_s

    def at(self, time_s: float, action: Action) -> None:
        """Have `action` happen at `time_s`, or now if that is over."""
        heapq.heappush(self._actions, (max(time_s, self._now_s), next(self._numbers), action))

    def advance(self, limit_s: float = inf) -> bool:
        """Go to the next time on the agenda and do all that is to happen then.

        Returns False if there is nothing, or nothing within `limit_s`: these have passed then.
        """
        if not self._actions or self._actions[0][0] > self._now_s + limit_s:
            self._now_s += limit_s if limit_s < inf else 0.0
            return False
        self._now_s = self._actions[0][0]
        while self._actions and self._actions[0][0] <= self._now_s:
            _, _, action = heapq.heappop(self._actions)
            action()
        return True
