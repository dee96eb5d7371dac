"""The time on this host. Processes live in real time, so this room reads it here and only here."""

import time


def now_s() -> float:
    """Return the seconds since the epoch."""
    return time.time()  # noqa: TID251 - the one place


class SystemClock:
    """The clock of this host, as the seam `core.seams.Clock` wants it."""

    def now_s(self) -> float:
        """Return the seconds since the epoch."""
        return now_s()
