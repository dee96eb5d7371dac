"""How long a driver waits for a server, and when slow is too slow."""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TypeVar

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import StorageError

T = TypeVar("T")


class Patience(Value, frozen=True, kw_only=True):
    """What is waited for."""

    timeout_s: float = 60.0
    """Seconds of silence after which a line is given up."""
    min_rate: float = 1000.0
    """Bytes per second that must come, on the average of `timeout_s` of waiting."""


def patience(options: Mapping[str, str]) -> Patience:
    """Return the patience that an access row's options ask for.

    Raises:
        InputError: when `timeout_s` or `min_rate` is no positive number.
    """
    asked = {}
    for name in ("timeout_s", "min_rate"):
        if name in options:
            try:
                asked[name] = float(options[name])
            except ValueError:
                asked[name] = -1.0
            if not 0 < asked[name] < float("inf"):
                raise InputError(f"option {name} is {options[name]!r}, not a positive number")
    return Patience(**asked)


class Pace:
    """Watches that bytes keep coming; only time spent waiting for them counts."""

    def __init__(self, patience: Patience, where: str) -> None:
        self._patience = patience
        self._where = where
        self._waited_s = 0.0
        self._came = 0

    def waiting(self, receive: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return what `receive` returns, which brings `size` bytes.

        Raises:
            StorageError: TIMEOUT when too few came for too long.
        """
        began = monotonic()
        came = receive()
        self._waited_s += monotonic() - began
        self._came += size(came)
        if self._waited_s >= self._patience.timeout_s:
            if self._came < self._patience.min_rate * self._waited_s:
                raise StorageError(
                    ErrorClass.TIMEOUT,
                    f"{self._where}: {self._came} bytes in {self._waited_s:.0f} s is too slow",
                )
            self._waited_s, self._came = 0.0, 0
        return came
