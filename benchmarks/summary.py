"""From recorded runs to what a table says: medians, spreads and ratios within one repeat."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of repeats, and the least and the greatest."""

    median: float
    low: float
    high: float

    def show(self, digits: int = 2, unit: str = "") -> str:
        """Write `2.10 (2.01-2.34)`."""
        middle = f"{unit}{self.median:.{digits}f}"
        return f"{middle} ({self.low:.{digits}f}–{self.high:.{digits}f})"  # noqa: RUF001


def spread(values: Sequence[float]) -> Spread | None:
    """Summarise repeats; None when there is none."""
    if not values:
        return None
    return Spread(median=median(values), low=min(values), high=max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One engine on one workload, timed repeats only."""

    engine: str
    workload: str
    timed: Mapping[int, Mapping[str, float]]
    peak_mb: float | None
    wrong: tuple[str, ...]

    def figure(self, name: str) -> Spread | None:
        """Summarise one of the figures."""
        return spread([figures[name] for figures in self.timed.values()])

    def paired(
        self, other: "Cell", combine: Callable[[float, float], float], name: str = "whole_s"
    ) -> Spread | None:
        """Compare with another engine repeat by repeat, so that a slow minute hits both."""
        both = sorted(set(self.timed) & set(other.timed))
        return spread([combine(self.timed[r][name], other.timed[r][name]) for r in both])

    def times(self, other: "Cell", name: str = "whole_s") -> Spread | None:
        """A time, the whole one by default, as a multiple of another engine's."""
        return self.paired(other, lambda mine, theirs: mine / theirs, name)


def cell(document: Document, engine: str, workload: str) -> Cell:
    """Collect the runs of an engine on a workload."""
    runs = [
        run for run in document["runs"] if run["engine"] == engine and run["workload"] == workload
    ]
    valid = {run["repeat"]: run["figures"] for run in runs if not run["wrong"]}
    return Cell(
        engine=engine,
        workload=workload,
        timed={repeat: figures for repeat, figures in valid.items() if repeat > 0},
        peak_mb=valid[0]["peak_mb"] if 0 in valid else None,
        wrong=tuple(line for run in runs for line in run["wrong"]),
    )


def ordered(document: Document, name: str = "whole_s", workload: str = "") -> list[str]:
    """Engines from the nearest to the floor to the farthest, on a workload or their first one."""
    workloads = [workload] if workload else list(document["workloads"])
    places: dict[str, float] = {}
    for engine in document["engines"]:
        ratios = [ratio(document, engine, one, name) for one in workloads]
        known = [r.median for r in ratios if r is not None]
        places[engine] = known[0] if known else float("inf")
    return sorted(places, key=places.__getitem__)


def ratio(document: Document, engine: str, workload: str, name: str = "whole_s") -> Spread | None:
    """A time as a multiple of the floor's."""
    base = cell(document, document["floor"], workload)
    return cell(document, engine, workload).times(base, name)


def over_bound(document: Document, engine: str, workload: str, name: str) -> Spread | None:
    """A time as a multiple of the workload's lower bound; None when it has none."""
    bound_s = document["workloads"][workload]["lower_bound_s"]
    found = cell(document, engine, workload).figure(name)
    if not bound_s or found is None:
        return None
    return Spread(median=found.median / bound_s, low=found.low / bound_s, high=found.high / bound_s)
