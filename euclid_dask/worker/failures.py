"""Why an attempt failed, in one sentence: what, where, which log file, the last line of stderr."""

import errno
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from euclid_dask.core.attempts import Failure, FailureKind, Order, Place, Sample
from euclid_dask.core.values import replace
from euclid_dask.worker.sampler import Excess

_TAIL_BYTES = 4096
_LINE_CHARS = 300
_COMMAND_CHARS = 80
_MOST_COMMANDS = 5
_MOST_FOLDERS = 3
_CURVE = 3
_NEARLY_FULL_BYTES = 64 * 1024
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_TEXTS: Final = ("No space left on device", "Disk quota exceeded")
_SHORTAGES: Final[Mapping[int | None, str]] = {
    errno.EMFILE: "this process has too many open files (see `ulimit -n`)",
    errno.ENFILE: "the machine has too many open files",
    errno.EAGAIN: "no more processes can be started (see `ulimit -u`)",
    errno.ENOMEM: "the machine has no memory left",
}


class AttemptError(Exception):
    """An attempt ends here with this failure; raised and caught inside this room only."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def name_of(order: Order) -> str:
    """Return the words by which a sentence names a task."""
    return f"task '{order.task}'"


def _shortened(command: str) -> str:
    return command if len(command) <= _COMMAND_CHARS else command[: _COMMAND_CHARS - 3] + "..."


def left_behind(commands: Sequence[str]) -> str:
    """Return the warning about processes that a task left behind and that were killed."""
    plural = "process" if len(commands) == 1 else "processes"
    return f"left {len(commands)} {plural} behind; killed: {_some(commands)}"


def missing_inputs(order: Order, missing: Sequence[tuple[str, str]]) -> Failure:
    """Return the failure of an attempt whose input files (port, path) are not there."""
    ports = ", ".join(f"'{port}': {path}" for port, path in missing)
    plural = "s do" if len(missing) > 1 else " does"
    return Failure(
        kind=FailureKind.INPUT,
        message=f"{name_of(order)} was not started: its input file{plural} not exist ({ports})",
    )


def input_is_output(order: Order, path: str) -> Failure:
    """Return the failure of an attempt that would write over one of its own inputs."""
    return Failure(
        kind=FailureKind.LAUNCH,
        message=f"{name_of(order)} was not started: it would write over its own input {path}; "
        "give it a copy elsewhere",
    )


def cancelled(order: Order) -> Failure:
    """Return the failure of an attempt that was killed on request."""
    return Failure(kind=FailureKind.CANCELLED, message=f"{name_of(order)} was cancelled")


def over_walltime(order: Order) -> Failure:
    """Return the failure of an attempt that ran too long."""
    return Failure(
        kind=FailureKind.WALLTIME,
        message=f"{name_of(order)} ran longer than its walltime of "
        f"{order.needs.walltime_s:g} s and was killed",
        used=order.needs.walltime_s,
    )


def over_ram(order: Order, excess: Excess) -> Failure:
    """Return the failure of an attempt whose processes used too much RAM."""
    plural = "es" if excess.processes > 1 else ""
    return Failure(
        kind=FailureKind.MEMORY,
        message=f"{name_of(order)} used {_gb(excess.used_bytes)} of RAM, "
        f"more than its {_gb(order.needs.ram_bytes)}, and was killed "
        f"({excess.processes} process{plural}, the largest: {_shortened(excess.largest)}, "
        f"{_gb(excess.largest_bytes)}{_curve(excess.samples)})",
        used=excess.used_bytes,
    )


def out_of_memory(
    order: Order, end: str, kills: int, peak_bytes: int, samples: Sequence[Sample]
) -> Failure:
    """Return the failure of an attempt of which the kernel killed something for lack of memory.

    `end` says how it ended, `kills` how many processes were killed so in its cgroup meanwhile.
    """
    plural = "es" if kills > 1 else ""
    told = f"; its cgroup lost {kills} process{plural} so" if kills else ""
    return Failure(
        kind=FailureKind.MEMORY,
        message=f"{name_of(order)} {end}: the kernel was out of memory and killed it, or a part "
        f"of it (SIGKILL, not by us{told}); of its {_gb(order.needs.ram_bytes)} of RAM it used "
        f"{_gb(peak_bytes)}{_curve(samples)}",
        used=peak_bytes,
    )


def killed_meanwhile(kills: int) -> str:
    """Return the warning that the kernel killed for lack of memory, perhaps a part of a task."""
    plural = "es" if kills > 1 else ""
    return (
        f"while it ran, the kernel was out of memory and killed {kills} process{plural} "
        "of this pilot, perhaps of this task: look at its outputs"
    )


def with_evidence(failure: Failure, stubborn: Sequence[str], cpu_s: float) -> Failure:
    """Add to a failure what was seen when it was killed: processes that SIGTERM did not end."""
    told = failure.message
    if failure.kind is FailureKind.WALLTIME:
        told += f"; it had used {cpu_s:.2f} s of CPU"
    if stubborn:
        told += f"; SIGTERM did not end {_some(stubborn)}, SIGKILL did"
    return replace(failure, message=told)


def _curve(samples: Sequence[Sample]) -> str:
    """Return the last samples of RAM in words, to be appended."""
    last = [f"{_gb(one.rss_bytes)} at {one.t_s:.3g} s" for one in samples[-_CURVE:]]
    return f"; before: {', '.join(last)}" if last else ""


def _gb(amount: float) -> str:
    return f"{amount / 1e9:.3g} GB"


def _some(commands: Sequence[str]) -> str:
    """Return commands, each once, the first ones of many."""
    told = list(dict.fromkeys(_shortened(command) for command in commands))
    told[_MOST_COMMANDS:] = ["..."] if len(told) > _MOST_COMMANDS else []
    return ", ".join(told)


def bad_end(order: Order, place: Place, status: int, stderr: str) -> Failure:
    """Return the failure of an executable that ended with a wait status other than 0.

    `stderr` is the path of its log, relative to the workdir.
    """
    tail = last_line(os.path.join(place.workdir, stderr))  # noqa: PTH118
    where = f"; its stderr is in {stderr}" + (f", last line: {tail}" if tail else " (empty)")
    if (full := full_disk(order, place, tail)) is not None:
        return full
    if os.WIFSIGNALED(status):
        return Failure(kind=FailureKind.SIGNAL, message=_signal_text(order, status) + where)
    code = os.waitstatus_to_exitcode(status)
    kind = FailureKind.EXIT
    if place.source.strip() and code in (126, 127) and f"exec: {order.command[0]}:" in tail:
        kind = FailureKind.LAUNCH
    return Failure(
        kind=kind,
        message=f"{name_of(order)} {end_text(status)}{where}",
        exit_code=code,
    )


def full_disk(order: Order, place: Place, tail: str = "") -> Failure | None:
    """Return a failure if the workdir's disk is full or `tail` says so, None if not."""
    told = any(text in tail for text in _FULL_TEXTS)
    if not told and not is_full(place.workdir):
        return None
    said = f"; last line of stderr: {tail}" if told else ""
    return Failure(
        kind=FailureKind.SYSTEM,
        message=f"{name_of(order)} failed since a disk is full: {_disk(place.workdir)}{said}",
    )


