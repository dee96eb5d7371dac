"""Carries out the copies that somebody waits for, until they have ended.

Rule: nobody who asks by name is told an old error: what waits for its next try is tried at once,
and what fails in a way that may pass is waited for.
"""

from collections.abc import Callable
from typing import Final, Protocol

from euclid_dask.core.seams import Clock
from euclid_dask.data.delivery import Copies
from euclid_dask.data.model import Transfer, TransferState
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.queues import Queues

PATIENCE_S: Final = 300.0
"""How long copies are waited for that fail in a way that may pass, in seconds."""
PAUSE_S: Final = 1.0
_GOES_ON: Final = frozenset({TransferState.RETRY, TransferState.RUNNING, TransferState.PUBLISHING})
"""States of a transfer after a mover has done what it could: it is tried again, or another's."""


class Drains(Protocol):
    """Carries out all transfers that can be claimed now, as a mover does."""

    def drain(self) -> object:
        """Return when there are none."""


def carry(
    registry: Registry,
    mover: Drains,
    copies: Copies,
    clock: Clock,
    pause: Callable[[float, str], object],
    *,
    patience_s: float = PATIENCE_S,
) -> list[Transfer]:
    """Queue copies, and have them made; return their transfers as they ended, or stand.

    Args:
        registry: Has the queue.
        mover: Makes copies, also others that are in the queue.
        copies: Files, and the storages that are to have them.
        clock: Tells how long it takes.
        pause: Waits for so many seconds, and is told why.
        patience_s: How long is waited for what fails, or what other movers have, in seconds.

    Raises:
        InputError: A file or storage is not known, or there is nothing to copy from.
    """
    registry.transfers.enqueue(copies)
    Queues(registry.database).hurry([one.id for one in _last(registry, copies)])
    until_s = clock.now_s() + patience_s
    mover.drain()
    while True:
        ended = _last(registry, copies)
        waiting = [one for one in ended if one.state in _GOES_ON]
        if not waiting or clock.now_s() >= until_s:
            return ended
        pause(PAUSE_S, waiting[0].error or f"another mover has {waiting[0].file}")
        mover.drain()


def _last(registry: Registry, copies: Copies) -> list[Transfer]:
    """Return the newest transfer of each copy, if there is one."""
    found = {
        (one.file, one.destination): one
        for one in registry.transfers.of_files([name for name, _ in copies])
    }
    return [found[copy] for copy in copies if copy in found]
