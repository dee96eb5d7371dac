"""One try of a task: what is asked of a pilot, and what it answers."""

from enum import StrEnum

from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.values import Value


class FailureKind(StrEnum):
    """Why an attempt did not succeed."""

    EXIT = "exit"
    """The executable ended with an exit code other than 0."""
    SIGNAL = "signal"
    """The executable was ended by a signal that was not ours."""
    WALLTIME = "walltime"
    """It ran longer than its declared walltime and was killed."""
    MEMORY = "memory"
    """Its process tree used more than its declared RAM and was killed."""
    OUTPUT = "output"
    """It ended well, but a declared output is missing or not what it should be."""
    INPUT = "input"
    """An input file was not there when the attempt was to start."""
    LAUNCH = "launch"
    """The command could not be started."""
    SYSTEM = "system"
    """The machine failed us: disk full, no more processes."""
    LOST = "lost"
    """The pilot or the runner died under it."""
    EXPIRED = "expired"
    """The pilot reached its walltime under it; that is nobody's fault."""
    CANCELLED = "cancelled"
    """We killed it on request."""
    OMITTED = "omitted"
    """It was left out of the run, and an output of it that is needed is not there."""
    UNPLACEABLE = "unplaceable"
    """No pilot is large enough for it."""


class Failure(Value, frozen=True, kw_only=True):
    """Why an attempt did not succeed: a kind for machines and one sentence for people.

    `used` is what it used, as far as is known, of what it had too little of: bytes or seconds.
    """

    kind: FailureKind
    message: str
    exit_code: int | None = None
    used: float = 0.0


class Fingerprint(Value, frozen=True, kw_only=True):
    """A file as it stood: path relative to the workdir, size in bytes, mtime in nanoseconds.

    `named` is a digest of the same of all files that a list or product names, "" if it names none
    (or if it was not noted, in old journals). `content` is the identity of its content and of
    theirs, where files are compared by it.
    """

    path: str
    size: int
    mtime_ns: int
    named: str = ""
    content: str = ""


class Sample(Value, frozen=True, kw_only=True, array_like=True):
    """The process tree at one moment: seconds since the start, CPU s so far, RSS and IO bytes."""

    t_s: float
    cpu_s: float
    rss_bytes: int
    read_bytes: int
    written_bytes: int


class Profile(Value, frozen=True, kw_only=True):
    """What an attempt used: CPU seconds, bytes, seconds of wall time.

    `peak_ram_bytes` is 0 if it is unknown: the attempt was too short to be looked at, and smaller
    than the process that launched it. It is never more than was used. `input_bytes` are the sizes
    of its input files, without what these name. `launch_s` is the time on the pilot until the
    executable ran, `check_s` that from its end until its outputs were checked.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_ram_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    input_bytes: int = 0
    launch_s: float = 0.0
    check_s: float = 0.0
    samples: tuple[Sample, ...] = ()


class InputArgument(Value, frozen=True, kw_only=True):
    """An input of an attempt: `text` is a path relative to the workdir, or a constant."""

    port: str
    text: str
    is_file: bool = True


class OutputArgument(Value, frozen=True, kw_only=True):
    """An output of an attempt: where it must be written, relative to the workdir, and as what."""

    port: str
    path: str
    mime_type: str
    is_list: bool = False


class Order(Value, frozen=True, kw_only=True):
    """All that a pilot must know to run one attempt."""

    task: TaskId
    attempt: int
    executable: str
    command: tuple[str, ...]
    inputs: tuple[InputArgument, ...]
    outputs: tuple[OutputArgument, ...]
    needs: Resources


class Place(Value, frozen=True, kw_only=True):
    """Where a run's attempts work, and how: the part of an order that all of a run share.

    `workdir` and `records` are absolute; `logdir` is relative to the workdir. `source` is a shell
    text sourced before the command, "" for none; `environment` is added to the pilot's own.
    `enforce_ram` and `enforce_walltime` say whether an excess is fatal, `digests` whether outputs
    are noted by content too. `grace_s` is the time between SIGTERM and SIGKILL.
    """

    run: RunId
    workdir: str
    logdir: str
    records: str
    source: str = ""
    environment: dict[str, str] = {}
    enforce_ram: bool = True
    enforce_walltime: bool = True
    grace_s: float = 3.0
    sample_interval_s: float = 1.0
    digests: bool = False


class Receipt(Value, frozen=True, kw_only=True):
    """How an attempt ended. `failure` is None when it succeeded. Times are seconds since epoch.

    `command` is the exact command line. `warnings` are sentences for the user.
    """

    task: TaskId
    attempt: int
    command: tuple[str, ...] = ()
    outputs: dict[str, Fingerprint] = {}
    failure: Failure | None = None
    profile: Profile = Profile()
    host: str = ""
    started_s: float = 0.0
    ended_s: float = 0.0
    warnings: tuple[str, ...] = ()
