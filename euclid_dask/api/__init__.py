"""Running pipelines from Python: what the command line, scripts and notebooks call.

from euclid_dask import api

result = api.run("pipeline.py", workdir="w", image="raw.fits")
result.outputs, result.failures
"""

from euclid_dask.api.lowering import to_dask
from euclid_dask.api.preparing import check, folder_of, load, prepare, read_isf, report
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

__all__ = [
    "CheckReport",
    "RunResult",
    "Script",
    "Settings",
    "advise",
    "carry_out",
    "check",
    "folder_of",
    "is_ended",
    "load",
    "open_profiles",
    "open_run",
    "prepare",
    "profiles_of",
    "read_isf",
    "report",
    "rerun",
    "resume",
    "run",
    "start",
    "to_dask",
    "why_again_in",
]
