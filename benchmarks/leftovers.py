"""A benchmark that is ended, or killed, leaves nothing behind but its temporary directory."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from unittest.mock import patch


@contextmanager
def all_below(directory: Path | None) -> Iterator[Path]:
    """Give a temporary directory, in which all others are made too."""
    with TemporaryDirectory(prefix="data-room-", dir=directory) as scratch:
        Path(scratch).chmod(0o755)  # the servers run as others
        with patch.dict(os.environ, TMPDIR=scratch), patch.object(tempfile, "tempdir", scratch):
            yield Path(scratch)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Clean up when we are asked to end."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def guarded(command: str) -> Iterator[None]:
    """Have a command of the shell run when this ends, however it ends."""
    with subprocess.Popen(
        ["sh", "-c", f"read _; {command}"],
        stdin=subprocess.PIPE,  # is closed when we are gone
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ):
        yield
