"""Running pipelines from Python: what the command line, scripts and notebooks call.

from euclid_dask import api

result = api.run("pipeline.py", workdir="w", image="raw.fits")
result.outputs, result.failures
"""

from typing import TYPE_CHECKING, Any

from euclid_dask.api.lowering import to_dask
from euclid_dask.api.preparing import check, folder_of, load, places_of, prepare, read_isf, report
from euclid_dask.api.profiles import advise, open_profiles, profiles_of
from euclid_dask.api.results import (
    CheckReport,
    RunResult,
    is_ended,
    open_run,
    why_again_in,
)
from euclid_dask.api.running import carry_out, rerun, resume, run, start
from euclid_dask.api.settings import Script, Settings

if TYPE_CHECKING:
    from euclid_dask.api.submitting import (
        RunnerPlace,
        Submission,
        place_of_resumed,
        place_of_run,
        submit,
    )

__all__ = [
    "CheckReport",
    "RunResult",
    "RunnerPlace",
    "Script",
    "Settings",
    "Submission",
    "advise",
    "carry_out",
    "check",
    "folder_of",
    "is_ended",
    "load",
    "open_profiles",
    "open_run",
    "place_of_resumed",
    "place_of_run",
    "places_of",
    "prepare",
    "profiles_of",
    "read_isf",
    "report",
    "rerun",
    "resume",
    "run",
    "start",
    "submit",
    "to_dask",
    "why_again_in",
]


def __getattr__(name: str) -> Any:
    """Import what speaks with batch systems when it is used: a run starts fast without it."""
    if name in __all__:
        from euclid_dask.api import submitting  # noqa: PLC0415  fast start

        return getattr(submitting, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
