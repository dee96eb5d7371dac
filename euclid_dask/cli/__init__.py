"""The command line: click commands, exit codes, text and JSON output.

Rule: nothing here decides about a run; `euclid_dask.api` does, and `euclid_dask.report` words
what is told. Commands are imported when they are called, so that the command line starts fast.
"""

import os
import signal
import sys


def main() -> None:
    """Be the command `euclid-dask`; end the process with its exit code."""
    _open_closed_streams()
    try:
        from euclid_dask.cli.app import app  # noqa: PLC0415  inside, so that Ctrl-C is quiet

        app.main(prog_name="euclid-dask")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said: end with the exit code


def _open_closed_streams() -> None:
    """Connect closed standard streams to nothing; files we open would get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
