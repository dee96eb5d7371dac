"""One attempt from its order to its receipt.

The straight line: receipt there already? claim it, check inputs, clear the way, launch, watch,
reap, check outputs, write the receipt. Whatever goes wrong is a `Failure` in the receipt.
"""

import os
import re
import select
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from resource import RUSAGE_SELF, getrusage, struct_rusage
from threading import Lock
from time import monotonic
from typing import Final

from euclid_dask.core.attempts import Failure, Fingerprint, Order, Place, Profile, Receipt
from euclid_dask.core.values import replace
from euclid_dask.worker import commands, failures, guard, oom, procfs, records, trees
from euclid_dask.worker.clock import now_s
from euclid_dask.worker.environment import Scene
from euclid_dask.worker.failures import AttemptError
from euclid_dask.worker.outputs import check_outputs
from euclid_dask.worker.process import Child, Woken
from euclid_dask.worker.sampler import Sampler, Watch

HOST: Final = os.uname().nodename
"""The name of this host."""

LONG_S: Final = 0.02
"""An attempt that has run for so many seconds is not a short one: its start is news, and it is
watched. Looks at its memory follow each time its age has doubled."""

_SHARE: Final = 0.1
"""In steps of so much of its walltime the age of an attempt is counted."""
_STALL_S: Final = 1.0
"""A step that took so much longer does not count: the host hung, and the executable with it."""

_HEARSAY_MS: Final = 500
_KILLED: Final = frozenset(
    code
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGUSR2, signal.SIGXCPU)
    for code in (-number, 128 + number)  # a shell tells it of its child by the latter
)

_SIGKILLED: Final = frozenset({-signal.SIGKILL, 128 + signal.SIGKILL})
_NEAR: Final = 0.8
"""An attempt whose RAM came so near to what it asked for may have been killed for lack of it."""

_FURTHER_LOG: Final = re.compile(r"(stdout|stderr)\.\d+\.log")
_SAMPLER = Sampler()


class Control:
    """The handle by which other threads end an attempt; the first failure given counts."""

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self._lock = Lock()
        self._wake = -1
        self._begun = False

    def stop(self, failure: Failure, *, only_waiting: bool = False) -> None:
        """End the attempt with this failure, now or as soon as it is to start.

        With `only_waiting` an attempt that has begun goes on.
        """
        with self._lock:
            if self.failure is None and not (only_waiting and self._begun):
                self.failure = failure
                if self._wake >= 0:
                    os.eventfd_write(self._wake, 1)

    def begin(self) -> Failure | None:
        """Say that the attempt begins; return the failure it was stopped with before, if any."""
        with self._lock:
            self._begun = True
            return self.failure

    def open(self) -> int:
        """Return a descriptor that is readable when the attempt is to end."""
        with self._lock:
            self._wake = os.eventfd(1 if self.failure else 0, os.EFD_CLOEXEC)
            return self._wake

    def close(self) -> None:
        """Close the descriptor."""
        with self._lock:
            os.close(self._wake)
            self._wake = -1


def log_paths(order: Order, place: Place) -> tuple[str, str]:
    """Return where stdout and stderr of an attempt go, relative to the workdir."""
    number = f".{order.attempt}" if order.attempt > 1 else ""
    directory = f"{place.logdir}/{order.task}"
    return f"{directory}/stdout{number}.log", f"{directory}/stderr{number}.log"


def run_attempt(
    order: Order, scene: Scene, control: Control, on_start: Callable[[float], None]
) -> Receipt:
    """Run one attempt to its end and return its receipt, which is also on the disk.

    An attempt that has left a receipt is not run again. `on_start` gets the time of the start,
    once the executable has run for `LONG_S`; of one that ends before, the receipt tells.

    Raises:
        records.AlreadyStartedError: if it was started before and left no receipt.
    """
    place = scene.place
    earlier = records.read_receipt(place.records, order.task, order.attempt)
    if earlier is not None:
        return earlier
    receipt = _Work(order, scene, control).run(on_start)
    try:
        records.write_receipt(place, receipt)
    except OSError as error:
        failure = failures.system_failure(order, place, error)
        return receipt if receipt.failure else _failed(receipt, failure)
    return receipt


