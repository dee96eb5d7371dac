"""Job scripts: the directives by dask-jobqueue's job classes, the command our own.

This is the only file that knows dask-jobqueue. Of it we take what it knows of batch systems: how
each spells cores, memory, walltime, queue and account. The user's own `jobqueue.yaml` is not read:
a site file says all there is to say.

Rule 1: a script holds no secret, and neither does the command in it; others may read both. Rule 2:
a job gets nothing of the environment in which it is submitted, as is usual but for Slurm.
"""

import math
import shlex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from euclid_dask.core.errors import SiteError
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.values import Value

_SHEBANG: Final = "#!/usr/bin/env bash"
_BASH: Final = "-S /bin/bash"
"""Some batch systems look at no shebang and take the shell that the user logs in with."""
_OWN_ENVIRONMENT: Final = (
    'if [ -n "${SLURM_JOB_ID-}" ]; then for it in $(compgen -e); do case $it in '
    "SLURM*|PBS*|HOME|USER|LOGNAME|SHELL|TMPDIR|TZ) ;; *) unset $it ;; esac; done; "
    "export PATH=/usr/local/bin:/usr/bin:/bin; fi"
)
"""Slurm, as its PBS commands, gives a job all of the environment of its submit.

`--export=NONE` would run the login files of the user for each job: slow on a busy node, and some
of them wait.
"""
_MIB: Final = 1 << 20
_CONFIG: Final = "euclid-dask"
_SETTINGS: Final = (
    *("name", "cores", "memory", "python", "interface", "death-timeout", "local-directory"),
    *("extra", "worker-extra-args", "job-extra", "env-extra", "header-skip", "log-directory"),
    *("queue", "project", "account", "walltime", "resource-spec", "job-cpu", "job-mem", "disk"),
)


class JobRequest(Value, frozen=True, kw_only=True):
    """What a job asks of the batch system, and what it runs.

    `directives` are added as they are, without their `#SBATCH`, `#PBS` or `#$`; for HTCondor they
    are lines like `key = value`. `avoid` are hosts that it shall not run on; Slurm and Grid Engine
    can be told. `prologue` are lines of bash that run before the command
    (HTCondor joins them by `;`, so there each must be whole, and without a comment).
    """

    command: tuple[str, ...]
    offer: Resources
    queue: str = ""
    account: str = ""
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()


def job_script(system: str, request: JobRequest) -> str:
    """Return the script of a job for a batch system, one of `SYSTEMS`.

    Raises:
        SiteError: There is no such batch system, or the request cannot be put in its words.
    """
    if system not in _WRITERS:
        raise SiteError(
            f"there is no batch system {system!r}", hint=f"there are: {', '.join(_WRITERS)}"
        )
    return _WRITERS[system](request)


def _local(request: JobRequest) -> str:
    return _bash("", request)


def _slurm(request: JobRequest) -> str:
    from dask_jobqueue.slurm import SLURMJob  # noqa: PLC0415  fast start

    header = _header(
        SLURMJob,
        request,
        account=request.account or None,
        job_mem=f"{_ceil_mib(request.offer)}M",  # its own rounding is up to whole GiB
        job_extra_directives=_unless(request, "--exclude={}", ","),
    )
    return _bash(header, request, *_own_environment(request, "--export"))


def _openpbs(request: JobRequest) -> str:
    chunk = f"select=1:ncpus={_cores(request)}:mem={_ceil_mib(request.offer)}MB"
    return _any_pbs(request, chunk)


def _torque(request: JobRequest) -> str:
    return _any_pbs(request, f"nodes=1:ppn={_cores(request)},mem={_ceil_mib(request.offer)}mb")


def _any_pbs(request: JobRequest, resources: str) -> str:
    from dask_jobqueue.pbs import PBSJob  # noqa: PLC0415  fast start

    header = _header(
        PBSJob,
        request,
        account=request.account or None,
        resource_spec=resources,
        job_extra_directives=[_BASH],
    )
    return _bash(header, request, *_own_environment(request, "-V"))


def _sge(request: JobRequest) -> str:
    from dask_jobqueue.sge import SGEJob  # noqa: PLC0415  fast start

    cores = _cores(request)
    if cores > 1 and not any(line.split()[:1] == ["-pe"] for line in request.directives):
        raise SiteError(
            f"Grid Engine does not know how to give {cores} cores",
            hint=f'add the site\'s parallel environment to `directives`, like "-pe smp {cores}"; '
            "see `qconf -spl`",
        )
    header = _header(
        SGEJob,
        request,
        project=request.account or None,
        job_directives_skip=["-j y"],  # output goes to two files, as the submit command says
        job_extra_directives=[_BASH, *_unless(request, "-l h=!({})", "|")],
    )
    return _bash(header, request)


