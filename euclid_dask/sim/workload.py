"""What attempts do in a simulation: how long they take, what they make, how they fail.

A behaviour is any function from an order to an outcome. It must not depend on the order of
calls, so that a simulation can be repeated; `Workload` draws by seed, task and attempt.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random

from euclid_dask.core.attempts import Failure, FailureKind, Order
from euclid_dask.core.ids import RunId
from euclid_dask.core.values import Value


class Outcome(Value, frozen=True, kw_only=True):
    """What an attempt does. `lists` maps list outputs to their entries.

    `failure` is None when it succeeds. One of kind LOST dies without a receipt.
    """

    duration_s: float = 1.0
    failure: Failure | None = None
    lists: dict[str, tuple[object, ...]] = {}


Behaviour = Callable[[RunId, Order], Outcome]

Duration = float | Callable[[Random], float]
"""Seconds, or a function that draws them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Durations, lists and failures by the name of an executable; the rest takes `usual_s`.

    `lists` maps `executable.port` to the number of entries that it writes. `failing` and `losing`
    map an executable to the share of its attempts that fail or are lost.
    """

    durations: Mapping[str, Duration] = field(default_factory=dict)
    lists: Mapping[str, int] = field(default_factory=dict)
    failing: Mapping[str, float] = field(default_factory=dict)
    losing: Mapping[str, float] = field(default_factory=dict)
    usual_s: float = 1.0
    seed: int = 0

    def __call__(self, run: RunId, order: Order) -> Outcome:
        """Return what this attempt does: always the same."""
        draw = random_of(self.seed, order.task, order.attempt)
        duration = self.durations.get(order.executable, self.usual_s)
        return Outcome(
            duration_s=duration if isinstance(duration, int | float) else duration(draw),
            failure=self._failure(order, draw),
            lists={
                port.port: entries_of(self.lists.get(f"{order.executable}.{port.port}", 1))
                for port in order.outputs
                if port.is_list or f"{order.executable}.{port.port}" in self.lists
            },
        )

    def _failure(self, order: Order, draw: Random) -> Failure | None:
        if draw.random() < self.losing.get(order.executable, 0.0):
            return Failure(kind=FailureKind.LOST, message="the attempt died")
        if draw.random() < self.failing.get(order.executable, 0.0):
            return Failure(kind=FailureKind.EXIT, message="it ended with exit code 1", exit_code=1)
        return None


def entries_of(count: int) -> tuple[str, ...]:
    """Return the entries of a list of so many."""
    return tuple(f"data/{number}.xml" for number in range(1, count + 1))


def random_of(seed: int, *names: object) -> Random:
    """Return a source of chance that depends on `seed` and `names` alone."""
    text = "\x1f".join(map(str, (seed, *names)))
    return Random(blake2b(text.encode(), digest_size=8).digest())  # noqa: S311  no secrets here
