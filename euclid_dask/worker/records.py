"""What an attempt leaves in the records directory: that it was started, and how it ended.

`<task>.<n>.started` is created exclusively, so an attempt is started once, whoever asks.
`<task>.<n>.receipt.json` appears by rename, whole or not at all; it decides.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

from euclid_dask.core.attempts import Place, Receipt
from euclid_dask.core.ids import TaskId
from euclid_dask.core.values import Value, json_reader, to_json

_PID = re.compile(rb"^\d+$")


class AlreadyStartedError(Exception):
    """The attempt was started before, by whomever, and has left no receipt."""


class Started(Value, frozen=True, kw_only=True):
    """The first line of a started record; `worker_pid` is the process that ran the attempt.

    `pid`, the executable's process, stands on the second line: 0 if it was not yet known.
    """

    task: TaskId
    attempt: int
    host: str
    worker_pid: int
    at_s: float
    pid: int = 0


_read_receipt = json_reader(Receipt)
_read_started = json_reader(Started)


def started_path(records: str, task: TaskId, attempt: int) -> str:
    """Return where it is written that an attempt was started."""
    return f"{records}/{task}.{attempt}.started"


def receipt_path(records: str, task: TaskId, attempt: int) -> str:
    """Return where it is written how an attempt ended."""
    return f"{records}/{task}.{attempt}.receipt.json"


def claim(place: Place, started: Started) -> int:
    """Write that an attempt is started; return the open file, for `note_pid`.

    Raises:
        AlreadyStartedError: if it was started before.
    """
    path = started_path(place.records, started.task, started.attempt)
    try:
        file = _create(path, os.O_EXCL)
    except FileExistsError as error:
        raise AlreadyStartedError from error
    try:
        os.write(file, to_json(started) + b"\n")
    except OSError:
        os.close(file)
        raise
    return file


def note_pid(file: int, pid: int) -> None:
    """Write the process of a started attempt behind its record, if the disk has room for it."""
    with suppress(OSError):  # its markers find the process too
        os.write(file, b"%d\n" % pid)


def write_receipt(place: Place, receipt: Receipt) -> None:
    """Write how an attempt ended."""
    path = receipt_path(place.records, receipt.task, receipt.attempt)
    half = f"{path}.{os.getpid()}.tmp"
    file = _create(half, os.O_TRUNC)
    try:
        _write_all(file, to_json(receipt))
        os.rename(half, path)  # noqa: PTH104
    except OSError:
        Path(half).unlink(missing_ok=True)
        raise
    finally:
        os.close(file)


def read_receipt(records: str, task: TaskId, attempt: int) -> Receipt | None:
    """Return the receipt of an attempt, None if it left none that can be read."""
    try:
        with open(receipt_path(records, task, attempt), "rb", buffering=0) as file:  # noqa: PTH123
            return _read_receipt(file.read())
    except (FileNotFoundError, ValueError):
        return None


def read_started(records: str, task: TaskId, attempt: int) -> Started | None:
    """Return the started record of an attempt, None if there is none.

    A record whose writer died in the middle of it counts: the attempt may have been started.
    """
    try:
        content = Path(started_path(records, task, attempt)).read_bytes()
    except FileNotFoundError:
        return None
    return _parse_started(content, task, attempt)


def _parse_started(content: bytes, task: TaskId, attempt: int) -> Started:
    line, _, rest = content.partition(b"\n")
    pid = int(rest) if _PID.match(rest.strip()) else 0
    try:
        first = _read_started(line)
    except ValueError:
        return Started(task=task, attempt=attempt, host="", worker_pid=0, at_s=0.0, pid=pid)
    return Started(
        task=first.task,
        attempt=first.attempt,
        host=first.host,
        worker_pid=first.worker_pid,
        at_s=first.at_s,
        pid=pid,
    )


def _create(path: str, flags: int) -> int:
    flags |= os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - not the fast path
        return os.open(path, flags, 0o666)


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]
