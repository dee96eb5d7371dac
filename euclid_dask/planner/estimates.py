"""How long tasks take: what the successes of an executable so far say about the next one.

Each executable has a lognormal distribution, kept in four numbers. Its middle is drawn towards the
declared walltime while there are few samples.
"""

from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Final

ENOUGH: Final = 5
"""With fewer samples the declared walltime is the 90 % quantile; the weight of the declaration."""
_Z90: Final = 1.2816
_Z95: Final = 1.6449
_LEAST_S: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds that half, and nine tenths, of the tasks stay below, from `count` samples."""

    q50_s: float
    q90_s: float
    count: int


@dataclass(slots=True)
class Duration:
    """Wall seconds of the attempts of one executable so far.

    `mean_log` and `squares_log` are the mean of their logarithms and the sum of its squared
    deviations.
    """

    count: int = 0
    mean_s: float = 0.0
    mean_log: float = 0.0
    squares_log: float = 0.0

    def add(self, wall_s: float) -> None:
        """Take one more attempt into account."""
        self.count += 1
        self.mean_s += (wall_s - self.mean_s) / self.count
        logarithm = log(max(wall_s, _LEAST_S))
        before = logarithm - self.mean_log
        self.mean_log += before / self.count
        self.squares_log += before * (logarithm - self.mean_log)

    def merge(self, other: "Duration") -> None:
        """Take the attempts of `other` into account."""
        count = self.count + other.count
        if not self.count:  # exactly: a replayed run is to be as the one that was
            self.count, self.mean_s = other.count, other.mean_s
            self.mean_log, self.squares_log = other.mean_log, other.squares_log
            return
        apart = other.mean_log - self.mean_log
        self.squares_log += other.squares_log + apart * apart * self.count * other.count / count
        self.mean_s += (other.mean_s - self.mean_s) * other.count / count
        self.mean_log += apart * other.count / count
        self.count = count

    @property
    def q95_s(self) -> float:
        """Seconds that 19 of 20 attempts stay below; 0 with too few samples."""
        if self.count < ENOUGH:
            return 0.0
        return exp(self.mean_log + _Z95 * sqrt(self.squares_log / (self.count - 1)))


NO_SAMPLES: Final = Duration()


def estimate(duration: Duration, declared_s: float) -> Estimate | None:
    """Return what is expected of an attempt; None if nothing is known.

    A `declared_s` of 0 means that nothing was declared. Otherwise it is never exceeded, so that
    what fits a pilot by its declaration goes on fitting it.
    """
    count = duration.count
    if count < ENOUGH:
        return Estimate(declared_s, declared_s, count) if declared_s else None
    sigma = sqrt(duration.squares_log / (count - 1))
    middle = duration.mean_log
    if declared_s:
        weight = ENOUGH / (ENOUGH + count)
        middle += weight * (log(declared_s) - middle)
    q50_s, q90_s = exp(middle), exp(middle + _Z90 * sigma)
    if declared_s:
        q50_s, q90_s = min(q50_s, declared_s), min(q90_s, declared_s)
    return Estimate(q50_s, q90_s, count)
