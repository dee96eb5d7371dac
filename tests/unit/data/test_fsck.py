"""A check of a storage finds what is lost, dark or changed, and has good reasons."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.data.fsck import LOOKING, Choices, Finding, Report, What, fsck
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.model import (
    Access,
    ErrorClass,
    File,
    FileState,
    Replica,
    ReplicaState,
    Storage,
)
from euclid_dask.data.registry import Registry
from euclid_dask.data.states import ReplicaCue
from euclid_dask.data.storage import MARKER, StorageDriver, StorageError, part_path
from euclid_dask.data.storages.file import FileDriver

CONTENT = b"content"
CONFIRM = Choices(confirm=True)


class World:
    """A registry, a storage `a` with files `x` and `y`, and `b` with a copy of `x`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.registry = Registry(directory / "registry.db")
        self.wrap: Callable[[StorageDriver], StorageDriver] = lambda it: it
        for name in "ab":
            root = directory / name
            (root / "in").mkdir(parents=True)
            (root / MARKER).write_text(name)
            self.registry.storages.put(Storage(name=name, marker=name))
            access = Access(storage=name, zone="z", root=f"file://{root}")
            self.registry.storages.put_access([access])
        for storage, file in (("a", "x"), ("a", "y"), ("b", "x")):
            self.add(storage, file)

    def add(self, storage: str, name: str, *, checksums: bool = True) -> Path:
        place = self.directory / storage / "in" / name
        place.write_bytes(CONTENT)
        sums = hash_chunks([CONTENT]).checksums() if checksums else ()
        file = File(name=name, size=len(CONTENT), checksums=sums)
        replica = Replica(
            file=name, storage=storage, path=f"in/{name}", mtime_ns=place.stat().st_mtime_ns
        )
        self.registry.register([file], [replica])
        return place

    def check(self, choices: Choices = LOOKING) -> Report:
        return fsck(
            self.registry,
            lambda access: self.wrap(FileDriver(self.directory / access.storage)),
            "z",
            "a",
            choices,
        )

    def found(self, choices: Choices = LOOKING) -> list[tuple[str, str, str]]:
        report = self.check(choices)
        assert not report.error
        return [(one.what, one.path, one.done) for one in report.findings]

    def state(self, name: str = "x") -> ReplicaState:
        found = self.registry.locate([name], frozenset(ReplicaState))[name]
        return next(one.state for one in found if one.storage == "a")

    def file(self, name: str) -> FileState:
        return self.registry.files([name])[name].state


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.registry.close()


class Faulty:
    """A driver of which some calls are others."""

    def __init__(self, driver: StorageDriver, **calls: object) -> None:
        self._driver = driver
        self._calls = calls

    def __getattr__(self, name: str) -> object:
        return self._calls.get(name) or getattr(self._driver, name)


def test_where_all_is_well_nothing_is_found_or_changed(world: World) -> None:
    before = world.registry.history("x")
    report = world.check(Choices(read_all=True, confirm=True))
    assert report == Report(storage="a", files=2)
    assert world.registry.history("x") == before


def test_a_missing_file_is_suspect_first_and_lost_when_a_person_says_so(world: World) -> None:
    place = world.directory / "a" / "in" / "x"
    place.unlink()
    assert world.found(CONFIRM) == [("lost", "in/x", "suspect")]
    assert world.found() == [("lost", "in/x", "")]
    assert world.state() is ReplicaState.SUSPECT
    assert world.found(CONFIRM) == [("lost", "in/x", "lost")]
    assert world.found(CONFIRM) == []
    assert world.file("x") is FileState.COMMITTED  # b has it


def test_the_last_copy_is_lost_only_by_a_persons_word_and_can_be_found_again(
    world: World,
) -> None:
    place = world.directory / "a" / "in" / "y"
    place.rename(world.directory / "y")
    for _ in range(3):
        world.check()
    assert (world.state("y"), world.file("y")) == (ReplicaState.SUSPECT, FileState.COMMITTED)
    world.check(CONFIRM)
    assert (world.state("y"), world.file("y")) == (ReplicaState.LOST, FileState.LOST)
    (world.directory / "y").rename(place)
    assert world.found() == [("good", "in/y", "available")]
    assert (world.state("y"), world.file("y")) == (ReplicaState.AVAILABLE, FileState.COMMITTED)


