"""What is done about a failed transfer: by what kind of failure it was, and how often it failed.

Rule: pure. Delays double with each failure, and differ between transfers, so that a thousand that
failed at once do not come back at once.
"""

import zlib
from typing import Final

from euclid_dask.data.model import Deletion, ErrorClass, Transfer

MOST_ATTEMPTS: Final = 8
LONGEST_S: Final = 300.0
FULL_PAUSE_S: Final = 300.0
"""How long nothing is written to a storage that is full."""
HIDDEN_S: Final = 60.0
"""How long a file may be there and not be seen by another host, as on NFS."""

PASSING: Final = frozenset(
    {
        *(ErrorClass.NETWORK, ErrorClass.TIMEOUT, ErrorClass.BUSY, ErrorClass.IO),
        *(ErrorClass.AWAY, ErrorClass.FULL, ErrorClass.MISSING, ErrorClass.CONTENT),
    }
)
"""Failures that may pass. The others are of the site or of the registry: a person is needed."""

ENDLESS: Final = frozenset({ErrorClass.AWAY, ErrorClass.FULL, ErrorClass.BUSY})
"""Failures of a storage and not of the transfer: it waits for as long as they last."""


def retry_in_s(
    transfer: Transfer, kind: ErrorClass, retry_after_s: float | None = None
) -> float | None:
    """Return after how many seconds to try again, or None when it is of no use.

    Args:
        transfer: As it was claimed, with the failures before this one.
        kind: What went wrong now.
        retry_after_s: What the server asked for, if it did.
    """
    if kind not in PASSING:
        return None
    if transfer.attempts + 1 >= MOST_ATTEMPTS and kind not in ENDLESS:
        return None
    return _delay_s(transfer.id, transfer.attempts, retry_after_s)


def removal_retry_in_s(
    deletion: Deletion, kind: ErrorClass, retry_after_s: float | None = None
) -> float | None:
    """Return after how many seconds to try again to remove a file, None when it is of no use.

    Args:
        deletion: As it was claimed; each claim is a try.
        kind: What went wrong now.
        retry_after_s: What the server asked for, if it did.
    """
    if kind not in PASSING or (deletion.fence >= MOST_ATTEMPTS and kind not in ENDLESS):
        return None
    return _delay_s(deletion.id, deletion.fence - 1, retry_after_s)


def _delay_s(key: int, attempts: int, retry_after_s: float | None) -> float:
    delay_s = min(LONGEST_S, 2.0 ** min(attempts, 20))
    chance = zlib.crc32(f"{key} {attempts}".encode()) / 2**32
    return max(retry_after_s or 0.0, delay_s * (0.75 + 0.5 * chance))


def is_missed(transfer: Transfer) -> bool:
    """Tell whether a source was looked for so long that it cannot merely be hidden for a while."""
    return 2.0**transfer.attempts > HIDDEN_S
