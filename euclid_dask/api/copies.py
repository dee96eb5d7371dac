"""Copies of files: brought to storages, by this process or by others of its kind."""

import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from euclid_dask.api.data import DataSettings, open_registry, refuse_unknown
from euclid_dask.core.errors import InputError, StoppedError
from euclid_dask.core.values import Value
from euclid_dask.data.carrying import carry
from euclid_dask.data.cleaner import Cleaner
from euclid_dask.data.cleaner import Settings as CleanerSettings
from euclid_dask.data.delivery import Copies, copies_to_storage
from euclid_dask.data.drivers import Opener
from euclid_dask.data.model import Deletion, Transfer, TransferState
from euclid_dask.data.mover import Mover
from euclid_dask.data.mover import Settings as MoverSettings
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.queues import Queues, Standing
from euclid_dask.data.registry.rules import RuleState
from euclid_dask.data.ruling import Ruled, Ruling
from euclid_dask.data.serving import Server, Turn
from euclid_dask.data.states import ACTIVE, TRANSFER, TransferCue
from euclid_dask.data.storages.opening import open_driver
from euclid_dask.worker.clock import SystemClock

MOST_ROUNDS: Final = 20
"""Hops of a file, at most: each round makes the next copy of each."""

Watch = Callable[[int, int], None]
"""Told of bytes that were written, and of how many are to be in all."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What is called while copies are made.

    Attributes:
        begins: Told of how many files are copied next, and of their bytes.
        wrote: Told of the bytes of each block, and of all, from any thread.
        waits: Told why it waits, each second.
    """

    begins: Watch = lambda _, __: None
    wrote: Watch = lambda _, __: None
    waits: Callable[[str], None] = lambda _: None


QUIET: Final = Progress()


class Listed(Value, frozen=True, kw_only=True):
    """The queue of transfers."""

    counts: Mapping[TransferState, int]
    """How many transfers there are, of any file, in each of the states that were asked for."""
    transfers: tuple[Standing, ...]


class Retried(Value, frozen=True, kw_only=True):
    """What is tried again."""

    again: tuple[Transfer, ...]
    refused: Mapping[str, str] = MappingProxyType({})
    """Files of which it cannot be, and why."""


def replicate(
    settings: DataSettings,
    names: Sequence[str],
    storage: str,
    *,
    closure: bool = False,
    dry_run: bool = False,
    progress: Progress = QUIET,
) -> Copies:
    """Have files copied to a storage, by the way with the fewest copies; return the copies made.

    With `closure` the files that products name are copied too. A dry run returns the first copies
    that would be made.

    Raises:
        InputError: A file or the storage is not known, or there is no way.
        StoppedError: Some copies could not be made; the others are there.
    """
    with open_registry(settings, read_only=dry_run) as registry:
        registry.storages.get(storage)
        refuse_unknown(registry, names)
        if closure:
            names = sorted({*names, *registry.named_by(names)})
        following = partial(copies_to_storage, registry, names, storage)
        return following() if dry_run else brought(registry, settings, following, progress)


def brought(
    registry: Registry,
    settings: DataSettings,
    following: Callable[[], Copies],
    progress: Progress = QUIET,
) -> Copies:
    """Have copies made, the next hop of each file at a time, until none follows; return them.

    Raises:
        InputError: There is no way for a file.
        StoppedError: Some copies could not be made; the others are there.
    """
    made: Copies = []
    total = 0
    for _ in range(MOST_ROUNDS):
        if not (copies := following()):
            return made
        files = registry.files([name for name, _ in copies])
        some = sum(files[name].size for name, _ in copies)
        progress.begins(len(copies), some)
        total += some
        wrote = partial(_told, progress.wrote, total)
        made += carried(registry, settings, copies, wrote, progress.waits)
    raise StoppedError(
        f"after {MOST_ROUNDS} rounds of copies some files are still not where they are wanted",
        hint="call it again: what is there is not copied again",
    )


