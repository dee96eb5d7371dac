"""The guard of this process: it outlives it by a moment and kills the executables left behind.

A runner or a Dask worker can be killed outright. Its executables would go on without limits, and
write where the next attempt writes. They carry the mark of this process in their environment;
when it is dead, the guard kills whatever carries that.
"""

import atexit
import os
import subprocess
import sys
from collections.abc import Callable
from threading import Lock
from typing import Final

from euclid_dask.worker import guard_program
from euclid_dask.worker.guard_program import MARK

_SALT: Final = os.urandom(6).hex()
_LOCK: Final = Lock()
_GUARDS: Final[dict[int, "subprocess.Popen[bytes]"]] = {}  # by whom they guard: a fork has none


def mark() -> dict[str, str]:
    """Return the variable by which the guard finds the executables of this process."""
    return {MARK: f"{os.getpid()}-{_SALT}"}


def pid() -> int:
    """Return the guard's process id, 0 if there is no guard."""
    guard = _GUARDS.get(os.getpid())
    return guard.pid if guard else 0


def keep(is_needed: Callable[[], bool]) -> None:
    """Have a guard; start it if it does not run.

    It is dismissed when this process ends in good order, unless `is_needed` says otherwise then.
    """
    with _LOCK:
        guard = _GUARDS.get(os.getpid())
        if guard is None:
            atexit.register(_dismiss, is_needed)
        if guard is None or guard.poll() is not None:
            _GUARDS[os.getpid()] = _start()


def _start() -> "subprocess.Popen[bytes]":
    program = [sys.executable, "-I", "-S", guard_program.__file__]
    return subprocess.Popen(
        [*program, str(os.getpid()), *mark().values()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={name: value for name, value in os.environ.items() if name != MARK},
        start_new_session=True,
    )


def _dismiss(is_needed: Callable[[], bool]) -> None:
    guard = _GUARDS.get(os.getpid())
    if guard is not None and not is_needed():
        guard.kill()
        guard.wait()
