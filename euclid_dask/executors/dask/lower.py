"""Lower the static part of a run to one Dask graph with its edges.

This is for users who want to run a pipeline on a Dask cluster of their own with their own tools,
and the baseline `dask-native` of the benchmarks. Dask then decides when and where tasks run, so
what the engine promises (late binding, retries, resuming, the limits of a pilot) does not hold;
command lines, output checks and receipts are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from euclid_dask.core.attempts import Place
from euclid_dask.core.errors import PipelineError
from euclid_dask.core.ids import PilotId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import AttemptEnded, BundleOrder, News
from euclid_dask.planner.lowering import StaticPart, Step
from euclid_dask.worker.bundle import run_bundle
from euclid_dask.worker.lists import write_list


@dataclass(frozen=True, slots=True)
class Lowered:
    """A lowered run.

    `outputs` has a `dask.delayed.Delayed` for each output of the pipeline; it gives the absolute
    path. `all` runs everything and gives the number of attempts. `left_out` are the tasks and
    splits that cannot be known before the run.
    """

    outputs: dict[str, Delayed]
    all: Delayed
    left_out: tuple[str, ...]


def lower(part: StaticPart, place: Place, *, annotate_resources: bool = False) -> Lowered:
    """Return the Dask graph of the static part of a run.

    Keys are pairs of executable and task, so that Dask's pages read as the pipeline does. With
    `annotate_resources` each Dask task asks for resources `cores` and `ram_bytes`, for workers
    that were started with them; on others it would never run.
    """
    made_by: dict[str, tuple[str, str]] = {}
    graph: dict[Any, Any] = {}
    needs: dict[Any, Resources] = {}
    for step in part.steps:
        key = (step.executable, f"{place.run}/{step.id}")
        waited = [made_by[name] for name in step.waits_for]
        graph[key] = (carry, step, place, waited)
        needs[key] = step.needs
        made_by |= dict.fromkeys([step.id, *(order.task for order in step.orders)], key)
    end = ("end", place.run)
    graph[end] = (_total, list(needs))
    outputs: dict[str, Any] = {}
    for name, (maker, path) in part.results.items():
        outputs[name] = ("output", f"{place.run}/{name}")
        waited = [made_by[maker]] if maker else []
        graph[outputs[name]] = (_path, str(Path(place.workdir) / path), waited)
    layer = f"pipeline-{place.run}"
    annotations = {"resources": _Asked(needs)} if annotate_resources else None
    layers = HighLevelGraph({layer: MaterializedLayer(graph, annotations)}, {layer: set()})
    return Lowered(
        outputs={port: _delayed(key, layers, layer) for port, key in outputs.items()},
        all=_delayed(end, layers, layer),
        left_out=part.left_out,
    )


def _delayed(key: Any, layers: HighLevelGraph, layer: str) -> Delayed:
    return Delayed(key, layers, layer=layer)  # type: ignore[no-untyped-call]


class _Asked:
    """Answers Dask, for each key, what its task needs."""

    def __init__(self, needs: dict[Any, Resources]) -> None:
        self._needs = needs

    def __call__(self, key: Any) -> dict[str, float]:
        needs = self._needs.get(key)
        return {} if needs is None else {"cores": needs.cores, "ram_bytes": needs.ram_bytes}


def carry(step: Step, place: Place, _waited: Sequence[object]) -> int:
    """Do what a step asks for; return the number of its attempts.

    Raises:
        PipelineError: An attempt failed; the message is its sentence.
    """
    if step.list_path:
        write_list(Path(place.workdir) / step.list_path, step.entries)
        return 0
    news: list[News] = []
    pilot = PilotId("lowered")
    run_bundle(BundleOrder(pilot=pilot, place=place, orders=step.orders), news.append)
    receipts = [item.receipt for item in news if isinstance(item, AttemptEnded)]
    failure = next((receipt.failure for receipt in receipts if receipt.failure is not None), None)
    if failure is not None:
        raise PipelineError(failure.message)
    return len(receipts)


def _total(counts: Sequence[int]) -> int:
    return sum(counts)


def _path(path: str, _made: Sequence[object]) -> str:
    return path
