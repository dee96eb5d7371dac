"""What a pilot tries before it takes work, so that a bad host costs no task."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from euclid_dask.worker.commands import sourced

_PATIENCE_S: Final = 120.0
_MOST_SAID: Final = 1000
_UNFIT: Final = re.compile(r"host (\S+) is unfit: ")


def unfit_text(host: str, trouble: str) -> str:
    """Return what a pilot says of a host that is unfit."""
    return f"host {host} is unfit: {trouble}"


def unfit_host(said: str) -> str:
    """Return the host of which a pilot said that it is unfit, "" if it said something else."""
    found = _UNFIT.match(said)
    return found[1] if found else ""


def troubles(*, workspace: Path, scratch: Path, disk_bytes: int, source: str) -> list[str]:
    """Return what is wrong with this host, each in a sentence; nothing if it is fit for work.

    `disk_bytes` is the free space that the scratch folder must have, 0 for any; `source` is the
    shell text that tasks are to source, "" for none.
    """
    tests = (
        _folder("workspace", workspace),
        _folder("scratch folder", scratch),
        _space(scratch, disk_bytes),
        _sourcing(source),
    )
    return [trouble for trouble in tests if trouble]


def _folder(name: str, folder: Path) -> str:
    probe = folder / f".euclid-dask-probe-{os.uname().nodename}-{os.getpid()}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, b"probe")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            probe.unlink()
    except OSError as error:
        return f"the {name} {folder} cannot be written: {error.strerror}"
    return ""


def _space(scratch: Path, wanted: int) -> str:
    if not wanted:
        return ""
    try:
        free = shutil.disk_usage(scratch).free
    except OSError as error:
        return f"the scratch folder {scratch} cannot be looked at: {error.strerror}"
    if free < wanted:
        return f"the scratch folder {scratch} has {free} bytes free, {wanted} are needed"
    return ""


def _sourcing(source: str) -> str:
    if not source:
        return ""
    try:
        ended = subprocess.run(
            sourced(("true",), source),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"sourcing {source!r} failed: {error}"
    if ended.returncode:
        said = "; ".join(ended.stderr.decode(errors="replace").split("\n"))[-_MOST_SAID:]
        return f"sourcing {source!r} ended with exit code {ended.returncode}: {said}"
    return ""
