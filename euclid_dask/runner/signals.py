"""Signals to a runner's process become requests to cancel its runs, or to leave them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from euclid_dask.runner.inbox import CancelNews
from euclid_dask.runner.loop import Runner


@contextmanager
def cancel_on_signals(runner: Runner, *, spare_pilots: bool = False) -> Iterator[None]:
    """Cancel on SIGINT (a second one kills what runs), and on SIGTERM and SIGHUP (at once).

    With `spare_pilots`, SIGTERM and SIGHUP stop the runner only, and its runs can be taken up.
    A SIGHUP that is ignored, as by `nohup`, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = 0

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen > 2:
            return  # at once: a flood of signals nests its handlers, and must not fill the inbox
        name = signal.Signals(number).name
        if spare_pilots and number != signal.SIGINT:
            runner.leave(f"{name} was received")
            return
        now = seen > 1 or number != signal.SIGINT
        runner.inbox.put(CancelNews(reason=f"{name} was received", now=now))

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