@pytest.mark.parametrize("content", [b"short", CONTENT[:-1] + b"x"])
def test_other_bytes_are_suspect_first_and_bad_when_a_person_says_so(
    world: World, content: bytes
) -> None:
    (world.directory / "a" / "in" / "x").write_bytes(content)
    assert world.found() == [("changed", "in/x", "suspect")]
    assert world.found() == [("changed", "in/x", "")]
    assert world.found(CONFIRM) == [("changed", "in/x", "bad")]
    assert world.state() is ReplicaState.BAD


def test_other_bytes_of_the_same_size_and_time_are_found_by_reading_all(world: World) -> None:
    place = world.directory / "a" / "in" / "x"
    times = (place.stat().st_atime_ns, place.stat().st_mtime_ns)
    place.write_bytes(CONTENT[:-1] + b"x")
    os.utime(place, ns=times)
    assert world.found() == []
    assert world.found(Choices(read_all=True)) == [("changed", "in/x", "suspect")]


def test_a_file_that_was_only_touched_is_read_and_believed(world: World) -> None:
    os.utime(world.directory / "a" / "in" / "x", ns=(1, 1))
    assert world.found() == [("good", "in/x", "available")]
    assert world.found() == []


def test_a_suspect_whose_content_is_right_is_read_again_by_all(world: World) -> None:
    world.registry.change_replicas([("x", "a")], ReplicaCue.SUSPECT, "a reader")
    assert world.found() == [("good", "in/x", "available")]
    assert world.state() is ReplicaState.AVAILABLE


def test_without_a_checksum_nothing_is_said_of_a_file_that_was_touched(world: World) -> None:
    os.utime(world.add("a", "n", checksums=False), ns=(1, 1))
    assert world.found(CONFIRM) == [("unread", "in/n", "")]
    assert world.state("n") is ReplicaState.AVAILABLE


def test_what_cannot_be_read_is_told_and_not_judged(world: World) -> None:
    def fails(*_: object) -> object:
        raise StorageError(ErrorClass.IO, "planted")

    def open_read(path: str, start: int = 0) -> object:
        driver = FileDriver(world.directory / "a")
        return driver.open_read(path, start) if path == MARKER else fails()

    world.wrap = lambda it: Faulty(it, open_read=open_read)  # type: ignore[return-value]
    assert world.found(Choices(read_all=True, confirm=True)) == [
        ("unread", "in/x", ""),
        ("unread", "in/y", ""),
    ]
    assert world.state() is ReplicaState.AVAILABLE


def test_files_that_nobody_knows_are_listed_and_left(world: World) -> None:
    dark = world.directory / "a" / "dark"
    dark.write_bytes(b"")
    odd = Path(os.fsdecode(os.fsencode(world.directory / "a") + b"/\xff"))
    odd.write_bytes(b"")
    report = world.check(CONFIRM)
    assert [one.what for one in report.findings] == [What.DARK, What.DARK]
    assert dark.exists()
    assert odd.exists()


def test_a_file_that_a_transfer_is_bringing_is_not_dark(world: World) -> None:
    world.registry.change_replicas([("x", "b")], ReplicaCue.SUSPECT, "so that it is not taken")
    file = File(name="z", size=len(CONTENT), checksums=hash_chunks([CONTENT]).checksums())
    world.registry.register([file], [Replica(file="z", storage="b", path="z")])
    world.registry.transfers.enqueue([("z", "a")])
    (world.directory / "a" / "in" / "z").write_bytes(CONTENT)
    assert world.found() == []


def test_parts_of_transfers_that_ended_go_and_others_only_by_a_persons_word(
    world: World,
) -> None:
    world.registry.transfers.enqueue([("y", "b")])
    file = File(name="z", size=len(CONTENT), checksums=hash_chunks([CONTENT]).checksums())
    world.registry.register([file], [Replica(file="z", storage="b", path="z")])
    world.registry.transfers.enqueue([("z", "a")])
    (transfer,) = world.registry.transfers.claim("w", 1, 60.0, ["a"])
    names = {
        "live": part_path("in/z", f"{transfer.id}-{transfer.fence}"),
        "old": part_path("in/z", f"{transfer.id}-{transfer.fence - 1}"),
        "other": part_path("in/z", f"{transfer.id + 7}-1"),
        "strange": part_path("in/nobody", "put"),
    }
    for name in names.values():
        (world.directory / "a" / name).write_bytes(b"")
    left = sorted([("part", names["other"], ""), ("part", names["strange"], "")], key=str)
    assert sorted(world.found(), key=str) == sorted(
        [("part", names["old"], "removed"), *left], key=str
    )
    assert sorted(world.found(), key=str) == left
    world.registry.transfers.fail(transfer, ErrorClass.POLICY, "a test")
    assert {done for _, _, done in world.found(CONFIRM)} == {"removed"}
    assert world.found() == []


