"""What we keep in a workdir: `<workdir>/.euclid-dask/`.

    lock                      held by the one runner that works here
    <run>/journal.jsonl       the truth about a run
    <run>/pilots.jsonl        which pilots it has, where nobody asks for pilots
    <run>/index.json          what it finished, in short; made again if it is gone
    <run>/attempts/           the records of its attempts (worker room)
    <run>/script/             the pipeline script as it was

Everything else in a workdir belongs to the user and to the executables.
"""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final, Self

from euclid_dask.core.errors import EuclidDaskError, InputError, WorkdirError
from euclid_dask.core.ids import RunId

RECORDS: Final = ".euclid-dask"
LOCK: Final = "lock"
"""The name of the lock, among the records."""
REGISTERED: Final = "registered.json"
"""What is registered of the workdir, and where: a file among the records."""
LOCK_TRIES: Final = 6
LOCK_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The paths of one run's own records."""

    folder: Path

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.folder / "journal.jsonl"

    @property
    def pilots(self) -> Path:
        """Which pilots the run has, where they are not those of a site."""
        return self.folder / "pilots.jsonl"

    @property
    def index(self) -> Path:
        """What the run finished, to be found quickly; the journal says it too."""
        return self.folder / "index.json"

    @property
    def attempts(self) -> Path:
        """The folder of started and receipt records."""
        return self.folder / "attempts"

    @property
    def script(self) -> Path:
        """The folder with a copy of the pipeline script."""
        return self.folder / "script"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workdir, and our records in it."""

    workdir: Path

    @property
    def records(self) -> Path:
        """The folder of our records."""
        return self.workdir / RECORDS

    def files(self, run: RunId) -> RunFiles:
        """Return the paths of a run's records."""
        return RunFiles(self.records / run)

    def runs(self) -> list[RunId]:
        """Return the runs that were started here, oldest first."""
        if not self.records.is_dir():
            return []
        names = [path.parent.name for path in self.records.glob("*/journal.jsonl")]
        return [RunId(name) for name in sorted(names, key=begun_of)]

    def find(self, run: str | None) -> RunId:
        """Return the run of that name or beginning, or the latest one for None.

        Raises:
            InputError: There is none, or several begin like that.
        """
        runs = self.runs()
        if not runs:
            raise InputError(
                f"no run was started in {self.workdir}", hint="start one: euclid-dask run SCRIPT"
            )
        if run is None:
            return runs[-1]
        matches = [known for known in runs if known == run] or [
            known for known in runs if known.startswith(run)
        ]
        if len(matches) != 1:
            raise InputError(
                f"{'no' if not matches else 'more than one'} run in {self.workdir} "
                f"is called {run!r}",
                hint=f"runs: {', '.join(runs[-10:])}",
            )
        return matches[0]

    def room_bytes(self) -> int:
        """Return how much a task may write here: the free disk, 0 if that is not known.

        Where runs have left work it is the whole disk, since what is done needs no more of it.
        """
        place = str(self.workdir)
        while not os.path.exists(place):  # noqa: PTH110  does not raise
            place = os.path.dirname(place)  # noqa: PTH120
        try:
            disk = shutil.disk_usage(place)
        except OSError:
            return 0
        return max(1, disk.total if self.runs() else disk.free)

    def create(self) -> tuple[Path, ...]:
        """Make the workdir and the folder of our records; return the folders that were not there.

        Raises:
            WorkdirError: That is not possible.
        """
        try:
            absent = (path for path in (self.records, *self.records.parents) if not path.exists())
            made = tuple(absent)
            self.records.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(self.workdir, error) from error
        return made

    @contextmanager
    def unless_refused(self, made: Collection[Path], lock: "Lock | None" = None) -> Iterator[None]:
        """Take back what was `made`, and our own `lock`, if what follows is refused."""
        try:
            yield
        except (EuclidDaskError, UnicodeEncodeError):
            self.take_back(made, lock)
            raise

    def take_back(self, made: Collection[Path], lock: "Lock | None" = None) -> None:
        """Remove the links and folders that were `made`, and our own `lock`.

        A folder stays if there is anything else, as the lock of another.
        """
        with suppress(OSError):
            if lock and self.records in made and os.listdir(self.records) == [LOCK]:  # noqa: PTH208
                (self.records / LOCK).unlink()
        _remove(made)


class Lock:
    """Says that a runner works in a workdir; let go when the process ends, however it ends.

    `made` are the folders that were not there before, and what is added to them.
    """

    def __init__(self, descriptor: int, made: set[Path]) -> None:
        self.made = made
        self._descriptor = descriptor

    @classmethod
    def take(cls, workspace: Workspace) -> Self:
        """Take the lock; who only looks whether it is taken has it for a moment too.

        The workdir is made if it is not there, and again if a run that was refused has taken it
        away meanwhile.

        Raises:
            WorkdirError: Another runner has it, or the workdir cannot be written.
        """
        made: set[Path] = set()
        for left in reversed(range(LOCK_TRIES)):
            made.update(workspace.create())
            try:
                descriptor = _locked(workspace.records / LOCK)
            except FileNotFoundError:
                descriptor = None
            except OSError as error:
                _remove(made)
                raise unusable(workspace.workdir, error) from error
            if descriptor is not None:
                with suppress(OSError):  # a full disk: nothing but our name is missing
                    os.ftruncate(descriptor, 0)
                    name = f"process {os.getpid()} on {os.uname().nodename}\n"
                    os.write(descriptor, name.encode())
                return cls(descriptor, made)
            if left:
                Event().wait(LOCK_PAUSE_S)
        _remove(made)
        known = holder(workspace)
        raise WorkdirError(
            f"another runner works in {workspace.workdir}" + (f" ({known})" if known else ""),
            hint="wait for it, or look at it: euclid-dask status "
            f"{workspace.workdir}; runs that go on at once need a workdir each",
        )

    def release(self) -> None:
        """Let go."""
        os.close(self._descriptor)


def _remove(made: Iterable[Path]) -> None:
    """Remove links, and folders in which there is nothing then."""
    for path in sorted(made, reverse=True):
        with suppress(OSError):
            if path.is_symlink():
                path.unlink()
            else:
                path.rmdir()


def _locked(path: Path) -> int | None:
    """Return the open lock, None if another has it, or it was removed while we took it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if not os.fstat(descriptor).st_nlink:
        os.close(descriptor)
        return None
    return descriptor


def holder(workspace: Workspace) -> str:
    """Return who has or had the lock last, in words; "" if nobody."""
    try:
        return (workspace.records / LOCK).read_text(errors="replace").strip()
    except OSError:
        return ""


def is_locked(workspace: Workspace) -> bool:
    """Tell whether a runner works in the workdir."""
    try:
        descriptor = os.open(workspace.records / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def unusable(workdir: Path, error: OSError) -> WorkdirError:
    """Return the error that says why a workdir cannot be used."""
    return WorkdirError(
        f"cannot use the workdir {workdir}: {error.strerror or error}"
        + (f" ({error.filename})" if error.filename else ""),
        hint="give another with --workdir, or free space and check its permissions",
    )


def begun_of(run: str) -> str:
    """Return the part of a run's id that says when it began."""
    return run.rsplit("-", 2)[-2] if run.count("-") >= 2 else ""
