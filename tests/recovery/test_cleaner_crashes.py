"""A cleaner may die at any step, and the next one at any step of the recovery.

That the checks see something is shown by faults that are planted into it, of which each is caught.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from doomed_cleaner import CONTENT, NAME, clean, live, make_world, pass_time, warm_up
from nursery import Fault, Nursery

from euclid_dask.data.model import FileState, Replica, ReplicaState
from euclid_dask.data.registry import Registry

FAULTS = {
    "removes the last copy": Fault(
        "registry.needs", "if not last_copy and not any(", "if last_copy is None and not any("
    ),
    "unlinks before it marks": Fault(
        "cleaner",
        "                claimed = self._registry.deletions.claim(",
        "                for one in self._registry.deletions.open():\n"
        "                    drivers[one.storage].driver.unlink(one.path)\n"
        "                claimed = self._registry.deletions.claim(",
    ),
    "forgets before it unlinks": Fault(
        "cleaner",
        "            driver.check()  # which may take long",
        "            self._registry.deletions.finish(deletion)",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def nursery() -> Iterator[None]:
    """Have a process from which cleaners come."""
    _nurseries.append(Nursery(warm_up, live))
    yield
    _nurseries.pop().close()


_nurseries: list[Nursery] = []


def clean_until(world: Path, killed_at: int = 0, fault: Fault | None = None) -> bool:
    """Have a cleaner work that is killed after a step, from 1; return whether it was."""
    return _nurseries[-1].bear(killed_at, world, fault) < 0


def look(world: Path) -> tuple[FileState, dict[str, Replica]]:
    with Registry(world / "registry.db") as registry:
        found = registry.locate([NAME], frozenset(ReplicaState))[NAME]
        return registry.files([NAME])[NAME].state, {one.storage: one for one in found}


def check(world: Path, *, last_copy: bool) -> None:
    """Assert what is true of a world at every instant."""
    state, replicas = look(world)
    for replica in replicas.values():
        if replica.state is ReplicaState.AVAILABLE:
            path = world / replica.storage / replica.path
            assert path.is_file(), "there is a row of what is not there"
            assert path.read_bytes() == CONTENT
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


def kills(world: Path, *, last_copy: bool, fault: Fault | None = None) -> Iterator[Path]:
    """Yield a world for each step after which a cleaner was killed there."""
    for step in range(1, 100):
        doomed = shutil.copytree(world, world.parent / f"{world.name}-{step}")
        if not clean_until(doomed, step, fault):
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


def trials(folder: Path, fault: Fault | None) -> None:
    """Assert all that the planted faults can break."""
    make_world(folder / "both", both=True)
    assert not clean_until(folder / "both", fault=fault)
    check_one_is_left(folder / "both")
    make_world(folder / "w")
    for world in kills(folder / "w", last_copy=False, fault=fault):
        clean(world)
        check_end(world, last_copy=False)


def check_one_is_left(world: Path) -> None:
    state, replicas = look(world)
    assert state is FileState.COMMITTED
    assert len(replicas) == 1, "no copy is left"
    assert [one for one in ("a", "b") if (world / one / NAME).exists()] == list(replicas)


def test_the_trials_of_planted_faults_pass_without_one(tmp_path: Path) -> None:
    trials(tmp_path, None)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(tmp_path: Path, name: str) -> None:
    with pytest.raises(AssertionError) as caught:
        trials(tmp_path, FAULTS[name])
    assert "the process ended with" not in str(caught.value)
