"""Runs of groups of a campaign at once, each in a process of its own.

Rule 1: a process ends with the one that started it: its stdin is a pipe that nobody writes to.
Rule 2: a signal is passed on, and no other group is begun after it.
Rule 3: what a process does not tell after a signal is that it was cancelled, before its run began.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

from euclid_dask.api.campaigns import Row
from euclid_dask.cli.exits import INTERRUPTED
from euclid_dask.data.grouping import Group

_INTERRUPTED: Final = frozenset(
    {INTERRUPTED, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP}  # a batch system may signal all
)


class GroupProcesses:
    """Carries out runs of groups; `words` are those of `run`, without which group it is."""

    def __init__(self, words: Sequence[str], tell: Callable[[Row], None]) -> None:
        self._words = words
        self._tell = tell
        self._living: set[subprocess.Popen[str]] = set()
        self._signal: int | None = None

    @property
    def interrupted(self) -> bool:
        """Whether a signal came."""
        return self._signal is not None

    def carry_out(self, group: Group) -> Row:
        """Have a process carry out the run of a group; return how it stands in the end."""
        if self.interrupted:
            return Row(group=group, state="planned")
        code, stdout, stderr = self._ended(f"--only={group.folder}")
        row = _row(group, stdout) or self._untold(group, code, stderr)
        self._tell(row)
        return row

    def _untold(self, group: Group, code: int, stderr: str) -> Row:
        if self.interrupted or code in _INTERRUPTED:
            return Row(group=group, state="cancelled")
        last = (stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Row(group=group, state="failed", error=f"its process ended with {code}: {last}")

    def _ended(self, only: str) -> tuple[int, str, str]:
        line = [sys.executable, "-m", "euclid_dask", "run", only, *self._words]
        its_end, our_end = os.pipe()
        try:
            process = subprocess.Popen(
                line,
                stdin=its_end,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="backslashreplace",
                start_new_session=True,  # the terminal's Ctrl-C comes to us alone
            )
        finally:
            os.close(its_end)
        self._living.add(process)
        try:
            if self._signal is not None:
                process.send_signal(self._signal)  # it came while the process was started
            stdout, stderr = process.communicate()
        finally:
            self._living.discard(process)
            os.close(our_end)
        return process.returncode, stdout, stderr

    @contextmanager
    def passing_signals(self) -> Iterator[None]:
        """Pass on to all processes what this one is sent."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._pass_on) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number
        for process in tuple(self._living):
            process.send_signal(number)


def _row(group: Group, stdout: str) -> Row | None:
    """Return what a process told of its group, None if it told nothing."""
    told: dict[str, Any] = {}
    with suppress(ValueError, IndexError):
        told = json.loads(stdout.splitlines()[-1])
    if groups := told.get("groups"):
        (one,) = groups
        outputs = {port: Path(path) for port, path in one["outputs"].items()}
        return Row(
            group=group, state=one["state"], run=one["run"], outputs=outputs, error=one["error"]
        )
    if error := told.get("error"):
        return Row(group=group, state="refused", error=error["message"])
    return None


def end_with_parent() -> None:
    """Have this process terminated as soon as the one that started it is gone."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_wait_for_end, name="end with parent", daemon=True).start()


def _wait_for_end() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
