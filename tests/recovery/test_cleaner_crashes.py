"""A cleaner may die at any step, and the next one at any step of the recovery."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from doomed_cleaner import CONTENT, NAME, clean, clean_until, make_world, pass_time

from euclid_dask.data.model import FileState, Replica, ReplicaState
from euclid_dask.data.registry import Registry


def look(world: Path) -> tuple[FileState, dict[str, Replica]]:
    with Registry(world / "registry.db") as registry:
        found = registry.locate([NAME], frozenset(ReplicaState))[NAME]
        return registry.files([NAME])[NAME].state, {one.storage: one for one in found}


def check(world: Path, *, last_copy: bool) -> None:
    """Assert what is true of a world at every instant."""
    state, replicas = look(world)
    for replica in replicas.values():
        if replica.state is ReplicaState.AVAILABLE:
            assert (world / replica.storage / replica.path).read_bytes() == CONTENT
    if not last_copy:
        assert state is FileState.COMMITTED
        assert replicas["a"].state is ReplicaState.AVAILABLE
    if (world / "b" / NAME).exists():
        assert "b" in replicas, "a file was forgotten that is still there"


def check_end(world: Path, *, last_copy: bool) -> None:
    check(world, last_copy=last_copy)
    state, replicas = look(world)
    assert not (world / "b" / NAME).exists()
    assert set(replicas) == (set() if last_copy else {"a"})
    assert state == (FileState.DELETED if last_copy else FileState.COMMITTED)


def kills(world: Path, *, last_copy: bool) -> Iterator[Path]:
    """Yield a world for each step after which a cleaner was killed there."""
    for step in range(1, 100):
        doomed = shutil.copytree(world, world.parent / f"{world.name}-{step}")
        if not clean_until(doomed, step):
            return
        check(doomed, last_copy=last_copy)
        pass_time(doomed)
        yield doomed


@pytest.mark.parametrize("last_copy", [False, True])
def test_cleaners_are_killed_at_each_step_and_at_each_of_the_recovery(
    tmp_path: Path, last_copy: bool
) -> None:
    make_world(tmp_path / "w", last_copy=last_copy)
    firsts = 0
    for world in kills(tmp_path / "w", last_copy=last_copy):
        firsts += 1
        if firsts == 2:  # the file is gone, and its row is not
            for again in kills(world, last_copy=last_copy):
                clean(again)
                check_end(again, last_copy=last_copy)
        clean(world)
        check_end(world, last_copy=last_copy)
    assert firsts >= 5


def test_what_a_dead_cleaner_marked_is_left_until_its_lease_has_run_out(tmp_path: Path) -> None:
    world = tmp_path / "w"
    make_world(world)
    assert clean_until(world, 1)
    assert clean(world).removed == 0
    assert look(world)[1]["b"].state is ReplicaState.DELETING
    pass_time(world)
    assert clean(world).removed == 1
