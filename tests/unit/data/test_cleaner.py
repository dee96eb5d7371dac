"""A cleaner removes what it is asked to, and nothing where a disk is away."""

from collections.abc import Callable
from pathlib import Path

import pytest
from doomed_cleaner import NAME, clean, make_world, pass_time

from euclid_dask.core.errors import InputError
from euclid_dask.data.cleaner import Cleaner, Settings
from euclid_dask.data.copying import new_path
from euclid_dask.data.model import (
    Access,
    DeletionState,
    ErrorClass,
    FileState,
    ReplicaState,
    Storage,
    StorageState,
)
from euclid_dask.data.mover import Mover
from euclid_dask.data.mover import Settings as MoverSettings
from euclid_dask.data.registry import Registry
from euclid_dask.data.storage import MARKER, StorageDriver, StorageError
from euclid_dask.data.storages.file import FileDriver


@pytest.fixture
def world(tmp_path: Path) -> Path:
    make_world(tmp_path / "w")
    return tmp_path / "w"


def states(world: Path) -> dict[str, ReplicaState]:
    with Registry(world / "registry.db") as registry:
        found = registry.locate([NAME], frozenset(ReplicaState))[NAME]
        return {one.storage: one.state for one in found}


def deletion(world: Path) -> tuple[DeletionState, str]:
    with Registry(world / "registry.db") as registry:
        (one,) = registry.deletions.get([1])
        return one.state, one.error


class Faulty:
    """A driver whose `unlink` fails, or another of its calls."""

    def __init__(
        self, driver: StorageDriver, unlink: Callable[[str], bool], **calls: Callable[..., object]
    ) -> None:
        self._driver = driver
        self.unlink = unlink
        vars(self).update(calls)

    def __getattr__(self, name: str) -> object:
        return getattr(self._driver, name)


def failing(kind: ErrorClass) -> Callable[[StorageDriver], StorageDriver]:
    def unlink(_: str) -> bool:
        raise StorageError(kind, "planted")

    return lambda driver: Faulty(driver, unlink)  # type: ignore[return-value]


def test_a_replica_goes_with_its_row_and_the_others_stay(world: Path) -> None:
    cleaned = clean(world)
    assert (cleaned.removed, cleaned.waiting, cleaned.failed, dict(cleaned.untouched)) == (
        *(1, 0, 0),
        {},
    )
    assert states(world) == {"a": ReplicaState.AVAILABLE}
    assert not (world / "b" / NAME).exists()
    assert (world / "a" / NAME).exists()
    assert clean(world).removed == 0


def test_what_is_gone_already_is_forgotten(world: Path) -> None:
    (world / "b" / NAME).unlink()
    assert clean(world).removed == 1
    assert states(world) == {"a": ReplicaState.AVAILABLE}


@pytest.mark.parametrize("marker", [None, "another"])
def test_where_the_right_disk_is_not_nothing_is_marked_removed_or_forgotten(
    world: Path, marker: str | None
) -> None:
    place = world / "b" / MARKER
    place.unlink() if marker is None else place.write_text(marker)
    cleaned = clean(world)
    assert cleaned.removed == 0
    assert "marke" in cleaned.untouched["b"]
    assert states(world) == dict.fromkeys("ab", ReplicaState.AVAILABLE)
    assert (world / "b" / NAME).exists()
    place.write_text("b")
    assert clean(world).removed == 1


def test_a_disk_that_goes_away_while_it_is_cleaned_has_nothing_forgotten(world: Path) -> None:
    def wrap(driver: StorageDriver) -> StorageDriver:
        def unlink(path: str) -> bool:
            (world / "b").rename(world / "elsewhere")
            (world / "b").mkdir()
            return driver.unlink(path)

        return Faulty(driver, unlink)  # type: ignore[return-value]

    assert clean(world, wrap).waiting == 1
    assert states(world)["b"] is ReplicaState.DELETING
    assert (world / "elsewhere" / NAME).exists()
    (world / "b").rmdir()
    (world / "elsewhere").rename(world / "b")
    pass_time(world)
    assert clean(world).removed == 1


@pytest.mark.parametrize("kind", [ErrorClass.NETWORK, ErrorClass.AWAY, ErrorClass.IO])
def test_what_may_pass_is_tried_again_and_the_replica_stays_marked(
    world: Path, kind: ErrorClass
) -> None:
    assert clean(world, failing(kind)).waiting == 1
    assert deletion(world) == (DeletionState.RUNNING, "planted")
    assert states(world)["b"] is ReplicaState.DELETING
    assert clean(world).removed == 0  # not before its time
    pass_time(world)
    assert clean(world).removed == 1


@pytest.mark.parametrize("kind", [ErrorClass.AUTH, ErrorClass.POLICY])
def test_what_cannot_be_removed_is_to_be_checked(world: Path, kind: ErrorClass) -> None:
    assert clean(world, failing(kind)).failed == 1
    assert deletion(world) == (DeletionState.FAILED, "planted")
    assert states(world)["b"] is ReplicaState.SUSPECT


