"""Exit codes, and what is said when a command ends by an exception.

Every error becomes one message and one exit code here, and nowhere else: with `--json` on stdout
as an object, otherwise on stderr as text.
"""

import errno
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

import click

from euclid_dask.core.errors import (
    EuclidDaskError,
    InputError,
    InternalError,
    StoppedError,
    unwritable,
)
from euclid_dask.core.texts import without_passwords

DONE: Final = 0
FAILED: Final = 1
REFUSED: Final = 2
OUR_MISTAKE: Final = 70
INTERRUPTED: Final = 130

OF_STATE: Final = {"done": DONE, "failed": FAILED, "cancelled": INTERRUPTED}
"""The exit code of a run's state."""


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def guarded(command: Callable[[], object], arguments: Sequence[str]) -> int:
    """Run `command`; return its exit code, whatever becomes of it."""
    code = _called(command, arguments, as_json="--json" in arguments)
    for stream in (sys.stdout, sys.stderr):
        _empty(stream)
    return code


def _called(command: Callable[[], object], arguments: Sequence[str], *, as_json: bool) -> int:
    try:
        _refuse_odd_names(arguments)
        code = command()
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return INTERRUPTED
    except (EuclidDaskError, click.ClickException, OSError) as error:
        return _untold(error) if _is_of_echo(error) else _refuse(error, as_json=as_json)
    except Exception as error:  # noqa: BLE001  the outermost door: nobody shall see a traceback
        return _confess(error, as_json=as_json)
    return code if isinstance(code, int) else DONE


def _refuse_odd_names(arguments: Sequence[str]) -> None:
    """Refuse words and a current folder that are not UTF-8: a journal cannot hold them."""
    try:
        for text in (*arguments, os.getcwd()):  # noqa: PTH109
            text.encode()
    except UnicodeEncodeError as error:
        raise unwritable(error) from error
    except FileNotFoundError as error:
        raise InputError("the current folder was removed", hint="cd to another one") from error


def _refuse(error: Exception, *, as_json: bool) -> int:
    """Say what is wrong and what to do next; return the exit code."""
    match error:
        case InternalError():
            return _confess(error, as_json=as_json)
        case StoppedError(message=message, hint=hint):
            _tell(message, hint, as_json=as_json, state="failed")
            return FAILED
        case EuclidDaskError(message=message, hint=hint):
            pass
        case click.UsageError():
            message, hint = error.format_message(), _usage(error)
        case click.ClickException():
            message, hint = error.format_message(), ""
        case OSError() if error.errno in _FULL:
            message = f"the disk is full{_file_of(error)}"
            hint = "free some space, and call it again: what is done is not done again"
        case OSError(strerror=str(reason)) if error.filename:
            message, hint = f"{error.filename}: {reason}", ""
        case _:
            return _confess(error, as_json=as_json)
    _tell(message, hint, as_json=as_json)
    return REFUSED


def _usage(error: click.UsageError) -> str:
    context = error.ctx
    return f"see: {context.command_path} --help" if context is not None else ""


def _file_of(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""


def _confess(error: Exception, *, as_json: bool) -> int:
    """Write the details of a mistake of ours to a file, and say where."""
    details = "".join(traceback.format_exception(error))
    try:
        where = _written(details)
        told = f"the details are in {where}"
    except OSError:
        told = details
    summary = f"{type(error).__name__}: {error}".splitlines()[0]
    _tell(f"a mistake of euclid-dask ({summary}); {told}", "please report it", as_json=as_json)
    return OUR_MISTAKE


def _written(details: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="euclid-dask-error-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(without_passwords(f"{' '.join(sys.argv)}\n\n{details}"))
    return Path(name)


def _tell(message: str, hint: str, *, as_json: bool, state: str = "refused") -> None:
    if as_json:
        error = {"message": message, "hint": hint}
        with suppress(OSError):
            click.echo(json.dumps({"state": state, "error": error}))
        return
    _say(click.style("error: ", fg="red", bold=True) + message)
    if hint:
        _say(click.style("  hint: ", fg="yellow") + hint)


def _say(text: str) -> None:
    with suppress(OSError):
        click.echo(text, err=True)


def _is_of_echo(error: Exception) -> bool:
    """Tell whether an error is that of a stream which does not take what we say."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, OSError) and frames[-1].f_code is click.echo.__code__


def _untold(error: Exception) -> int:
    """Return the code of a command that cannot tell what it did; click sees to broken pipes."""
    _tell(f"cannot write to stdout: {getattr(error, 'strerror', error)}", "", as_json=False)
    return FAILED


def _empty(stream: TextIO) -> None:
    """Leave nothing in a stream that Python would fail to write at its end."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
