"""A world in virtual time, for the same runner and planner that drive real executors.

`world` is where attempts run: it outlives the runner, as pilots do. `executor` joins a runner to
it, `supply` brings pilots into it as a batch system does. `workload` says how long attempts take,
what they make and how they fail. `run` puts a run and a world together; `metrics` says how good a
plan was.
"""

from euclid_dask.sim.executor import SimulatedExecutor, VirtualInbox
from euclid_dask.sim.metrics import Metrics, measure
from euclid_dask.sim.run import begin, make_runner, resume, simulate
from euclid_dask.sim.supply import Queue, SimulatedSupply, make_desk
from euclid_dask.sim.workload import Behaviour, Outcome, Workload
from euclid_dask.sim.world import World, WorldError

__all__ = [
    "Behaviour",
    "Metrics",
    "Outcome",
    "Queue",
    "SimulatedExecutor",
    "SimulatedSupply",
    "VirtualInbox",
    "Workload",
    "World",
    "WorldError",
    "begin",
    "make_desk",
    "make_runner",
    "measure",
    "resume",
    "simulate",
]
