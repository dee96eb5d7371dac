"""How we set Dask, in schedulers and workers of our own.

Everything that works against long-running executables is off: work stealing, memory limits on
the worker's own process, profiling, blame for dead workers, nannies. So are the logs of what was
sent, on each connection, and of what changed: they would keep some kB of each task. Each server
looks once a second whether its event loop goes on; fifty times, as usual, take a hundredth of a
core, beside what runs.
"""

from typing import Any, Final

CONFIG: Final[dict[str, Any]] = {
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.allowed-failures": 1_000_000,
    "distributed.scheduler.worker-ttl": None,
    "distributed.scheduler.idle-timeout": None,
    "distributed.scheduler.no-workers-timeout": None,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.http.routes": ["distributed.http.scheduler.prometheus"],
    "distributed.worker.http.routes": [],
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,
    "distributed.diagnostics.computations.nframes": 0,
    "distributed.admin.low-level-log-length": 0,
    "distributed.admin.tick.interval": "1s",
}
