"""A cleaner in a process of its own that is killed at a step we choose, or has a planted fault.

A world is a directory: a registry, two storages `a` and `b` which both have one file, and a wish
to have it removed from `b`, or from both.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nursery import Fault, Step, plant, watch

from euclid_dask.data import cleaner as cleaners
from euclid_dask.data.cleaner import Cleaned
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.model import Access, File, Replica, Storage
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.deletions import Deletions
from euclid_dask.data.storage import MARKER, StorageDriver
from euclid_dask.data.storages import file as files
from euclid_dask.data.storages.file import FileDriver

NAME = "EUC_a.fits"
CONTENT = b"content"
LONG_S = 3600.0
_RELOADED = ("registry.needs", "registry.deletions", "cleaner")
"""Modules that a planted fault may be in, and those between them."""
_STEPS: list[tuple[Any, str]] = [
    (Deletions, "claim"),
    (Path, "unlink"),
    (files, "sync_directory"),
    (FileDriver, "unlink"),
    (Deletions, "finish"),
]
"""What changes a disk, and the end of it."""


class _Clock:
    def now_s(self) -> float:
        return 0.0


def make_world(directory: Path, *, last_copy: bool = False, both: bool = False) -> None:
    """Make a world; with `last_copy` storage `a` has nothing, with `both` it is to lose it too."""
    directory.mkdir()
    for name in ("a", "b"):
        (directory / name).mkdir()
        (directory / name / MARKER).write_text(name)
    having = ("b",) if last_copy else ("a", "b")
    for name in having:
        (directory / name / NAME).write_bytes(CONTENT)
    file = File(name=NAME, size=len(CONTENT), checksums=hash_chunks([CONTENT]).checksums())
    with Registry(directory / "registry.db") as registry:
        for name in ("a", "b"):
            registry.storages.put(Storage(name=name, marker=name))
        registry.storages.put_access(
            [Access(storage=name, zone="z", root=f"file:///{name}") for name in ("a", "b")]
        )
        registry.register([file], [Replica(file=NAME, storage=s, path=NAME) for s in having])
        for name in ("a", "b") if both else ("b",):
            registry.deletions.request([(NAME, name)], "a test", last_copy=last_copy)


def pass_time(directory: Path) -> None:
    """Have all leases and delays come to their end."""
    with sqlite3.connect(directory / "registry.db") as database:
        database.execute("UPDATE deletions SET lease_until_s = 0, not_before_s = 0")
    database.close()


def clean(
    directory: Path, wrap: Callable[[StorageDriver], StorageDriver] = lambda it: it
) -> Cleaned:
    """Run a cleaner in this process until it has nothing to do."""
    with Registry(directory / "registry.db") as registry:
        cleaner = cleaners.Cleaner(
            registry,
            lambda access: wrap(FileDriver(directory / access.storage)),
            _Clock(),
            cleaners.Settings(worker=f"w{os.getpid()}", zone="z", lease_s=LONG_S, threads=1),
        )
        return cleaner.drain()


def warm_up(directory: Path) -> None:
    """Do once what cleaners do."""
    make_world(directory / "first")
    clean(directory / "first")


def live(step: Step, directory: Path, fault: Fault | None) -> None:
    """Live as a cleaner in a world."""
    if fault is not None:
        plant(fault, _RELOADED)
    for place, name in _STEPS:
        watch(place, name, step)
    clean(directory)
