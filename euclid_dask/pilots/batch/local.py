"""A batch system without a batch system: jobs are processes of this host, started at once.

For laptops, tests, and trying out pilots. Each job is a session of its own and carries a mark in
its environment, so that it is found again after the runner was restarted, and ended whole. There is
no walltime, no queue, and no limit to how many run.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from select import poll
from time import monotonic
from typing import Final

from euclid_dask.core.errors import BatchError
from euclid_dask.core.ids import JobId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.pilots.batch.files import job_files, tail, write_script
from euclid_dask.worker import procfs

MARK: Final = "EUCLID_DASK_JOB"
"""The variable by which a job's processes are found; its value is the job's id."""

_ROUND_MS: Final = 20
_QUIET_ROUNDS: Final = 3


class LocalBatch:
    """Runs jobs as processes of this host.

    Args:
        prefix: How the names of our jobs begin.
        folder: Where scripts, what jobs say, and who they are is kept.
        grace_s: How long a cancelled job may take to end before it is killed.
    """

    def __init__(self, *, prefix: str, folder: Path, grace_s: float = 5.0) -> None:
        self._prefix = prefix
        self._folder = folder
        self._grace_s = grace_s
        self._children: dict[JobId, subprocess.Popen[bytes]] = {}

    def submit(self, script: str, name: str) -> JobId:
        """See `BatchSystem.submit`."""
        files = write_script(self._folder, name, script)
        job = JobId(f"local-{os.urandom(6).hex()}")
        try:
            # before the process: a job that was never started is one that has ended
            (self._folder / f"{name}.job").write_text(job)
            with Path(files.stdout).open("wb") as stdout, Path(files.stderr).open("wb") as stderr:
                self._children[job] = subprocess.Popen(
                    ["/usr/bin/env", "bash", files.script],
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    cwd=self._folder,
                    env={**os.environ, MARK: job},
                    start_new_session=True,
                )
        except OSError as error:
            raise BatchError(f"cannot start the job {name}: {error.strerror}") from error
        return job

    def jobs(self) -> Sequence[Job]:
        """See `BatchSystem.jobs`. Jobs that ended are told once."""
        found = []
        for record in sorted(self._folder.glob(f"{self._prefix}*.job")):
            job = JobId(record.read_text())
            living = bool(_processes([job]))
            child = self._children.get(job)
            code = None if child is None else child.poll()
            if living or (child is not None and code is None):
                state, reason = JobState.RUNNING, ""
            else:
                state, reason = JobState.ENDED, "" if code is None else f"exit code {code}"
                self._children.pop(job, None)
                record.unlink()
            host = os.uname().nodename
            found.append(
                Job(
                    id=job,
                    name=record.stem,
                    state=state,
                    reason=reason,
                    host=host,
                    is_confirmed=state is JobState.ENDED,
                )
            )
        return found

    def cancel(self, jobs: Sequence[JobId]) -> None:
        """See `BatchSystem.cancel`. Returns when all processes of the jobs are dead."""
        number = signal.SIGTERM
        until_s = monotonic() + self._grace_s
        while processes := _processes(jobs):
            if number is signal.SIGTERM or monotonic() > until_s:
                for process in processes:
                    procfs.send(process, number)
                number = signal.SIGKILL
            poll().poll(_ROUND_MS)
        for child in (self._children[job] for job in jobs if job in self._children):
            child.wait()

    def last_words(self, name: str) -> str:
        """See `BatchSystem.last_words`."""
        return tail(job_files(self._folder, name).stderr)


def _processes(jobs: Sequence[JobId]) -> list[procfs.Process]:
    """Return the living processes of jobs: the marked ones, and all that is below them."""
    for _ in range(_QUIET_ROUNDS):
        marked = [process for job in jobs for process in procfs.marked({MARK: job})]
        pids = {pid for process in marked for pid in procfs.family(process.pid)}
        found = [process for process in map(procfs.read_process, pids) if process is not None]
        if found or not jobs:
            return found
        poll().poll(_ROUND_MS)  # what forks while we look may have been missed
    return []
