"""The identity of programs: what a run compares to know that an executable has changed.

A program is looked for as its process will look for it: from the workdir, on the PATH that is
left when `source` was sourced. That is asked of one shell, which also names the files it sourced.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from euclid_dask.core.flow import Flow
from euclid_dask.worker.commands import sourcing
from euclid_dask.worker.fingerprints import stat_identity

_SHELL_S: Final = 60.0
"""A shell that has not sourced its files by then is given up, in seconds."""

_PROBE: Final = """\
declare -A euclid_dask_files
set -T; trap 'euclid_dask_files["-${{BASH_SOURCE[0]-}}"]=1' DEBUG
{{
{source}
}} >/dev/null 2>&1 || exit
trap - DEBUG
printf '%s\\0' "$PATH" "${{!euclid_dask_files[@]}}"
"""


def program_versions(
    flow: Flow, workdir: Path, source: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the identity of each executable's program, by the executable's key.

    `environment` is added to our own; `source` is sourced in it.
    """
    search_path = {**os.environ, **environment}.get("PATH", os.defpath)
    sourced = ""
    if source.strip():
        search_path, sourced = _sourced(workdir, source, environment, search_path)
    return {
        key: " ".join(
            filter(None, (program_identity(spec.command, workdir, search_path), source, sourced))
        )
        for key, spec in flow.executables.items()
    }


def program_identity(command: tuple[str, ...], workdir: Path, search_path: str) -> str:
    """Return the identity of the files among a command's words: its program and scripts."""
    program, *others = command
    paths = [_found(program, workdir, search_path), *(os.path.join(workdir, w) for w in others)]  # noqa: PTH118
    return " ".join(stat_identity(path) for path in paths if os.path.isfile(path))  # noqa: PTH113


def _found(word: str, workdir: Path, search_path: str) -> str:
    """Return the program that a word means; a path where nothing is if there is none."""
    here = os.path.join(workdir, word)  # noqa: PTH118
    if os.sep in word:
        return here
    places = (os.path.join(workdir, folder, word) for folder in search_path.split(os.pathsep))  # noqa: PTH118
    return next((path for path in places if os.access(path, os.X_OK) and os.path.isfile(path)), "")  # noqa: PTH113


def _sourced(
    workdir: Path, source: str, environment: Mapping[str, str], search_path: str
) -> tuple[str, str]:
    """Return the PATH that is left by sourcing, and the identity of the files sourced.

    Where that fails, tasks will fail too: the PATH is that of before.
    """
    try:
        shell = subprocess.run(
            ["/bin/bash", "-c", _PROBE.format(source=sourcing(source))],
            cwd=workdir,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_SHELL_S,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return search_path, ""
    found, *files = os.fsdecode(shell.stdout).split("\0")[:-1] or [search_path]
    paths = sorted(os.path.join(workdir, name[1:]) for name in files if name != "-")  # noqa: PTH118
    return found, " ".join(stat_identity(path) for path in paths)