def is_full(path: str) -> bool:
    """Tell whether the file system of a folder is full, or nearly so."""
    free, inodes = _free(path)
    return free <= _NEARLY_FULL_BYTES or inodes <= 0


def not_launched(order: Order, command: Sequence[str], path: str, error: OSError) -> Failure:
    """Return the failure of a command that could not be started; `path` is its PATH."""
    if error.errno in _SHORTAGES:
        return _system(order, _SHORTAGES[error.errno])
    word = command[0]
    found = shutil.which(word, path=path)
    reason = {
        errno.ENOENT: _missing_command(word, found, path),
        errno.EACCES: f"{_where(word, path)} is not executable",
        errno.EPERM: f"{_where(word, path)} may not be executed",
        errno.ENOEXEC: f"{found or word} is neither a program nor a script with a #! line",
        errno.E2BIG: f"its command line and environment are too long "
        f"({sum(map(len, command))} characters in {len(command)} words)",
        errno.ETXTBSY: f"{found or word} is being written by somebody",
    }.get(error.errno or 0, f"{word}: {error.strerror}")
    return Failure(
        kind=FailureKind.LAUNCH, message=f"{name_of(order)} could not be started: {reason}"
    )


def no_command_line(order: Order, error: ValueError) -> Failure:
    """Return the failure of a command whose words no program can be given."""
    return Failure(
        kind=FailureKind.LAUNCH,
        message=f"{name_of(order)} could not be started: its command line holds an {error}",
    )