def carried(
    registry: Registry,
    settings: DataSettings,
    copies: Copies,
    watch: Callable[[int], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Copies:
    """Have copies made that can be made at once; return them.

    Raises:
        InputError: A file or storage is not known, or there is nothing to copy from.
        StoppedError: Some could not be made; the others are there.
    """
    clock, never = SystemClock(), threading.Event()

    def pause(seconds: float, why: str) -> None:
        say(why)
        never.wait(seconds)

    mover = Mover(
        registry,
        opener_of(settings),
        clock,
        MoverSettings(worker=worker_name(), zone=settings.zone),
        watch,
    )
    with closing(mover):
        ended = carry(registry, mover, copies, clock, pause)
    if undone := [one for one in ended if one.state is not TransferState.DONE]:
        raise StoppedError(
            f"{len(undone)} of {len(ended)} copies are not made; {_why(undone[0])}",
            hint="call it again: what is there is not copied again",
        )
    return copies


def serve(
    settings: DataSettings,
    *,
    once: bool = False,
    with_rules: bool = True,
    watch: Callable[[int], None] = lambda _: None,
    tell: Callable[[Turn], None] = lambda _: None,
) -> Turn:
    """Carry out what the registry's queues ask for: transfers, removals, and what rules want.

    It goes on until it is interrupted; with `once`, until nothing can be done now. It may be
    killed at any moment, and there may be several: who comes next goes on.

    Args:
        settings: Which registry; the zone is what this process reaches.
        once: Whether to look once.
        with_rules: Whether rules are applied to all files, at the start and then every 5 minutes.
        watch: Called with the bytes of each block that was written, from any thread.
        tell: Called with what was done in each look in which something was.

    Returns:
        What was done, if it looked once.

    Raises:
        RegistryError: Another process serves a registry in SQLite until it is interrupted.
    """
    clock, worker = SystemClock(), worker_name()
    with open_registry(settings) as registry:
        mover = Mover(
            registry,
            opener_of(settings),
            clock,
            MoverSettings(worker=worker, zone=settings.zone),
            watch,
        )
        cleaner = Cleaner(
            registry,
            opener_of(settings),
            clock,
            CleanerSettings(worker=worker, zone=settings.zone),
        )
        with closing(mover), closing(cleaner):
            server = Server(Ruling(registry) if with_rules else None, mover, cleaner, clock)
            if not once:
                with registry.database.served():
                    server.serve(tell, threading.Event().wait)
            return server.look()


class Waiting(Value, frozen=True, kw_only=True):
    """What a process that serves the queues would do."""

    ruled: tuple[Ruled, ...]
    transfers: tuple[Transfer, ...]
    deletions: tuple[Deletion, ...]


def waiting(settings: DataSettings) -> Waiting:
    """Return what waits in the queues, and what rules want; change nothing."""
    with open_registry(settings, read_only=True) as registry:
        ruling = Ruling(registry)
        active = (it.rule for it in registry.rules.all() if it.state is RuleState.ACTIVE)
        return Waiting(
            ruled=tuple(map(ruling.preview, active)),
            transfers=tuple(registry.transfers.active()),
            deletions=tuple(registry.deletions.open()),
        )


def transfers(
    settings: DataSettings,
    names: Sequence[str] = (),
    *,
    states: frozenset[TransferState] = ACTIVE,
    limit: int = 100,
) -> Listed:
    """Return the transfers that stand so, of some files or of any.

    Raises:
        InputError: The registry does not know one of the files.
    """
    with open_registry(settings, read_only=True) as registry:
        refuse_unknown(registry, names)
        queues = Queues(registry.database)
        found = queues.transfers(states, names or None, limit=limit)
        return Listed(counts=queues.counts(states), transfers=tuple(found))


def retry(settings: DataSettings, names: Sequence[str] = (), *, dry_run: bool = False) -> Retried:
    """Have transfers tried again at once that have failed or wait; of some files or of all.

    Raises:
        InputError: The registry does not know one of the files.
    """
    with open_registry(settings, read_only=dry_run) as registry:
        refuse_unknown(registry, names)
        queues = Queues(registry.database)
        wait, failed = (
            [one.transfer for one in queues.transfers(frozenset({state}), names or None)]
            for state in (TransferState.RETRY, TransferState.FAILED)
        )
        if dry_run:
            return Retried(again=(*wait, *failed))
        queues.hurry([one.id for one in wait])
        refused: dict[str, str] = {}
        for one in failed:
            try:
                registry.transfers.enqueue([(one.file, one.destination)], priority=one.priority)
            except InputError as error:  # as when the file is gone by now
                refused[one.file] = error.message
        again = tuple(one for one in (*wait, *failed) if one.file not in refused)
        return Retried(again=again, refused=refused)


def cancel(settings: DataSettings, names: Sequence[str], *, dry_run: bool = False) -> int:
    """Give up the transfers of files that have not ended; return how many.

    Raises:
        InputError: The registry does not know one of the files.
    """
    with open_registry(settings, read_only=dry_run) as registry:
        refuse_unknown(registry, names)
        may_be = TRANSFER.sources(TransferCue.CANCEL)
        wanted = [one.id for one in registry.transfers.of_files(names) if one.state in may_be]
        return len(wanted) if dry_run else registry.transfers.cancel(wanted)


def opener_of(settings: DataSettings) -> Opener:
    """Return what makes drivers from access rows, with the credentials of this user."""
    credentials, clock = settings.read_credentials(), SystemClock()
    return lambda access: open_driver(access, credentials, clock)


def worker_name() -> str:
    """Return a name that no other mover or cleaner has."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def _told(watch: Watch, total: int, some: int) -> None:
    watch(some, total)


def _why(one: Transfer) -> str:
    told = one.error or "another mover has it, or it can only be made from another zone"
    return f"{one.file} to {one.destination} is {one.state}: {told}"
