"""The files of jobs, by their names: scripts, and what jobs say."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from euclid_dask.core.errors import SiteError
from euclid_dask.pilots.batch.dialect import JobFiles

KEPT_JOBS: Final = 100
"""The files of so many jobs are kept,"""
KEPT_S: Final = 7 * 86400.0
"""and those of jobs that were submitted within so many seconds."""
_TAIL_BYTES: Final = 4000


def job_files(folder: Path, name: str) -> JobFiles:
    """Return where the files of the job of this name are."""
    path = folder.absolute() / name
    return JobFiles(script=f"{path}.sh", stdout=f"{path}.out", stderr=f"{path}.err")


def write_script(folder: Path, name: str, script: str) -> JobFiles:
    """Write a job's script, for its owner only; return its files.

    Raises:
        SiteError: The folder cannot be written.
    """
    files = job_files(folder, name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = Path(files.script)
        path.touch(mode=0o600)
        path.write_text(script)
    except OSError as error:
        raise SiteError(
            f"cannot write the job script {files.script}: {error.strerror}",
            hint="the workdir must be writable, and its disk not full",
        ) from error
    return files


def prune(folder: Path, now_s: float) -> None:
    """Remove the files of jobs that were submitted long ago, but for the latest ones."""
    with suppress(OSError):
        scripts = sorted(folder.glob("*.sh"), key=lambda script: -script.stat().st_mtime)
        for script in scripts[KEPT_JOBS:]:
            if script.stat().st_mtime < now_s - KEPT_S:
                files = job_files(folder, script.stem)
                for path in (files.stdout, files.stderr, files.script):
                    Path(path).unlink(missing_ok=True)


def tail(path: str) -> str:
    """Return the end of a text file, "" if there is none."""
    with suppress(OSError), Path(path).open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        return file.read().decode(errors="replace").strip()
    return ""
