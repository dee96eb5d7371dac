"""How good a plan was: read off the log of a world."""

from euclid_dask.core.values import Value
from euclid_dask.sim.world import World


class Metrics(Value, frozen=True, kw_only=True):
    """What a world saw. `makespan_s` is from the first start to the last end, in virtual seconds.

    `core_s` are core seconds of all attempts, `wasted_core_s` those of attempts that left no
    receipt or one with a failure.
    """

    starts: int
    makespan_s: float
    core_s: float
    wasted_core_s: float


def measure(world: World) -> Metrics:
    """Return the metrics of what has happened in `world` so far."""
    core_s = wasted_s = 0.0
    for one in world.log:
        key = (one.run, one.task, one.attempt)
        used_s = (world.ended_s.get(key, world.agenda.now_s()) - one.at_s) * one.cores
        core_s += used_s
        receipt = world.receipts.get(key)
        if receipt is None or receipt.failure is not None:
            wasted_s += used_s
    last_s = max(world.ended_s.values(), default=0.0)
    return Metrics(
        starts=len(world.log),
        makespan_s=last_s - world.log[0].at_s if world.log else 0.0,
        core_s=core_s,
        wasted_core_s=wasted_s,
    )