class _Work:
    """The facts of an attempt as they come in."""

    def __init__(self, order: Order, scene: Scene, control: Control) -> None:
        self._order = order
        self._place = place = scene.place
        self._scene = scene
        self._control = control
        self._command = commands.render(order, place)
        self._began_s = now_s()
        self._arrived_s = self._left_s = monotonic()
        self._input_bytes = 0
        self._profile = Profile()
        self._kills = oom.kills()
        self._warnings: tuple[str, ...] = ()

    def run(self, on_start: Callable[[float], None]) -> Receipt:
        """Run the attempt and return its receipt."""
        outputs: dict[str, Fingerprint] = {}
        failure: Failure | None = None
        try:
            outputs = self._run(on_start)
        except AttemptError as error:
            failure = error.failure
        except OSError as error:
            failure = failures.system_failure(self._order, self._place, error)
        return Receipt(
            task=self._order.task,
            attempt=self._order.attempt,
            command=self._command,
            outputs=outputs,
            failure=failure,
            profile=replace(self._profile, check_s=round(monotonic() - self._left_s, 6)),
            host=HOST,
            started_s=self._began_s,
            ended_s=now_s(),
            warnings=self._warnings,
        )

    def _run(self, on_start: Callable[[float], None]) -> dict[str, Fingerprint]:
        order = self._order
        stopped = self._control.begin()
        if stopped is not None:
            raise AttemptError(stopped)
        record = records.claim(
            self._place,
            records.Started(
                task=order.task,
                attempt=order.attempt,
                host=HOST,
                worker_pid=os.getpid(),
                at_s=self._began_s,
            ),
        )
        try:
            inputs = _check_inputs(order, self._place.workdir)
            self._input_bytes = sum(one.st_size for one in inputs)
            child = self._replace(_make_way(order, self._place, inputs))
            records.note_pid(record, child.pid)
        finally:
            os.close(record)
        self._see_through(child, on_start)
        try:
            return check_outputs(order, self._place.workdir, digest=self._place.digests)
        except AttemptError as error:  # perhaps by what was left behind, had it lived on
            told = "; ".join((error.failure.message, *self._warnings))
            raise AttemptError(replace(error.failure, message=told)) from None

    def _replace(self, replaced: Sequence[str]) -> Child:
        """Start the executable in the place of what was made before; that stays if it cannot be.

        What is set aside when we are killed is taken for gone: the attempt that follows removes it.
        """
        aside: list[tuple[str, str]] = []
        try:
            for number, path in enumerate(replaced):
                kept = _aside(path, number, self._order)
                _remove(kept)
                with suppress(FileNotFoundError):  # it lay in what was set aside before
                    os.rename(path, kept)  # noqa: PTH104
                    aside.append((path, kept))
            child = self._launch()
        except BaseException:
            for path, kept in reversed(aside):
                os.rename(kept, path)  # noqa: PTH104
            raise
        for _, kept in aside:
            _remove(kept)
        return child

    def _launch(self) -> Child:
        order, place = self._order, self._place
        environment = self._scene.environment(order)
        command = commands.sourced(self._command, place.source)
        stdout, stderr = (_open_log(place.workdir, path) for path in log_paths(order, place))
        try:
            self._began_s = now_s()
            return Child(
                command,
                cwd=place.workdir,
                environment=environment,
                markers=procfs.markers(place.run, order.task, order.attempt),
                stdout=stdout,
                stderr=stderr,
            )
        except OSError as error:
            path = os.fsdecode(environment.get(b"PATH", os.defpath))
            raise AttemptError(failures.not_launched(order, command, path, error)) from error
        except ValueError as error:
            raise AttemptError(failures.no_command_line(order, error)) from error
        finally:
            os.close(stdout)
            os.close(stderr)

    def _see_through(self, child: Child, on_start: Callable[[float], None]) -> None:
        """Wait for the end of the executable, whatever ends it, and judge it."""
        order, place = self._order, self._place
        watch = Watch(
            child.tree,
            interval_s=place.sample_interval_s,
            ram_limit_bytes=order.needs.ram_bytes if place.enforce_ram else None,
            on_excess=lambda excess: self._control.stop(failures.over_ram(order, excess)),
        )
        began_s = monotonic()
        failure: Failure | None = None
        stubborn: tuple[str, ...] = ()
        try:
            woken = self._wait(child, watch, on_start)
            if woken is not Woken.ENDED:
                failure, stubborn = self._kill(child, woken)
        finally:
            _SAMPLER.remove(watch)
        status, usage, left = child.reap()
        self._left_s = monotonic()
        self._profile = self._used(self._left_s - began_s, usage, watch)
        if left:
            self._warnings = (failures.left_behind(left),)
        if failure is None and status != 0:
            failure = self._asked(os.waitstatus_to_exitcode(status))
        if failure is not None:
            raise AttemptError(failures.with_evidence(failure, stubborn, self._profile.cpu_s))
        self._judge(status)

    def _judge(self, status: int) -> None:
        """Fail if the executable ended badly on its own, or the kernel killed a part of it."""
        order, place, profile = self._order, self._place, self._profile
        kills = oom.kills() - self._kills
        is_killed = os.waitstatus_to_exitcode(status) in _SIGKILLED
        is_near = profile.peak_ram_bytes >= _NEAR * order.needs.ram_bytes
        if (kills and (is_killed or is_near)) or (is_killed and is_near):
            end, peak = failures.end_text(status), profile.peak_ram_bytes
            raise AttemptError(failures.out_of_memory(order, end, kills, peak, profile.samples))
        if status != 0:
            _, stderr = log_paths(order, place)
            raise AttemptError(failures.bad_end(order, place, status, stderr))
        if kills:
            self._warnings += (failures.killed_meanwhile(kills),)

    def _used(self, wall_s: float, usage: struct_rusage, watch: Watch) -> Profile:
        """Return what the executable used; the time of the checks is not known yet."""
        last = watch.samples[-1] if watch.samples else None
        return Profile(
            wall_s=round(wall_s, 6),
            cpu_s=round(max(usage.ru_utime + usage.ru_stime, last.cpu_s if last else 0.0), 6),
            peak_ram_bytes=_peak_ram(usage, watch),
            read_bytes=max(512 * usage.ru_inblock, last.read_bytes if last else 0),
            written_bytes=max(512 * usage.ru_oublock, last.written_bytes if last else 0),
            input_bytes=self._input_bytes,
            launch_s=round(self._left_s - wall_s - self._arrived_s, 6),
            samples=tuple(watch.samples),
        )

    def _wait(self, child: Child, watch: Watch, on_start: Callable[[float], None]) -> Woken:
        """Wait for the end of the executable, or for what is to end it.

        Time in which it could not run, as the host hung or all is held, is not its own.
        """
        limit_s = self._order.needs.walltime_s if self._place.enforce_walltime else inf
        age_s = LONG_S
        try:
            wake = self._control.open()
            woken = child.wait(timeout_s=min(age_s, limit_s), wake=wake)
            if woken is Woken.LATE:
                guard.keep(trees.are_open)
                on_start(self._began_s)
                _SAMPLER.add(watch)
            while woken is Woken.LATE and age_s < limit_s:
                watch.peek()
                sampled = age_s > self._place.sample_interval_s
                step_s = min(_SHARE * limit_s if sampled else age_s, limit_s - age_s)
                until_s = monotonic() + step_s + _STALL_S
                woken = child.wait(timeout_s=step_s, wake=wake)
                if monotonic() < until_s and not trees.are_held():
                    age_s += step_s
        finally:
            self._control.close()
        return woken

    def _asked(self, exit_code: int) -> Failure | None:
        """Return why an executable that ended badly was to end, None if it was not.

        A batch system tells all processes of a job to end; the executable may be quicker than we
        are to hear of it.
        """
        if exit_code in _KILLED:
            poll = select.poll()
            poll.register(self._control.open(), select.POLLIN)
            poll.poll(_HEARSAY_MS)
            self._control.close()
        return self._control.failure

    def _kill(self, child: Child, woken: Woken) -> tuple[Failure | None, tuple[str, ...]]:
        """Kill the executable; return why it had to be, and what SIGTERM did not end."""
        late = woken is Woken.LATE
        failure = failures.over_walltime(self._order) if late else self._control.failure
        return failure, child.kill(grace_s=self._place.grace_s)


