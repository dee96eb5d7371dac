"""What executables should ask for, from what their attempts used."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

from euclid_dask.core.attempts import FailureKind
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.values import replace
from euclid_dask.planner.sizing import (
    Goal,
    Use,
    cores_for,
    first_allocation,
    risk,
    walltime_for,
)
from euclid_dask.runner.profiles import DONE, Definition, Usage

LEAST: Final = 25
"""With fewer tasks nothing is advised to ask for less; as many as cctools waits for."""
ROOM: Final = 1.1
"""How much more RAM than was used is asked for."""
LARGER: Final = 1.3
"""What a task that was killed for its RAM may have needed, of what it had by then."""
WORTH: Final = 0.9
"""To ask for more than this share of before is not worth a change."""
LEAST_RAM: Final = GB // 10
LEAST_WALLTIME_S: Final = 36.0
_LEAST_WALL_S: Final = 0.05
_LEAST_FOR_FIT: Final = 10
_LEAST_R2: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What one executable asked for, used, and should ask for.

    `count` is the number of tasks that succeeded, `killed` that of attempts that were killed for
    RAM or walltime. `cores_used` is what nine of ten tasks kept busy at most. `risk` is how likely
    a task is killed for its RAM, as advised; None if no peak is known. What is saved is of what
    the `count` tasks held, second attempts taken into account. `note` is a sentence, "" for none.
    """

    executable: str
    name: str
    defined_at: str
    count: int
    killed: int
    asked: Resources
    advised: Resources
    cores_used: float
    peak_ram_bytes: int
    longest_s: float
    risk: float | None
    core_hours: float
    saved_core_hours: float
    gb_hours: float
    saved_gb_hours: float
    note: str = ""

    @property
    def is_change(self) -> bool:
        """Tell whether it should ask for something else."""
        return self.asked != self.advised


def advise(
    definition: Definition, usages: Sequence[Usage], goal: Goal = Goal.WASTE, least: int = LEAST
) -> Advice | None:
    """Return what an executable should ask for; None if no task of it succeeded or was killed."""
    asked = definition.asked
    last = _outcomes(usages)
    done = [use for use in last if use.verdict == DONE]
    rams = [Use(float(use.peak_ram_bytes), use.wall_s) for use in done if use.peak_ram_bytes]
    hungry = [use for use in last if use.verdict == FailureKind.MEMORY]
    rams += [Use(LARGER * _had(use, asked.ram_bytes), use.wall_s) for use in hungry]
    late = [use.wall_s for use in last if use.verdict == FailureKind.WALLTIME]
    if not done and not hungry and not late:
        return None
    shares = [use.cpu_s / use.wall_s for use in done if use.wall_s >= _LEAST_WALL_S]
    advised = replace(
        asked,
        cores=_cores(asked.cores, shares, least),
        ram_bytes=_ram(asked.ram_bytes, rams, goal, least),
        walltime_s=_walltime(asked.walltime_s, [use.wall_s for use in done] + late, late, least),
    )
    held = _held(asked, done, asked.ram_bytes)
    most = _rounded_up(ROOM * max((use.peak for use in rams), default=0.0), GB)
    then = _held(advised, done, max(most, advised.ram_bytes))
    return Advice(
        executable=definition.executable,
        name=definition.name,
        defined_at=definition.defined_at,
        count=len(done),
        killed=sum(u.verdict in {FailureKind.MEMORY, FailureKind.WALLTIME} for u in usages),
        asked=asked,
        advised=advised,
        cores_used=sorted(shares)[ceil(0.9 * len(shares)) - 1] if shares else 0.0,
        peak_ram_bytes=max((use.peak_ram_bytes for use in done), default=0),
        longest_s=max(use.wall_s for use in last),
        risk=risk([use.peak for use in rams], advised.ram_bytes) if rams else None,
        core_hours=held[0],
        saved_core_hours=held[0] - then[0],
        gb_hours=held[1],
        saved_gb_hours=held[1] - then[1],
        note=_note(done, least),
    )


