"""The guard's own program: wait for the death of a process, then kill what carries its mark.

It is run by path, as `guard_program.py PID MARK`, and imports little, so that it starts fast.
"""

import os
import signal
import sys
from contextlib import suppress
from select import POLLIN, poll
from typing import Final

MARK: Final = "EUCLID_DASK_GUARD"
"""The variable that executables get, so that they are found."""

_ROUNDS = 500
_ROUND_MS = 20
_QUIET_ROUNDS = 3


def _main(guarded: int, mark: str) -> None:
    _wait_for_death(guarded)
    quiet = 0
    for _ in range(_ROUNDS):
        quiet = 0 if _kill_marked(mark) else quiet + 1
        if quiet == _QUIET_ROUNDS:
            return
        poll().poll(_ROUND_MS)


def _wait_for_death(parent: int) -> None:
    with suppress(OSError):
        handle = os.pidfd_open(parent)
        if os.getppid() == parent:
            waiting = poll()
            waiting.register(handle, POLLIN)
            waiting.poll()


def _kill_marked(mark: str) -> int:
    """Kill the processes that carry this mark; return how many there were."""
    needle = f"\0{MARK}={mark}\0".encode()
    killed = 0
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdecimal():
            continue
        with suppress(OSError):
            handle = os.pidfd_open(int(name))
            try:
                if needle in b"\0" + _environment(name) + b"\0":
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    killed += 1
            finally:
                os.close(handle)
    return killed


def _environment(pid: str) -> bytes:
    with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:  # noqa: PTH123
        return file.read()


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2])
