"""What the tasks of each executable used, against what they asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from euclid_dask.core.attempts import Profile
from euclid_dask.core.resources import Resources
from euclid_dask.planner.nodes import Task
from euclid_dask.planner.run import Run

GENEROUS = 2.0
"""Asking for more than this many times what was ever used is worth a remark."""
_LITTLE_RAM = 300_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tasks of one executable that ran. Quantiles are (median, 90 %, largest).

    Those of RAM are of the tasks whose peak is known, 0 if none is.
    """

    executable: str
    count: int
    failed: int
    wall_s: tuple[float, float, float]
    cpu_s: tuple[float, float, float]
    ram_bytes: tuple[float, float, float]
    total_wall_s: float
    total_cpu_s: float
    read_bytes: int
    written_bytes: int
    asked: Resources

    @property
    def cores(self) -> float:
        """Cores in use on average."""
        return self.total_cpu_s / self.total_wall_s if self.total_wall_s else 0.0

    @property
    def ram_share(self) -> float:
        """Largest RAM used, as a share of what was asked for."""
        return self.ram_bytes[2] / self.asked.ram_bytes if self.asked.ram_bytes else 0.0

    @property
    def wall_share(self) -> float:
        """Longest time, as a share of the walltime asked for."""
        return self.wall_s[2] / self.asked.walltime_s if self.asked.walltime_s else 0.0

    @property
    def remark(self) -> str:
        """What its author may want to change; "" for nothing."""
        little = self.asked.ram_bytes <= _LITTLE_RAM
        if self.ram_share and self.ram_share < 1 / GENEROUS and not little:
            return f"asks for {1 / self.ram_share:.1f} times the RAM it ever used"
        if self.ram_share > 0.9:
            return "uses nearly all RAM it asks for"
        if self.wall_share > 0.9:
            return "uses nearly all walltime it asks for"
        return ""


def usage_of(run: Run) -> list[Usage]:
    """Return the use of each executable of which a task ran, the most core seconds first."""
    ran: dict[str, list[tuple[Task, Profile]]] = {}
    for task in run.tasks.values():
        if task.profile is not None:
            ran.setdefault(task.node.executable, []).append((task, task.profile))
    found = [_usage(key, tasks, run) for key, tasks in ran.items()]
    return sorted(found, key=lambda usage: -usage.total_wall_s)


def _usage(key: str, ran: Sequence[tuple[Task, Profile]], run: Run) -> Usage:
    profiles = [profile for _, profile in ran]
    return Usage(
        executable=key,
        count=len(ran),
        failed=sum(not task.is_finished for task, _ in ran),
        wall_s=quantiles(p.wall_s for p in profiles),
        cpu_s=quantiles(p.cpu_s for p in profiles),
        ram_bytes=quantiles(
            [float(p.peak_ram_bytes) for p in profiles if p.peak_ram_bytes] or [0.0]
        ),
        total_wall_s=sum(p.wall_s for p in profiles),
        total_cpu_s=sum(p.cpu_s for p in profiles),
        read_bytes=sum(p.read_bytes for p in profiles),
        written_bytes=sum(p.written_bytes for p in profiles),
        asked=run.flow.executables[key].needs,
    )


def quantiles(values: Iterable[float]) -> tuple[float, float, float]:
    """Return median, 90 % quantile and largest of some values.

    >>> quantiles([1.0, 2.0, 3.0, 4.0, 100.0])
    (3.0, 100.0, 100.0)
    """
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[round(last * 0.5)], ordered[round(last * 0.9)], ordered[last]