def test_a_mistake_of_ours_does_not_end_the_cleaner(world: Path) -> None:
    def unlink(_: str) -> bool:
        raise RuntimeError("nobody foresaw this")

    assert clean(world, lambda it: Faulty(it, unlink)).failed == 1  # type: ignore[arg-type, return-value]
    state, error = deletion(world)
    assert state is DeletionState.FAILED
    assert "RuntimeError: nobody foresaw this" in error


def test_a_line_that_never_comes_back_is_given_up(world: Path) -> None:
    for _ in range(8):
        pass_time(world)
        clean(world, failing(ErrorClass.NETWORK))
    assert deletion(world)[0] is DeletionState.FAILED


def test_who_could_have_lost_the_lease_removes_nothing(world: Path) -> None:
    class Clock:
        at_s = 0.0

        def now_s(self) -> float:
            self.at_s += 200.0
            return self.at_s

    with Registry(world / "registry.db") as registry:
        cleaner = Cleaner(
            registry,
            lambda access: FileDriver(world / access.storage),
            Clock(),
            Settings(worker="slow", zone="z"),
        )
        assert cleaner.drain().waiting == 1
    assert (world / "b" / NAME).exists()
    pass_time(world)
    assert clean(world).removed == 1


def test_who_loses_the_lease_while_the_marker_is_looked_at_removes_nothing(world: Path) -> None:
    class Clock:
        at_s = 0.0

        def now_s(self) -> float:
            return self.at_s

    clock, looked = Clock(), []

    def opened(access: Access) -> StorageDriver:
        driver = FileDriver(world / access.storage)

        def open_read(path: str, start: int = 0) -> object:
            looked.append(path)
            if len(looked) > 1:  # the first is before anything is claimed
                clock.at_s += 1000.0
            return driver.open_read(path, start)

        return Faulty(driver, driver.unlink, open_read=open_read)  # type: ignore[return-value]

    with Registry(world / "registry.db") as registry:
        cleaner = Cleaner(registry, opened, clock, Settings(worker="slow", zone="z"))
        assert cleaner.drain().waiting == 1
    assert looked == [MARKER, MARKER]
    assert (world / "b" / NAME).exists()


@pytest.mark.parametrize("cleaners", [1, 2])
def test_where_two_cleaners_removed_a_file_it_comes_back_to_another_path(
    world: Path, cleaners: int
) -> None:
    with Registry(world / "registry.db") as registry:
        for _ in range(cleaners):
            (claimed,) = registry.deletions.claim("cleaner", 1, -1.0)
        (world / "b" / NAME).unlink()
        registry.deletions.finish(claimed)
        registry.transfers.enqueue([(NAME, "b")])
        mover = Mover(
            registry,
            lambda access: FileDriver(world / access.storage),
            StillClock(),
            MoverSettings(worker="m", zone="z"),
        )
        assert mover.drain().done == 1
        path = {one.storage: one.path for one in registry.locate([NAME])[NAME]}["b"]
    assert path == new_path(NAME, cleaners - 1)
    assert (world / "b" / path).exists()


class StillClock:
    def now_s(self) -> float:
        return 0.0


def test_a_thief_of_the_lease_tells_and_not_we(world: Path) -> None:
    with Registry(world / "registry.db") as registry:
        (ours,) = registry.deletions.claim("we", 1, -1.0)
        (theirs,) = registry.deletions.claim("thief", 1, 60.0)
        assert not registry.deletions.retry(ours, "late", retry_in_s=0.0)
        with pytest.raises(InputError, match="another's"):
            registry.deletions.finish(ours)
        assert registry.deletions.retry(theirs, "later", retry_in_s=-1.0)
        assert registry.deletions.due() == ["b"]


def test_a_pin_put_before_the_mark_keeps_the_replica(world: Path) -> None:
    with Registry(world / "registry.db") as registry:
        registry.pins.put([NAME], "run 1")
    assert clean(world).removed == 0
    assert deletion(world) == (DeletionState.CANCELLED, "it is pinned by run 1")
    assert states(world)["b"] is ReplicaState.AVAILABLE


@pytest.mark.parametrize("state", [StorageState.READONLY, StorageState.DISABLED])
def test_a_storage_that_is_not_enabled_is_left_alone(world: Path, state: StorageState) -> None:
    with Registry(world / "registry.db") as registry:
        registry.storages.put(Storage(name="b", marker="b", state=state))
    assert clean(world).removed == 0
    assert (world / "b" / NAME).exists()


def test_where_this_zone_may_not_remove_it_says_so(world: Path) -> None:
    with Registry(world / "registry.db") as registry:
        registry.storages.remove_access("b", "z", "file:///b")
    assert dict(clean(world).untouched) == {"b": "b: no access to delete here"}
    assert states(world)["b"] is ReplicaState.AVAILABLE


def test_the_last_copy_takes_its_file_along(tmp_path: Path) -> None:
    make_world(tmp_path / "w", last_copy=True)
    assert clean(tmp_path / "w").removed == 1
    with Registry(tmp_path / "w" / "registry.db") as registry:
        assert registry.files([NAME])[NAME].state is FileState.DELETED
