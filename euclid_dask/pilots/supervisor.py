"""The program of a pilot: it owns the executables, and outlives whoever talks to it.

    python -m euclid_dask.pilots.supervisor --pilot ID --workspace DIR ...

It runs bundles in threads, keeps a Dask worker running by which it is reached, and leaves when
it has nothing to do, is asked to, is told to by the batch system, or when its time is up. It
imports no Dask. Rule: only the deadline, the batch system and the loss of its lease end what runs;
the loss of worker, scheduler, runner or network does not.
"""

import argparse
import os
import select
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Final, assert_never

from euclid_dask import __version__
from euclid_dask.core.errors import EuclidDaskError, WorkdirError
from euclid_dask.core.events import PilotDraining, PilotJoined, PilotLeft
from euclid_dask.core.ids import PilotId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import BundleOrder
from euclid_dask.core.values import replace
from euclid_dask.pilots.bundles import Bundles
from euclid_dask.pilots.child import Child
from euclid_dask.pilots.deadline import AUTO, deadline
from euclid_dask.pilots.door import Door
from euclid_dask.pilots.lease import Lease, lease_path
from euclid_dask.pilots.selftest import troubles, unfit_text
from euclid_dask.worker import guard, procfs, trees
from euclid_dask.worker.clock import now_s
from euclid_dask.worker.link import SUPERVISOR, Request, Retire, Stop

WORKER_PROGRAM: Final = "euclid_dask.executors.dask.supervised"
"""The module that the Dask worker runs."""

UNFIT: Final = 3
"""The exit code of a pilot whose host failed the self-test."""

NO_PILOT: Final = 2
"""The exit code of a job that cannot be a pilot."""

TOLD_TO_END: Final = "the pilot was told to end"
GIVEN_UP: Final = "the runner has given the pilot up"

