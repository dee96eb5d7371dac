"""Is an output what it was declared to be? Checked when its producer ends, so the blame is right.

A file of any size is checked in constant memory.
"""

import json
import mmap
import os
import stat
from pathlib import Path
from typing import Final

import msgspec

from euclid_dask.core.attempts import Failure, FailureKind, Fingerprint, Order, OutputArgument
from euclid_dask.core.errors import InputError
from euclid_dask.data.xmlstream import XmlError
from euclid_dask.worker.failures import AttemptError, name_of
from euclid_dask.worker.fingerprints import fingerprint
from euclid_dask.worker.lists import parse_list
from euclid_dask.worker.products import file_names

_FITS_START: Final = b"SIMPLE  ="
_WHOLE_BYTES = 1 << 26
_FORMATS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class _BadOutputError(Exception):
    """What is wrong with an output, as the end of a sentence."""


def check_outputs(order: Order, workdir: str, *, digest: bool = False) -> dict[str, Fingerprint]:
    """Return the fingerprints of an attempt's outputs, by port; with `digest`, by content too.

    Raises:
        AttemptError: naming every output that is not what it should be.
    """
    found: dict[str, Fingerprint] = {}
    complaints: list[str] = []
    for output in order.outputs:
        try:
            status = _check(output, workdir)
            found[output.port] = fingerprint(Path(workdir), output.path, status, digest=digest)
        except _BadOutputError as error:
            complaints.append(f"output '{output.port}' ({output.path}) {error}")
    if complaints:
        message = f"{name_of(order)} ended well, but its " + "; its ".join(complaints)
        raise AttemptError(Failure(kind=FailureKind.OUTPUT, message=message, exit_code=0))
    return found


def _check(output: OutputArgument, workdir: str) -> os.stat_result:
    path = os.path.join(workdir, output.path)  # noqa: PTH118
    try:
        status = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        raise _BadOutputError(_missing(path)) from None
    except OSError as error:
        raise _BadOutputError(f"cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise _BadOutputError(f"is {_FORMATS.get(stat.S_IFMT(status.st_mode), 'no file')}")
    if status.st_size == 0:
        raise _BadOutputError("is empty")
    try:
        _check_content(output, path, status.st_size)
    except OSError as error:
        raise _BadOutputError(f"cannot be read: {error.strerror}") from None
    return status


def _missing(path: str) -> str:
    if os.path.islink(path):  # noqa: PTH114
        return f"is a link to {os.readlink(path)}, which does not exist"  # noqa: PTH115
    directory = Path(path).parent
    if not directory.is_dir():
        return "was not written, and its directory is gone"
    others = sorted(entry.name for entry in directory.iterdir())
    beside = f" (its directory holds: {', '.join(others[:5])})" if others else ""
    return f"was not written{beside}"


def _check_content(output: OutputArgument, path: str, size: int) -> None:
    if output.is_list:
        _check_list(path)
    elif output.mime_type == "xml":
        _check_xml(path)
    elif output.mime_type == "json":
        _check_json(path, size)
    elif output.mime_type == "fits":
        _check_fits(path)


def _check_list(path: str) -> None:
    try:
        parse_list(Path(path).read_bytes(), "")
    except InputError as error:
        raise _BadOutputError(
            error.message.replace("list file  ", "is a list file that ")
        ) from None


def _check_xml(path: str) -> None:
    try:
        file_names(Path(path))
    except XmlError as error:
        raise _BadOutputError(str(error)) from None


def _check_json(path: str, size: int) -> None:
    with open(path, "rb") as file:  # noqa: PTH123
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                msgspec.json.decode(content, type=msgspec.Raw)
            except (ValueError, RecursionError) as error:
                reason = str(error)
            else:
                return
        if size <= _WHOLE_BYTES:  # NaN, and encodings other than UTF-8
            try:
                json.load(file)
            except (ValueError, RecursionError) as error:
                reason = str(error)
            else:
                return
    raise _BadOutputError(f"is not JSON: {reason}")


def _check_fits(path: str) -> None:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        start = file.read(len(_FITS_START))
    if start != _FITS_START:
        raise _BadOutputError(f"is not FITS: it starts with {start!r}, not {_FITS_START!r}")
