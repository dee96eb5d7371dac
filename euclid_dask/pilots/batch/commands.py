"""A batch system by its commands: run, timed out, tried again, and understood when they fail."""

import logging
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import IO, Final

from euclid_dask.core.errors import BatchError, BatchUnreachableError, SubmitUnknownError
from euclid_dask.core.ids import JobId
from euclid_dask.core.pilots import Job
from euclid_dask.core.values import Value
from euclid_dask.pilots.batch.dialect import Dialect
from euclid_dask.pilots.batch.files import job_files, tail, write_script

log = logging.getLogger(__name__)

_NOT_FOUND: Final = 127
_SSH_FAILED: Final = 255
_LATE: Final = -1000
_MOST_WORDS: Final = 2000
_CANCEL_AT_ONCE: Final = 200
_COMPLAINT: Final = re.compile(r"\berror\b", re.IGNORECASE)


class Calls(Value, frozen=True, kw_only=True):
    """How commands are run: where, how long, how often.

    `remote` is put before each command, which follows it as one quoted argument: like
    `("ssh", "-o", "BatchMode=yes", "login1")`. A command that found nobody to ask is tried `tries`
    times, `backoff_s` after the first, then twice as long after each.
    """

    remote: tuple[str, ...] = ()
    timeout_s: float = 60.0
    tries: int = 3
    backoff_s: float = 1.0


class CommandBatch:
    """A batch system that is asked by running its commands.

    Args:
        dialect: The batch system.
        prefix: How the names of our jobs begin.
        folder: Where scripts and what jobs say are kept; submission and compute hosts see it.
        calls: How commands are run.
        pause: Waits for a number of seconds; may return early, when we are to end.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        prefix: str,
        folder: Path,
        calls: Calls | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._dialect = dialect
        self._prefix = prefix
        self._folder = folder
        self._calls = calls or Calls()
        self._pause = pause or Event().wait

    def submit(self, script: str, name: str) -> JobId:
        """See `BatchSystem.submit`."""
        files = write_script(self._folder, name, script)
        command = self._dialect.submit(name, files)
        answer = self._ask(command, mutates=True)
        try:
            return self._dialect.parse_submit(answer)
        except ValueError as error:
            raise SubmitUnknownError(
                f"{_name(command)} answered {answer.strip()!r}: {error}",
                hint=f"is there a job {name}? If so it is ours",
            ) from error

    def jobs(self) -> Sequence[Job]:
        """See `BatchSystem.jobs`."""
        command = list(self._dialect.list_jobs)
        answer = self._ask(command)
        try:
            found = self._dialect.parse_jobs(answer)
        except ValueError as error:
            raise BatchError(
                f"cannot read what {_name(command)} answered: {error}",
                hint="nothing is concluded from it; please report this",
            ) from error
        return [job for job in found if job.name.startswith(self._prefix)]

    def cancel(self, jobs: Sequence[JobId]) -> None:
        """See `BatchSystem.cancel`."""
        for first in range(0, len(jobs), _CANCEL_AT_ONCE):
            self._ask(self._dialect.cancel(jobs[first : first + _CANCEL_AT_ONCE]), cancels=True)

    def last_words(self, name: str) -> str:
        """See `BatchSystem.last_words`."""
        return tail(job_files(self._folder, name).stderr)

    def _ask(self, command: list[str], *, mutates: bool = False, cancels: bool = False) -> str:
        """Return what a command wrote to its stdout, trying again while nobody can be asked."""
        delay_s = self._calls.backoff_s
        for left in reversed(range(self._calls.tries)):
            done = self._run(command)
            if self._has_succeeded(done) or (cancels and self._has_nothing_to_cancel(done)):
                return done.stdout
            error = self._error(command, done, mutates=mutates)
            if not left or not isinstance(error, BatchUnreachableError):
                raise error
            log.info("%s; trying again in %g s", error.message, delay_s)
            self._pause(delay_s)
            delay_s *= 2
        raise AssertionError("tries must be positive")

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        line = ["env", "LC_ALL=C", *command]
        if self._calls.remote:
            line = [*self._calls.remote, shlex.join(line)]
        # files, not pipes: what a killed command leaves behind may hold a pipe open for ever
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            try:
                code = _call(line, stdout.fileno(), stderr.fileno(), self._calls.timeout_s)
            except OSError as error:
                return subprocess.CompletedProcess(line, _NOT_FOUND, "", str(error))
            return subprocess.CompletedProcess(line, code, _text(stdout), _text(stderr))

    def _has_succeeded(self, done: subprocess.CompletedProcess[str]) -> bool:
        if done.returncode == 0:
            # some complain and exit with 0: that is no answer of "no jobs"
            return bool(done.stdout.strip()) or not _COMPLAINT.search(done.stderr)
        return done.returncode == self._dialect.no_jobs_code and not done.stdout.strip()

    def _has_nothing_to_cancel(self, done: subprocess.CompletedProcess[str]) -> bool:
        if done.returncode < 0 or done.returncode in {_NOT_FOUND, _SSH_FAILED}:
            return False
        said = (done.stdout + done.stderr).splitlines()
        return all(self._dialect.no_failure.search(line) for line in said if line.strip())

    def _error(
        self, command: list[str], done: subprocess.CompletedProcess[str], *, mutates: bool
    ) -> BatchError:
        name = _name(command)
        said = (done.stderr.strip() or done.stdout.strip())[-_MOST_WORDS:]
        everything = done.stdout + done.stderr
        message = f"{name} failed (exit code {done.returncode}): {said}"
        if done.returncode == _LATE:
            message = f"{name} did not answer within {self._calls.timeout_s:g} s"
        late = done.returncode == _LATE or self._dialect.unanswered.search(everything) is not None
        cut = bool(self._calls.remote) and done.returncode == _SSH_FAILED
        if mutates and (late or cut):
            return SubmitUnknownError(message, hint="the job is looked for by its name")
        if late or cut or self._dialect.unreachable.search(everything):
            return BatchUnreachableError(message, hint="it is asked again; jobs go on meanwhile")
        return BatchError(message, hint=self._hint(done))

    def _hint(self, done: subprocess.CompletedProcess[str]) -> str:
        if done.returncode == _NOT_FOUND:
            return "is it on the PATH of this host? Or set `batch_host` in the site file"
        for found, hint in self._dialect.hints:
            if found.search(done.stdout + done.stderr):
                return hint
        return ""


def _name(command: Sequence[str]) -> str:
    """Return the program that is meant, without what sets its environment."""
    return next(word for word in command if word != "env" and "=" not in word)


def _call(line: Sequence[str], stdout: int, stderr: int, timeout_s: float) -> int:
    """Run a command; return its exit code, `_LATE` if it had to be killed for taking so long."""
    with subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,  # Ctrl-C is for us, not for a command that is half done
    ) as command:
        try:
            return command.wait(timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(command.pid, signal.SIGKILL)
            return _LATE


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
