"""Serves the queues of a registry: copies, removals, and what rules want, again and again.

Rule: nothing is remembered between two looks. Whoever is killed is followed by the next one; when
the registry's database does not answer, it is asked again later.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from euclid_dask.core.errors import RegistryUnreachableError
from euclid_dask.core.seams import Clock
from euclid_dask.core.values import Value
from euclid_dask.data.cleaner import Cleaned
from euclid_dask.data.mover import Drained
from euclid_dask.data.ruling import Ruled

RULES_S: Final = 300.0
"""How often all rules are applied to all files, in seconds."""
POLL_S: Final = 2.0
"""How often it is looked for work, in seconds."""
UNREACHABLE_S: Final = 10.0
"""After how long a database that did not answer is asked again, in seconds."""


class Turn(Value, frozen=True, kw_only=True):
    """What was done in one look at the queues."""

    ruled: tuple[Ruled, ...] = ()
    """What came of the rules, if they were applied."""
    drained: Drained = Drained()
    cleaned: Cleaned = Cleaned()
    error: str = ""
    """Why nothing was done: the registry's database does not answer."""


class Rules(Protocol):
    """Applies rules."""

    def apply_all(self) -> Sequence[Ruled]:
        """Apply all rules to all files."""


class Moves(Protocol):
    """Carries out transfers."""

    def drain(self) -> Drained:
        """Carry out what can be done now."""


class Cleans(Protocol):
    """Carries out removals."""

    def drain(self) -> Cleaned:
        """Carry out what can be done now."""


class Server:
    """Looks at the queues, and does what can be done."""

    def __init__(self, rules: Rules | None, mover: Moves, cleaner: Cleans, clock: Clock) -> None:
        """Take who does it; rules are not applied if None."""
        self._rules = rules
        self._mover = mover
        self._cleaner = cleaner
        self._clock = clock
        self._rule_at_s = clock.now_s()

    def look(self) -> Turn:
        """Do what can be done now; rules are applied at first and then every 5 minutes."""
        ruled: Sequence[Ruled] = ()
        if self._rules is not None and self._clock.now_s() >= self._rule_at_s:
            ruled = self._rules.apply_all()
            self._rule_at_s = self._clock.now_s() + RULES_S
        drained = self._mover.drain()
        return Turn(ruled=tuple(ruled), drained=drained, cleaned=self._cleaner.drain())

    def serve(self, tell: Callable[[Turn], None], pause: Callable[[float], object]) -> None:
        """Look again and again, until `pause` or a signal ends it; tell when something was done."""
        while True:
            wait_s = POLL_S
            try:
                turn = self.look()
            except RegistryUnreachableError as error:
                turn, wait_s = Turn(error=error.message), UNREACHABLE_S
            if turn != Turn():
                tell(turn)
            pause(wait_s)
