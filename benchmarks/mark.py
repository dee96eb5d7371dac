"""How an adapter tells the driver that its engine is done, before it takes everything down."""

import os
import time


def done() -> None:
    """Append the mark to the log of the tasks."""
    line = f"done - {time.monotonic_ns()} {os.getpid()}\n"
    log = os.open(os.environ["TICK_LOG"], os.O_WRONLY | os.O_APPEND)
    os.write(log, line.encode())
    os.close(log)