def _check_inputs(order: Order, workdir: str) -> list[os.stat_result]:
    """Return what is known of the input files."""
    missing, found = [], []
    for given in order.inputs:
        if given.is_file and given.text:
            try:
                found.append(os.stat(os.path.join(workdir, given.text)))  # noqa: PTH116, PTH118
            except (OSError, ValueError):
                missing.append((given.port, given.text))
    if missing:
        raise AttemptError(failures.missing_inputs(order, missing))
    return found


def _make_way(order: Order, place: Place, inputs: Sequence[os.stat_result]) -> list[str]:
    """Make the directories an executable expects; return what an earlier attempt left there."""
    workdir = place.workdir
    taken = {one.text for one in order.inputs if one.is_file} & {o.path for o in order.outputs}
    if taken:
        raise AttemptError(failures.input_is_output(order, min(taken)))
    _make_log_directory(f"{workdir}/{place.logdir}/{order.task}", order.attempt)
    _make_directory(f"{workdir}/data")
    left: dict[str, None] = {}
    fresh = {order.task} if _make_directory(f"{workdir}/{order.task}") else set()
    for output in order.outputs:
        directory, _, _ = output.path.rpartition("/")
        if directory in fresh:
            continue
        path = f"{workdir}/{output.path}"
        if directory != order.task:
            _make_directory(f"{workdir}/{directory}")
        try:
            if _is_one_of(os.lstat(path), inputs):
                raise AttemptError(failures.input_is_output(order, output.path))
        except FileNotFoundError:
            continue
        left[path] = None
    return [*left]


