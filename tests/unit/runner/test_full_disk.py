"""A runner whose disk is full, while pilots go on without it: it waits, and forgets nothing."""

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from euclid_dask.core.attempts import Order
from euclid_dask.core.errors import StoppedError
from euclid_dask.core.ids import RunId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.states import RunState
from euclid_dask.planner import Fleet
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.history import replay
from euclid_dask.runner.inbox import CancelNews
from euclid_dask.runner.loop import Runner
from euclid_dask.runner.pilots import PilotDesk
from euclid_dask.sim import Outcome, World, begin, make_runner
from euclid_dask.sim.files import AllFiles
from euclid_dask.sim.flows import body, flow, out, task


class Supply:
    """Supplies nothing: the pilots are there."""

    def open(self, inbox: object, believed: object) -> None: ...

    def close(self, *, end_pilots: bool) -> None: ...


class Disk:
    """Takes nothing while it is full."""

    def __init__(self) -> None:
        self.is_full = False

    def sync(self, descriptor: int) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "fdatasync", disk.sync)
    return disk


@pytest.fixture
def world() -> World:
    def lasts(run: RunId, order: Order) -> Outcome:
        return Outcome(duration_s=1.0)

    made = World(lasts, files=AllFiles())
    made.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    return made


@pytest.fixture
def active(tmp_path: Path, world: World) -> ActiveRun:
    return begin(world, flow(body(task("a"), task("b", x=out("a")), r=out("b"))), tmp_path / "w")


@pytest.fixture
def runner(tmp_path: Path, world: World, active: ActiveRun) -> Runner:
    supply: Any = Supply()
    desk = PilotDesk(tmp_path / "pilots.jsonl", supply, Fleet(), world.agenda)
    return make_runner(world, [active], pilots=desk)


def at(world: World, after_s: float, disk: Disk, *, full: bool) -> None:
    def change() -> None:
        disk.is_full = full

    world.agenda.at(world.agenda.now_s() + after_s, change)


def test_a_full_disk_is_waited_for(
    world: World, active: ActiveRun, runner: Runner, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    at(world, 0.5, disk, full=True)
    at(world, 100.0, disk, full=False)
    with caplog.at_level(logging.WARNING):
        runner.run_until_ended()
    active.close()
    assert [one.partition(":")[0] for one in caplog.messages] == [
        "the disk of the workdir is full",
        "there is space again",
    ]
    told = replay(active.journal.path)
    assert told.state is active.run.state is RunState.DONE
    assert len(world.log) == 2


def test_who_does_not_wait_for_the_disk_can_take_the_run_up_later(
    world: World, active: ActiveRun, runner: Runner, disk: Disk
) -> None:
    at(world, 0.5, disk, full=True)
    news = CancelNews(reason="SIGINT was received")
    world.agenda.at(world.agenda.now_s() + 50.0, lambda: runner.inbox.put(news))
    with pytest.raises(StoppedError, match="SIGINT was received, and the disk is full"):
        runner.run_until_ended()
    active.close()
    assert replay(active.journal.path).state is RunState.ACTIVE