def _htcondor(request: JobRequest) -> str:
    from dask_jobqueue.htcondor import HTCondorJob, quote_arguments  # noqa: PLC0415  fast start

    # a job that was started must not be started again; and there is no walltime but this
    gone = "(JobStatus == 1 && NumJobStarts > 0)"
    late = f"(JobStatus == 2 && time() - JobCurrentStartDate > {math.ceil(_walltime_s(request))})"
    own = {"periodic_remove": f"{gone} || {late}"}
    if request.account:
        own["accounting_group"] = request.account
    asked = dict(_pair(line) for line in request.directives)
    job = _job(
        HTCondorJob,
        request,
        disk=f"{request.offer.disk_bytes or GB}B",
        job_extra_directives=own | asked,
        job_directives_skip=["MY.DaskWorkerName", "batch_name"],
    )
    lines = [f"{key} = {value}" for key, value in job.job_header_dict.items()]
    arguments = quote_arguments(["-c", "; ".join(_body(request))])  # type: ignore[no-untyped-call]
    return "\n".join([*lines, "executable = /bin/bash", f'arguments = "{arguments}"', "queue", ""])


_WRITERS: Final[Mapping[str, Callable[[JobRequest], str]]] = MappingProxyType(
    {
        "local": _local,
        "slurm": _slurm,
        "openpbs": _openpbs,
        "torque": _torque,
        "sge": _sge,
        "htcondor": _htcondor,
    }
)
SYSTEMS: Final = tuple(_WRITERS)
"""The batch systems that scripts can be written for."""


def _bash(header: str, request: JobRequest, *first: str) -> str:
    parts = [_SHEBANG, *([header] if header else []), *first, *_body(request)]
    return "\n".join(parts) + "\n"


def _body(request: JobRequest) -> list[str]:
    """Return the lines that run; the job is the command, so signals reach it."""
    return [*request.prologue, f"exec {shlex.join(request.command)}"]


def _header(kind: Any, request: JobRequest, **options: Any) -> str:
    """Return the directives as dask-jobqueue writes them, then those of the site."""
    options["job_extra_directives"] += request.directives
    job = _job(kind, request, queue=request.queue or None, walltime=_walltime(request), **options)
    header: str = job.job_header
    return header


def _own_environment(request: JobRequest, option: str) -> list[str]:
    """Return what forgets the submit's environment, unless the site says by `option` what to do."""
    is_chosen = any(line.startswith(option) for line in request.directives)
    return [] if is_chosen else [_OWN_ENVIRONMENT]


def _unless(request: JobRequest, form: str, between: str) -> list[str]:
    """Return the directive that keeps a job off hosts, if there are any."""
    return [form.format(between.join(sorted(request.avoid)))] if request.avoid else []


def _job(kind: Any, request: JobRequest, **options: Any) -> Any:
    import dask  # noqa: PLC0415  fast start

    settings = dict.fromkeys(_SETTINGS) | {"shebang": _SHEBANG, "worker-command": "unused"}
    lists: dict[str, Any] = {
        "worker-extra-args": [],
        "job-script-prologue": [],
        "job-extra-directives": [],
    }
    with dask.config.set({f"jobqueue.{_CONFIG}": settings | lists | {"job-directives-skip": []}}):
        return kind(
            config_name=_CONFIG,
            cores=_cores(request),
            memory=f"{request.offer.ram_bytes}B",
            processes=1,
            **options,
        )


def _cores(request: JobRequest) -> int:
    return max(1, math.ceil(request.offer.cores))


def _ceil_mib(offer: Resources) -> int:
    return max(1, math.ceil(offer.ram_bytes / _MIB))


def _walltime_s(request: JobRequest) -> float:
    if request.offer.walltime_s <= 0:
        raise SiteError(
            "a pilot of the batch system needs a walltime", hint="set `walltime` in its template"
        )
    return request.offer.walltime_s


def _walltime(request: JobRequest) -> str:
    minutes, seconds = divmod(math.ceil(_walltime_s(request)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}"


def _pair(line: str) -> tuple[str, str]:
    key, found, value = line.partition("=")
    if not found:
        raise SiteError(f"not a directive: {line!r}", hint="HTCondor's are like `key = value`")
    return key.strip(), value.strip()
