"""A small process that outlives this one by a moment and kills the executables it left behind.

A Dask worker can be killed outright; its executables would go on, and write where the next
attempt writes. The guard reads a pipe that only this process holds open. When the pipe ends, it
kills whatever carries this process's mark in its environment.

This file is also the guard's own program: it is run by path, and imports the library only.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from select import poll
from typing import Final

MARK: Final = "EUCLID_DASK_GUARD"
"""The variable that the executables inherit from the guarded process."""

_ROUNDS = 500
_ROUND_MS = 20
_QUIET_ROUNDS = 3


def start_guard() -> "subprocess.Popen[bytes]":
    """Start the guard of this process, and mark the environment that executables inherit.

    Keep what is returned: the guard acts when its stdin is closed, at the latest by our death.
    """
    mark = f"{os.getpid()}-{os.urandom(6).hex()}"
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=environment,
        start_new_session=True,
    )
    os.environ[MARK] = mark
    return guard


def kill_marked(mark: str) -> int:
    """Kill the processes that carry this mark; return how many there were."""
    needle = f"\0{MARK}={mark}\0".encode()
    killed = 0
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdecimal():
            continue
        with suppress(OSError):
            handle = os.pidfd_open(int(name))
            try:
                if needle in b"\0" + Path(f"/proc/{name}/environ").read_bytes() + b"\0":
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    killed += 1
            finally:
                os.close(handle)
    return killed


def _main(mark: str) -> None:
    with suppress(OSError):
        while os.read(0, 1):
            pass
    quiet = 0
    for _ in range(_ROUNDS):
        quiet = 0 if kill_marked(mark) else quiet + 1
        if quiet == _QUIET_ROUNDS:
            return
        poll().poll(_ROUND_MS)


if __name__ == "__main__":
    _main(sys.argv[1])
