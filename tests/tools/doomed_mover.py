"""A mover in a process of its own that is killed at a step we choose, or has a fault we planted.

A world is a directory: a registry, two storages `a` and `b`, and files in `a` that are wanted in
`b`: a large one, or small ones that are moved as a group. It can be copied as a whole, since
drivers are made from it and not from access rows.
"""

import importlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

from nursery import Fault, Step, plant, watch

from euclid_dask.core.values import Value
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.model import Access, File, Replica, Storage
from euclid_dask.data.registry import Registry
from euclid_dask.data.storage import MARKER

NAME = "EUC_a.fits"
CONTENT = bytes(range(256)) * 5000
OTHER = CONTENT[:-1] + b"x"
SMALL = {f"EUC_small_{number}.fits": bytes([number]) * 1000 for number in range(2)}
LONG_S = 3600.0

_STEPS = [
    ("registry.transfers", "Transfers", "claim"),
    ("registry.transfers", "Transfers", "publishing"),
    ("registry.transfers", "Transfers", "finish"),
    ("registry.transfers", "Transfers", "fail"),
    ("storages.file", "FileDriver", "open_part"),
    ("storages.file", "FileDriver", "unlink"),
    ("storages.file", "FilePart", "write"),
    ("storages.file", "FilePart", "sync"),
    ("storages.file", "", "sync_directory"),
    ("local", "", "rename_noreplace"),
    ("copying", "", "sync_directory"),
]
"""What changes a disk: module, class and function."""
RELOADED = ("local", "hashing", "storages.file", "copying", "mover")
"""Modules that a planted fault may be in, and those that import from them, in that order."""


class Fate(Value, frozen=True, kw_only=True):
    """What is to happen to a mover."""

    killed_at: int = 0
    """After this step, counted from 1; 0 is never."""
    meanwhile: str = ""
    """What happens just before it may publish: `same` or `other` content appears under the final
    name, or another mover is given the transfer (`thief`)."""


class _Clock:
    def now_s(self) -> float:
        return 0.0


def make_world(directory: Path, *, others: bool = False, small: bool = False) -> None:
    """Make a world; with `others`, the first storage has other bytes than are known."""
    known = SMALL if small else {NAME: CONTENT}
    directory.mkdir()
    for name in ("a", "b"):
        (directory / name).mkdir()
        (directory / name / MARKER).write_text(name)
    for name, content in known.items():
        (directory / "a" / name).write_bytes(OTHER if others else content)
    with Registry(directory / "registry.db") as registry:
        for name in ("a", "b"):
            registry.storages.put(Storage(name=name, marker=name))
        registry.storages.put_access(
            [Access(storage=name, zone="z", root=f"file:///{name}") for name in ("a", "b")]
        )
        registry.register(
            [
                File(name=name, size=len(it), checksums=hash_chunks([it]).checksums())
                for name, it in known.items()
            ],
            [Replica(file=name, storage="a", path=name) for name in known],
        )
        registry.transfers.enqueue([(name, "b") for name in known])


def pass_time(directory: Path) -> None:
    """Have all leases and delays come to their end."""
    with sqlite3.connect(directory / "registry.db") as database:
        database.execute("UPDATE transfers SET lease_until_s = 0, not_before_s = 0")
    database.close()


def warm_up(directory: Path) -> None:
    """Do once what movers do."""
    make_world(directory / "first")
    run(directory / "first")


def live(step: Step, directory: Path, meanwhile: str, fault: Fault | None) -> None:
    """Live as a mover in a world."""
    if fault is not None:
        plant(fault, RELOADED)
    for module, owner, name in _STEPS:
        place: Any = importlib.import_module(f"euclid_dask.data.{module}")
        watch(getattr(place, owner) if owner else place, name, step)
    run(directory, meanwhile)


def run(directory: Path, meanwhile: str = "") -> None:
    """Run a mover in this process until it has nothing to do."""
    data = "euclid_dask.data"
    mover = importlib.import_module(f"{data}.mover")
    file = importlib.import_module(f"{data}.storages.file")
    copying = importlib.import_module(f"{data}.copying")
    with Registry(directory / "registry.db") as registry:
        if meanwhile:
            _meddle(registry, directory, directory / "b" / copying.new_path(NAME), meanwhile)
        drivers = {name: file.FileDriver(directory / name) for name in ("a", "b")}
        made = mover.Mover(
            registry,
            lambda access: drivers[access.storage],
            _Clock(),
            mover.Settings(worker=f"w{os.getpid()}", zone="z", lease_s=LONG_S, threads=1),
        )
        made.drain()


def _meddle(registry: Registry, directory: Path, final: Path, meanwhile: str) -> None:
    asked = registry.transfers.publishing

    def publishing(*arguments: Any, **named: Any) -> Any:
        if meanwhile == "thief":
            pass_time(directory)
            registry.transfers.claim("thief", 1, LONG_S)
        else:
            final.parent.mkdir(exist_ok=True)
            final.write_bytes({"same": CONTENT, "other": OTHER}[meanwhile])
        return asked(*arguments, **named)

    registry.transfers.publishing = publishing  # type: ignore[method-assign]


if __name__ == "__main__":
    run(Path(sys.argv[1]))