@pytest.mark.parametrize("marker", [None, "another"])
def test_of_a_disk_that_is_away_nothing_is_lost_or_dark(world: World, marker: str | None) -> None:
    (world.directory / "a").rename(world.directory / "elsewhere")
    (world.directory / "a").mkdir()
    if marker:
        (world.directory / "a" / MARKER).write_text(marker)
        (world.directory / "a" / "dark").write_text("of another disk")
    report = world.check(CONFIRM)
    assert "marke" in report.error
    assert report.findings == ()
    assert world.state() is ReplicaState.AVAILABLE


@pytest.mark.parametrize("late", ["walk", "judge"])
def test_of_a_disk_that_goes_away_meanwhile_nothing_is_lost(world: World, late: str) -> None:
    (world.directory / "a" / "in" / "x").unlink()
    marker = world.directory / "a" / MARKER

    def walk(prefix: str = "") -> Iterator[object]:
        driver = FileDriver(world.directory / "a")
        if late == "walk":
            marker.unlink()
        yield from driver.walk(prefix)

    def stat(path: str) -> object:
        if late == "judge":
            marker.unlink(missing_ok=True)
        return FileDriver(world.directory / "a").stat(path)

    world.wrap = lambda it: Faulty(it, walk=walk, stat=stat)  # type: ignore[return-value]
    assert "marker" in world.check(CONFIRM).error
    assert world.state() is ReplicaState.AVAILABLE


def test_files_of_another_disk_that_took_its_place_meanwhile_are_not_changed(world: World) -> None:
    place = world.directory / "a" / "in" / "x"
    os.utime(place, ns=(1, 1))

    def stat(path: str) -> object:
        (world.directory / "a" / MARKER).write_text("another")
        place.write_bytes(CONTENT[:-1] + b"x")
        return FileDriver(world.directory / "a").stat(path)

    world.wrap = lambda it: Faulty(it, stat=stat)  # type: ignore[return-value]
    assert "another" in world.check(CONFIRM).error
    assert world.state() is ReplicaState.AVAILABLE


def test_what_came_back_before_the_second_look_was_never_away(world: World) -> None:
    place = world.directory / "a" / "in" / "x"
    place.unlink()

    def walk(prefix: str = "") -> Iterator[object]:
        yield from list(FileDriver(world.directory / "a").walk(prefix))
        place.write_bytes(CONTENT)

    world.wrap = lambda it: Faulty(it, walk=walk)  # type: ignore[return-value]
    assert world.found() == [("good", "in/x", "available")]


def test_a_replica_that_is_being_removed_is_left_alone(world: World) -> None:
    world.registry.deletions.request([("x", "a")], "a test")
    world.registry.deletions.claim("w", 1, 60.0)
    (world.directory / "a" / "in" / "x").unlink()
    assert world.found(CONFIRM) == []
    assert world.state() is ReplicaState.DELETING


def test_a_dry_run_changes_nothing(world: World) -> None:
    (world.directory / "a" / "in" / "x").unlink()
    part = world.directory / "a" / part_path("in/x", "7-1")
    part.write_bytes(b"")
    assert [one[0] for one in world.found(Choices(dry_run=True, confirm=True))] == ["part", "lost"]
    assert world.state() is ReplicaState.AVAILABLE
    assert part.exists()


def test_storages_without_marker_access_or_name_are_refused(world: World) -> None:
    world.registry.storages.put(Storage(name="theirs", marker=""))
    opened = lambda access: FileDriver(world.directory / access.storage)  # noqa: E731
    assert "has no marker" in fsck(world.registry, opened, "z", "theirs").error
    assert "no access to read" in fsck(world.registry, opened, "elsewhere", "a").error
    with pytest.raises(InputError, match="there is no storage"):
        fsck(world.registry, opened, "z", "nobody")


def test_a_storage_that_lists_nothing_is_asked_for_each_file(world: World) -> None:
    capabilities = FileDriver.capabilities
    (world.directory / "a" / "in" / "x").unlink()
    (world.directory / "a" / "dark").write_bytes(b"")

    class Blind:
        walks = False

        def __getattr__(self, name: str) -> object:
            return getattr(capabilities, name)

    world.wrap = lambda it: Faulty(it, capabilities=Blind())  # type: ignore[return-value]
    (finding,) = world.check().findings
    assert finding == Finding(
        what=What.LOST, path="in/x", file="x", detail="there is no such file", done="suspect"
    )
