"""The command line: click commands, exit codes, text and JSON output.

Rule: nothing here decides about a run; `euclid_dask.api` does, and `euclid_dask.report` words
what is told. Commands are imported when they are called, so that the command line starts fast.
"""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Be the command `euclid-dask`; end the process with its exit code."""
    _open_closed_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _Interrupt())
    try:
        from euclid_dask.cli.app import app  # noqa: PLC0415  inside, so that Ctrl-C is quiet

        app.main(prog_name="euclid-dask")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:  # all is said: end with the exit code, and without a word on one more SIGINT
        sys.unraisablehook = lambda _: None
        exec("")  # noqa: S102  else CPython ends by SIGINT where code in a string was interrupted
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Interrupt:
    """Raise KeyboardInterrupt at the first SIGINT only: what it ends must not be cut short."""

    def __init__(self) -> None:
        self.heard = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if not self.heard:
            self.heard = True
            raise KeyboardInterrupt


def _open_closed_streams() -> None:
    """Connect closed standard streams to nothing; files we open would get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