def _aside(path: str, number: int, order: Order) -> str:
    """Return where what an attempt replaces is kept until it has begun, beside it."""
    directory = path.rpartition("/")[0]
    return f"{directory}/.replaced-{number}-{order.task[:60]}"


def _remove(path: str) -> None:
    """Remove a file or a folder that may be there."""
    try:
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        return
    except IsADirectoryError:
        shutil.rmtree(path)


def _is_one_of(found: os.stat_result, inputs: Sequence[os.stat_result]) -> bool:
    """Tell whether an input leads to a file that has no other name."""
    file = (found.st_dev, found.st_ino)
    return found.st_nlink == 1 and any((one.st_dev, one.st_ino) == file for one in inputs)


def _make_log_directory(folder: str, attempt: int) -> None:
    """Make the directory for logs; a first attempt removes those of attempts of earlier runs."""
    if not _make_directory(folder) and attempt == 1:
        for name in filter(_FURTHER_LOG.fullmatch, os.listdir(folder)):  # noqa: PTH208
            os.unlink(f"{folder}/{name}")  # noqa: PTH108


def _make_directory(path: str) -> bool:
    """Make a directory and say whether it is new."""
    try:
        os.mkdir(path)  # noqa: PTH102
    except FileExistsError:
        return False
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.makedirs(path)  # noqa: PTH103
    return True


def _open_log(workdir: str, path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
    return os.open(f"{workdir}/{path}", flags, 0o666)


def _peak_ram(usage: struct_rusage, watch: Watch) -> int:
    """Return the peak RAM of the tree, 0 if it is not known; never more than it was.

    The kernel's figure for a child starts from the size of the process that launched it, so it
    means something only where it is the larger one.
    """
    launched, own = (1024 * one.ru_maxrss for one in (usage, getrusage(RUSAGE_SELF)))
    return max(watch.peak_rss_bytes, launched if launched > own else 0)


def _failed(receipt: Receipt, failure: Failure) -> Receipt:
    return replace(receipt, failure=failure, outputs={})