def system_failure(order: Order, place: Place, error: OSError) -> Failure:
    """Return the failure of an attempt for which we could not do our own part on the disk."""
    path = os.fsdecode(error.filename) if error.filename else place.workdir
    if error.errno in _FULL:
        reason = f"the disk is full: {_disk(path)}"
    elif error.errno == errno.EROFS:
        reason = f"{path} is on a read-only file system"
    elif error.errno in (errno.EACCES, errno.EPERM):
        reason = f"no permission to write {path}"
    elif error.errno in _SHORTAGES:
        reason = _SHORTAGES[error.errno]
    else:
        reason = f"{path}: {error.strerror}"
    return _system(order, reason)


def last_line(path: str) -> str:
    """Return the last line of a text file that is not blank, "" if there is none."""
    try:
        with Path(path).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    line = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return line if len(line) <= _LINE_CHARS else line[:_LINE_CHARS] + " ..."


def _system(order: Order, reason: str) -> Failure:
    return Failure(kind=FailureKind.SYSTEM, message=f"{name_of(order)} failed: {reason}")


def end_text(status: int) -> str:
    """Return how a wait status says that an executable ended, in words."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"was ended by {_signal_name(-code)}"
    return f"ended with exit code {code}{_code_hint(code)}"


def _signal_text(order: Order, status: int) -> str:
    number = os.WTERMSIG(status)
    hint = {
        signal.SIGKILL: ": not by us; perhaps the kernel, which was out of memory",
        signal.SIGXCPU: ": it used more CPU time than `ulimit -t` allows",
        signal.SIGXFSZ: ": it wrote a larger file than `ulimit -f` allows",
    }.get(signal.Signals(number) if number in _SIGNALS else signal.SIGTERM, "")
    return f"{name_of(order)} {end_text(status)}{hint}"


_SIGNALS: Final = frozenset(int(number) for number in signal.Signals)


def _signal_name(number: int) -> str:
    known = number in _SIGNALS
    return f"signal {number} ({signal.Signals(number).name})" if known else f"signal {number}"


def _code_hint(code: int) -> str:
    if code > 128 and code - 128 in _SIGNALS:
        return f" (a shell's word for: ended by {_signal_name(code - 128)})"
    if code == 127:
        return " (a shell's word for: command not found)"
    return " (a shell's word for: not executable)" if code == 126 else ""


def _missing_command(word: str, found: str | None, path: str) -> str:
    if found is not None:
        return f"{found} asks for an interpreter that does not exist ({_first_line(found)})"
    if "/" in word:
        return f"{word} does not exist"
    near = get_close_matches(word, _commands(path), n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    folders = path.split(os.pathsep)
    more = len(folders) - _MOST_FOLDERS
    told = os.pathsep.join(folders[:_MOST_FOLDERS]) + (f" and {more} more" if more > 0 else "")
    return f"there is no command '{word}' on the PATH ({told}){hint}"


def _first_line(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.readline(200).decode(errors="replace").strip()
    except OSError:
        return "unreadable"


def _commands(path: str) -> set[str]:
    names: set[str] = set()
    for directory in path.split(os.pathsep):
        if directory and os.path.isdir(directory):  # noqa: PTH112
            names.update(os.listdir(directory))  # noqa: PTH208
    return names


def _where(word: str, path: str) -> str:
    if "/" in word:
        return word
    places = (os.path.join(directory, word) for directory in path.split(os.pathsep))  # noqa: PTH118
    return next((place for place in places if os.path.exists(place)), word)  # noqa: PTH110


def _free(path: str) -> tuple[int, int]:
    try:
        status = os.statvfs(_existing(path))
    except OSError:
        return 1 << 62, 1
    inodes = status.f_favail if status.f_files else 1
    return status.f_bavail * status.f_frsize, inodes


def _disk(path: str) -> str:
    real = _existing(path)
    while not os.path.ismount(real):
        real = os.path.dirname(real)  # noqa: PTH120
    free, inodes = _free(real)
    short = " and no inodes" if inodes <= 0 else ""
    return f"{free} bytes{short} are free on the file system of {real}"


def _existing(path: str) -> str:
    real = os.path.realpath(path)
    while not os.path.exists(real):  # noqa: PTH110
        real = os.path.dirname(real)  # noqa: PTH120
    return real
