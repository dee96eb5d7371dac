"""Copies that somebody waits for: tried until they have ended, or patience has."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from doomed_mover import NAME, make_world, pass_time

from euclid_dask.data.carrying import PAUSE_S, carry
from euclid_dask.data.copying import new_path
from euclid_dask.data.model import ErrorClass, Transfer, TransferState
from euclid_dask.data.mover import Mover, Settings
from euclid_dask.data.registry import Registry
from euclid_dask.data.storage import MARKER
from euclid_dask.data.storages.file import FileDriver


class Clock:
    """Time that goes on by pauses only."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_s(self) -> float:
        return self.at_s


@pytest.fixture
def world(tmp_path: Path) -> Path:
    make_world(tmp_path / "w")
    return tmp_path / "w"


@pytest.fixture
def registry(world: Path) -> Iterator[Registry]:
    with Registry(world / "registry.db") as opened:
        yield opened


def carried(
    world: Path, registry: Registry, *, mend_after: int, patience_s: float = 60.0
) -> tuple[Transfer, int]:
    """Copy while the disk of `b` is away, which is mounted after some pauses; count them."""
    clock, pauses = Clock(), 0
    marker = world / "b" / MARKER

    def pause(seconds: float, why: str) -> None:
        nonlocal pauses
        assert "no marker" in why or "another mover" in why
        pauses += 1
        clock.at_s += seconds
        if pauses == mend_after:
            marker.write_text("b")
        pass_time(world)

    mover = Mover(
        registry,
        lambda access: FileDriver(world / access.storage),
        clock,
        Settings(worker="m", zone="z", threads=1),
    )
    with closing(mover):
        (ended,) = carry(registry, mover, [(NAME, "b")], clock, pause, patience_s=patience_s)
    return ended, pauses


def test_what_may_pass_is_tried_until_it_has_passed(world: Path, registry: Registry) -> None:
    (world / "b" / MARKER).unlink()
    ended, pauses = carried(world, registry, mend_after=3)
    assert (ended.state, pauses) == (TransferState.DONE, 3)
    assert ended.attempts == 3


def test_patience_has_an_end(world: Path, registry: Registry) -> None:
    (world / "b" / MARKER).unlink()
    ended, pauses = carried(world, registry, mend_after=0, patience_s=5 * PAUSE_S)
    assert (ended.state, pauses) == (TransferState.RETRY, 5)
    assert "no marker" in ended.error


def test_what_waits_since_an_earlier_failure_is_tried_at_once(
    world: Path, registry: Registry
) -> None:
    (one,) = registry.transfers.claim("another", 1, 60.0)
    registry.transfers.fail(one, ErrorClass.AWAY, "it was away", retry_in_s=3600.0)
    ended, pauses = carried(world, registry, mend_after=0)
    assert (ended.state, pauses) == (TransferState.DONE, 0)


def test_what_another_mover_has_is_waited_for(world: Path, registry: Registry) -> None:
    registry.transfers.claim("another", 1, 3600.0)
    ended, pauses = carried(world, registry, mend_after=0)  # its lease is over after a pause
    assert (ended.state, pauses) == (TransferState.DONE, 1)


def test_what_failed_for_good_is_asked_for_anew(world: Path, registry: Registry) -> None:
    (one,) = registry.transfers.claim("another", 1, 3600.0)
    registry.transfers.fail(one, ErrorClass.AUTH, "no key")
    ended, pauses = carried(world, registry, mend_after=0)
    assert (ended.state, pauses) == (TransferState.DONE, 0)
    assert ended.id != one.id


def test_what_fails_for_good_is_not_waited_for(world: Path, registry: Registry) -> None:
    place = world / "b" / new_path(NAME)
    place.parent.mkdir()
    place.write_text("another file")
    ended, pauses = carried(world, registry, mend_after=0)
    assert (ended.state, pauses) == (TransferState.FAILED, 0)
