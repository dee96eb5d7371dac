"""Lowering the static part of a pipeline to one Dask graph."""

from pathlib import Path
from typing import TYPE_CHECKING

from euclid_dask.api.preparing import prepare
from euclid_dask.api.settings import Script, Settings
from euclid_dask.planner.lowering import static_part
from euclid_dask.runner.start import make_folders, plan_run
from euclid_dask.worker.clock import SystemClock

if TYPE_CHECKING:
    from euclid_dask.executors.dask.lower import Lowered


def to_dask(
    script: Script,
    *,
    pkgrepo: str | Path | None = None,
    workdir: str | Path | None = None,
    isf: str | Path | None = None,
    settings: Settings | None = None,
    annotate_resources: bool = False,
    **inputs: str | Path | None,
) -> "Lowered":
    """Lower the static part of a pipeline to one Dask graph, for a cluster of your own.

    Compute its `outputs` (or `all`) by any Dask scheduler that sees the workdir. Splits over lists
    that a task makes cannot be known before they run; they are named in `left_out`.

        lowered = to_dask("pipeline.py", workdir="w", frames="frames.json")
        dask.compute(lowered.outputs["image"])

    Raises:
        PipelineError, InputError, SiteError: It cannot run; the message says why.
    """
    from euclid_dask.executors.dask.lower import lower  # noqa: PLC0415  imports Dask

    settings = settings or Settings()
    request, _ = prepare(
        script, pkgrepo=pkgrepo, workdir=workdir, isf=isf, settings=settings, inputs=inputs
    )
    run_ = plan_run(request, SystemClock())
    make_folders(request, run_.id)
    part = static_part(run_, fuse=settings.fuse)
    return lower(part, run_.place, annotate_resources=annotate_resources)
