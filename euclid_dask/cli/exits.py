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
from pathlib import Path
from typing import Final

import click

from euclid_dask.core.errors import EuclidDaskError, InternalError, SiteError

DONE: Final = 0
FAILED: Final = 1
REFUSED: Final = 2
OUR_MISTAKE: Final = 70
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

OF_STATE: Final = {"done": DONE, "failed": FAILED, "cancelled": INTERRUPTED}
"""The exit code of a run's state."""


class StoppedError(SiteError):
    """A run was stopped in the middle by the machine; it can go on later."""


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def guarded(command: Callable[[], object], arguments: Sequence[str]) -> int:
    """Run `command`; return its exit code, whatever becomes of it."""
    as_json = "--json" in arguments
    try:
        code = _flushed(command)
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except BrokenPipeError:
        code = _broken_pipe()
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    except (EuclidDaskError, click.ClickException, OSError) as error:
        code = _refuse(error, as_json=as_json)
    except Exception as error:  # noqa: BLE001  the outermost door: nobody shall see a traceback
        code = _confess(error, as_json=as_json)
    return code


def _flushed(command: Callable[[], object]) -> int:
    code = command()
    sys.stdout.flush()
    return code if isinstance(code, int) else DONE


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
            hint = "free some space; what is done is recorded: go on with `euclid-dask resume`"
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
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{' '.join(sys.argv)}\n\n{details}")
    return Path(name)


def _tell(message: str, hint: str, *, as_json: bool, state: str = "refused") -> None:
    if as_json:
        error = {"message": message, "hint": hint}
        click.echo(json.dumps({"state": state, "error": error}))
        return
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True)
    if hint:
        click.echo(click.style("  hint: ", fg="yellow") + hint, err=True)


def _broken_pipe() -> int:
    """Have Python close a pipe quietly that nobody reads any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
