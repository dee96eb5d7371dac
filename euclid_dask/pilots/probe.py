"""The program of a probe job: what a node sees of the workspace and of the runner.

    python -m euclid_dask.pilots.probe --folder DIR --address HOST:PORT

It answers by a file in the folder, which the runner has made and put a file into.
"""

import argparse
import fcntl
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from euclid_dask.core.ids import PilotId
from euclid_dask.core.values import Value, to_json
from euclid_dask.pilots.lease import Lease, lease_path
from euclid_dask.pilots.selftest import troubles
from euclid_dask.worker.clock import now_s

QUESTION: Final = "question"
ANSWER: Final = "answer.json"
PROBE: Final = PilotId("probe")
"""The pilot of which the lease is tried."""
_PATIENCE_S: Final = 15.0


class Answer(Value, frozen=True, kw_only=True):
    """What a node says: `seen` is the text of the runner's file; troubles are "" where all is well.

    `exclusive` tells what is wrong with making a file that may not be there yet, `locked` with a
    lock that the runner's side holds, `leased` with the lease that it has made, `reached` with the
    way back to the runner, `unfit` with the host as a place for tasks.
    """

    host: str
    seen: str = ""
    exclusive: str = ""
    locked: str = ""
    leased: str = ""
    reached: str = ""
    unfit: tuple[str, ...] = ()


def main(words: Sequence[str] | None = None) -> int:
    """Look around, and answer; return the exit code."""
    parser = argparse.ArgumentParser(description="Tell what this node sees of a site.")
    parser.add_argument("--folder", type=Path, required=True, help="where to answer")
    parser.add_argument("--address", required=True, help="where the runner listens, HOST:PORT")
    parser.add_argument("--scratch", default="", help="folder here; by default $TMPDIR")
    parser.add_argument("--source", default="", help="shell text that tasks source")
    options = parser.parse_args(words)
    folder: Path = options.folder
    scratch = os.path.expandvars(options.scratch) or os.environ.get("TMPDIR", "/tmp")  # noqa: S108
    question = ""
    with suppress(OSError):
        question = (folder / QUESTION).read_text()
    answer = Answer(
        host=os.uname().nodename,
        seen=question,
        exclusive=_exclusive(folder / QUESTION),
        locked=_locked(folder / QUESTION),
        leased=_leased(folder),
        reached=_reached(options.address, question),
        unfit=tuple(
            troubles(workspace=folder, scratch=Path(scratch), disk_bytes=0, source=options.source)
        ),
    )
    _write(folder, to_json(answer))
    return 0


def _exclusive(there: Path) -> str:
    """Say what happens when a file is to be made that is there."""
    try:
        os.close(os.open(there, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
    return "a file that is there can be made once more (O_EXCL)"


def _locked(there: Path) -> str:
    """Say what happens when a file is to be locked that the runner's side has locked."""
    try:
        with there.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
    return "a file that is locked on another host can be locked once more (flock)"


def _leased(folder: Path) -> str:
    """Take up the lease that the runner's side has made, and give it back; say what goes wrong."""
    try:
        lease = Lease(lease_path(folder, PROBE), 0.0, hold=_ignored, wake=_ignored)
    except OSError as error:
        return f"{error.strerror or error}: {error.filename}"
    lease.release()
    return ""


def _ignored(*_: object) -> None:
    """Take no notice: nothing runs by the lease."""


def _reached(address: str, question: str) -> str:
    """Tell the runner this host's time, by its question; return what goes wrong."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _PATIENCE_S) as link:
            link.sendall(f"{question} {now_s()}\n".encode())
    except OSError as error:
        return str(error.strerror or error)
    return ""


def _write(folder: Path, content: bytes) -> None:
    half = folder / f".{ANSWER}"
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    half.rename(folder / ANSWER)


if __name__ == "__main__":
    sys.exit(main())
