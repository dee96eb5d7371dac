"""The environment that executables get: the pilot's own, the place's, and numbers of threads."""

import os
from collections.abc import Mapping
from typing import Final

from euclid_dask.core.attempts import Order, Place
from euclid_dask.worker import guard, procfs

THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NTHREADS",
)
"""Set to the number of cores of the task, so that a library starts as many threads."""


def environment_of(place: Place, cores: float, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a place's executables, without the markers of an attempt."""
    threads = str(max(1, int(cores)))
    return {**inherited, **place.environment, **dict.fromkeys(THREAD_VARIABLES, threads)}


class Scene:
    """A place and what the attempts of a bundle there share: most of their environment.

    To make an environment takes longer than anything else that we do in Python for an attempt.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._shared: dict[float, dict[bytes, bytes]] = {}

    def environment(self, order: Order) -> dict[bytes, bytes]:
        """Return the environment of an attempt, with its markers."""
        cores = order.needs.cores
        if cores not in self._shared:
            shared = environment_of(self.place, cores, os.environ) | guard.mark()
            self._shared[cores] = _encoded(shared)
        markers = procfs.markers(self.place.run, order.task, order.attempt)
        return {**self._shared[cores], **_encoded(markers)}


def _encoded(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