def _outcomes(usages: Iterable[Usage]) -> list[Usage]:
    """Return the latest attempt of each task; the latest come first."""
    found: dict[tuple[str, str], Usage] = {}
    for use in usages:
        found.setdefault((use.run, use.task), use)
    return list(found.values())


def _had(use: Usage, asked: int) -> int:
    """Return the RAM that was not enough: what was seen last may be long before the kill."""
    return max(use.peak_ram_bytes, use.given_ram_bytes or asked)


def _cores(asked: float, shares: Sequence[float], least: int) -> float:
    if not shares:
        return asked
    cores = float(cores_for(shares))
    if cores > asked >= 1 or (cores < asked and len(shares) >= least):
        return cores
    busy = sorted(shares)[ceil(0.9 * len(shares)) - 1]
    return cores if asked < 1 and busy > asked + 0.1 else asked


def _ram(asked: int, uses: Sequence[Use], goal: Goal, least: int) -> int:
    if not uses:
        return asked
    amount = first_allocation(uses, goal)
    wanted = max(LEAST_RAM, round(_rounded_up(ROOM * amount, GB)))
    if amount > asked:
        return wanted
    return wanted if len(uses) >= least and wanted <= WORTH * asked else asked


def _walltime(asked: float, seconds: Sequence[float], late: Sequence[float], least: int) -> float:
    """Return a walltime; much more than is used costs little, so it is lowered when far too long.

    Args:
        asked: The walltime now.
        seconds: How long tasks took.
        late: How long those took that were killed for it, which are among `seconds`.
        least: With fewer tasks it is not lowered.
    """
    if not seconds:
        return asked
    wanted = max(LEAST_WALLTIME_S, _rounded_up(walltime_for(seconds), 3600.0))
    if late or max(seconds) > WORTH * asked:
        return max(asked, wanted)
    return wanted if len(seconds) >= least and wanted <= 0.5 * asked else asked


def _rounded_up(number: float, unit: float) -> float:
    """Return a number with two digits of that unit that is not smaller.

    >>> _rounded_up(1_234_000_000, 1e9), _rounded_up(0.0, 1e9)
    (1300000000.0, 0.0)
    """
    if number <= 0:
        return 0.0
    digits = 1 - floor(log10(number / unit))
    return round(ceil(round(number / unit * 10.0**digits, 6)) / 10.0**digits, digits) * unit


def _held(needs: Resources, done: Sequence[Usage], second_bytes: float) -> tuple[float, float]:
    """Return the core-hours and GB-hours that tasks hold which ask for `needs`.

    Those that exceed their RAM hold `second_bytes` in a second attempt.
    """
    first_s = sum(use.wall_s for use in done)
    again_s = sum(use.wall_s for use in done if use.peak_ram_bytes > needs.ram_bytes)
    core_s = needs.cores * (first_s + again_s)
    byte_s = needs.ram_bytes * first_s + second_bytes * again_s
    return core_s / 3600, byte_s / 3600 / GB


def _note(done: Sequence[Usage], least: int) -> str:
    if len(done) < least:
        return f"{len(done)} of the {least} tasks that are needed to ask for less"
    pairs = [(u.input_bytes, u.peak_ram_bytes) for u in done if u.peak_ram_bytes and u.input_bytes]
    if len(pairs) < _LEAST_FOR_FIT:
        return ""
    sizes, peaks = zip(*pairs, strict=True)
    if len(set(sizes)) < 2 or len(set(peaks)) < 2:
        return ""
    r2 = statistics.correlation(sizes, peaks) ** 2
    slope, start = statistics.linear_regression(sizes, peaks)
    if r2 <= _LEAST_R2 or slope <= 0:
        return ""
    return f"its RAM grows with its input: {start / GB:.2g} GB + {slope:.2g} x input (R2 {r2:.2f})"