_TELL_TO_END: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGXCPU)
_FAREWELL_S: Final = 5.0
_LONGEST_POLL_S: Final = 3600.0
_LONGEST_FOLDER: Final = 70
"""The name of a socket has at most 107 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """When a pilot leaves: seconds without work (0: never). Its lease, if it needs one.

    That lasts `lease_s` seconds without a touch, 0 for ever.
    """

    idle_s: float
    lease: Path | None
    lease_s: float


class Supervisor:
    """The supervisor's one loop. `pilot` is what is announced of the pilot.

    Raises:
        OSError: It has no lease, and never will.
    """

    def __init__(self, pilot: PilotJoined, terms: Terms, door: Door, worker: Child) -> None:
        self._pilot = pilot
        self._terms = terms
        self._door = door
        self._worker = worker
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._bundles = Bundles(self.wake)
        self._lease = (
            None
            if terms.lease is None
            else Lease(terms.lease, terms.lease_s, hold=trees.hold, wake=self.wake)
        )
        self._told_to_end = False
        self._leaving = ""
        self._urgent = False

    def wake(self) -> None:
        """Have the loop look around; from any thread."""
        with suppress(BlockingIOError):
            os.write(self._wake_out, b"!")

    def told_to_end(self, number: int, frame: FrameType | None) -> None:
        """Note that the batch system wants the pilot to end; a signal handler."""
        self._told_to_end = True
        self.wake()

    def run(self) -> str:
        """Serve until it is time to leave; return why."""
        while not (self._leaving and self._bundles.is_idle):
            self._worker.attend()
            self._wait()
            self._attend_lease()
            self._attend_door()
            self._consider_leaving()
        self._say_farewell()
        return self._leaving

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._wake_in, select.POLLIN)
        if self._worker.handle >= 0:
            poll.register(self._worker.handle, select.POLLIN)
        for descriptor, events in self._door.descriptors().items():
            poll.register(descriptor, events)
        wait_s = min(max(0.0, self._due_in_s()), _LONGEST_POLL_S)
        poll.poll(int(wait_s * 1000) + 1)
        with suppress(BlockingIOError):
            while os.read(self._wake_in, 4096):
                pass

    def _due_in_s(self) -> float:
        """Return the seconds until something is to be done though nothing happens."""
        due_in_s = self._worker.due_s - monotonic()
        if not self._urgent:
            due_in_s = min(due_in_s, self._end_s() - now_s())
        if self._bundles.is_idle and not self._leaving:
            due_in_s = min(due_in_s, self._idle_until_s() - monotonic())
        return due_in_s

    def _attend_lease(self) -> None:
        """Let nobody in as long as there is no lease; leave if there never will be one again."""
        if self._lease is None:
            return
        if self._lease.is_taken_away:
            self._leave(GIVEN_UP, urgent=True)
        elif self._lease.is_held:
            self._door.open()
        else:
            self._door.shut()

    def _attend_door(self) -> None:
        for request in self._door.hear():
            self._carry_out(request)
        self._door.flush()
        if self._door.admit():
            news, carrying = self._bundles.account()
            welcome = replace(self._pilot, at_s=now_s(), carrying=carrying)
            self._door.tell([*news, welcome])
            if self._leaving:
                self._tell_of_draining()
        else:
            self._door.tell(self._bundles.news() if self._door.is_linked else [])

    def _carry_out(self, request: Request) -> None:
        match request:
            case BundleOrder():
                self._bundles.take(request)
            case Stop():
                self._bundles.stop(request)
            case Retire(reason=reason):
                self._leave(reason, urgent=False)
            case _:
                assert_never(request)

    def _consider_leaving(self) -> None:
        if self._told_to_end:
            self._leave(TOLD_TO_END, urgent=True)
        elif now_s() >= self._end_s():
            self._leave("the pilot has reached its walltime", urgent=True, expired=True)
        elif self._bundles.is_idle and monotonic() >= self._idle_until_s():
            self._leave(f"the pilot had nothing to do for {self._terms.idle_s:g} s", urgent=False)

    def _leave(self, reason: str, *, urgent: bool, expired: bool = False) -> None:
        """Take no more work; if it is urgent, end what runs, as lost or as expired."""
        if not self._leaving:
            self._leaving = reason
            self._bundles.refuse()
            self._tell_of_draining()
        if urgent and not self._urgent:
            self._urgent = True
            self._bundles.abandon_all(reason, expired=expired)

    def _tell_of_draining(self) -> None:
        pilot = self._pilot.pilot
        self._door.tell([PilotDraining(pilot=pilot, reason=self._leaving, at_s=now_s())])

    def _say_farewell(self) -> None:
        """Tell how the last attempts ended and that the pilot leaves, if somebody listens."""
        left = PilotLeft(pilot=self._pilot.pilot, reason=self._leaving, at_s=now_s())
        self._door.tell([*self._bundles.news(), left])
        until_s = monotonic() + _FAREWELL_S
        poll = select.poll()
        while self._door.is_linked and monotonic() < until_s:
            self._door.flush()
            self._door.hear()
            poll.poll(20)
        self._worker.kill()
        self._door.close()
        if self._lease is not None:
            self._lease.release()

    def _end_s(self) -> float:
        return inf if self._pilot.until_s is None else self._pilot.until_s

    def _idle_until_s(self) -> float:
        return self._bundles.idle_since_s + self._terms.idle_s if self._terms.idle_s else inf


def main(words: Sequence[str] | None = None) -> int:
    """Be a pilot; return the exit code."""
    options = _options().parse_args(words)
    scratch = Path(os.path.expandvars(options.scratch) or tempfile.gettempdir())
    wrong = troubles(
        workspace=options.workspace,
        scratch=scratch,
        disk_bytes=options.disk,
        source=options.source,
    )
    if wrong:
        for trouble in wrong:
            _say(unfit_text(os.uname().nodename, trouble))
        return UNFIT
    try:
        started_s = now_s() - procfs.own_age_s()  # that of the job script, which was replaced
        until_s = deadline(options.until, options.walltime, started_s, os.environ)
        with _private_folder(scratch) as private:
            supervisor = _supervisor(options, private, until_s)
            for number in _TELL_TO_END:
                signal.signal(number, supervisor.told_to_end)
            reason = supervisor.run()
    except EuclidDaskError as error:
        _say(str(error))
        return NO_PILOT
    _say(f"left: {reason}")
    return 0


@contextmanager
def _private_folder(scratch: Path) -> Iterator[Path]:
    folder = scratch if len(str(scratch)) < _LONGEST_FOLDER else "/tmp"  # noqa: S108 - made 0700
    try:
        private = Path(tempfile.mkdtemp(prefix="euclid-dask-", dir=folder))
    except OSError as error:
        raise WorkdirError(f"cannot make a folder in the scratch: {error}") from error
    try:
        yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _supervisor(options: argparse.Namespace, private: Path, until_s: float | None) -> Supervisor:
    pilot = PilotJoined(
        pilot=PilotId(options.pilot),
        offer=Resources(cores=options.cores, ram_bytes=options.ram, disk_bytes=options.disk),
        slots=options.slots,
        until_s=until_s - options.grace if until_s is not None else None,
        template=options.template,
        host=os.uname().nodename,
        version=__version__,
        at_s=now_s(),
    )
    guard.keep(trees.are_open)  # from the first moment: nobody else can kill what we leave here
    socket = private / "door"
    command = [sys.executable, "-m", WORKER_PROGRAM, "--slots", str(options.slots)]
    command += ["--pilot", options.pilot, "--scratch", str(private)]
    scheduler_file = options.scheduler_file or _records(options) / "scheduler.json"
    command += ["--scheduler-file", str(scheduler_file)]
    worker = Child(command, {SUPERVISOR: str(socket)})
    lease = None if options.lease is None else lease_path(_records(options), pilot.pilot)
    terms = Terms(idle_s=options.idle, lease=lease, lease_s=options.lease or 0.0)
    try:
        return Supervisor(pilot, terms, Door(socket), worker)
    except OSError as error:
        if error.filename == str(lease) and isinstance(error, FileNotFoundError):
            raise WorkdirError("the runner gave the pilot up before it began") from error
        raise WorkdirError(f"cannot be a pilot: {error}") from error


def _records(options: argparse.Namespace) -> Path:
    return Path(options.workspace) / ".euclid-dask"


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m euclid_dask.pilots.supervisor",
        description="Be a pilot: run what a runner sends, whatever becomes of the runner.",
    )
    add = parser.add_argument
    add("--pilot", required=True, help="the pilot's id")
    add("--workspace", required=True, type=Path, help="the workdir of the runs, shared")
    add("--cores", required=True, type=float, help="cores that tasks may use")
    add("--ram", required=True, type=int, help="bytes of RAM that tasks may use")
    add("--slots", required=True, type=int, help="most bundles at once")
    add("--disk", type=int, default=0, help="bytes of scratch that tasks may use, 0: not said")
    add("--until", default=AUTO, help="end of the job, seconds since the epoch, or auto")
    add("--walltime", type=float, default=0.0, help="seconds that the job lasts, for auto")
    add("--grace", type=float, default=30.0, help="seconds before the end for what runs to end")
    add("--idle", type=float, default=0.0, help="leave after so many seconds without work")
    add("--lease", type=float, help="seconds without the workspace, 0: any; without it: no lease")
    add("--template", default="", help="the template's name")
    add("--source", default="", help="shell text that tasks source, to be tried")
    add("--scratch", default="", help="scratch folder, may hold $VARIABLES; by default $TMPDIR")
    add("--scheduler-file", default="", help="by default .euclid-dask/scheduler.json there")
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"euclid-dask pilot: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
