"""What a mover makes of a queue of transfers: files where they are wanted, or a clear no."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError, RegistryUnreachableError
from euclid_dask.core.values import replace
from euclid_dask.data import mover as mover_module
from euclid_dask.data import together
from euclid_dask.data.copying import new_path
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.model import (
    Access,
    Arrival,
    Checksum,
    ErrorClass,
    File,
    Replica,
    ReplicaState,
    Storage,
    Transfer,
    TransferState,
)
from euclid_dask.data.mover import Mover, Settings
from euclid_dask.data.outcomes import Job
from euclid_dask.data.registry import Registry
from euclid_dask.data.resolve import Location
from euclid_dask.data.storage import MARKER, Reader, StorageDriver, StorageError, part_path
from euclid_dask.data.storages.file import FileDriver

CONTENT = bytes(range(256)) * 9000
"""More than two blocks."""
NAME = "EUC_a.fits"


class StillClock:
    def now_s(self) -> float:
        return 0.0


class World:
    """A registry, storages in directories, and one file in the first of them."""

    def __init__(self, directory: Path, *storages: str) -> None:
        self.directory = directory
        self.registry = Registry(directory / "registry.db")
        self.drivers: dict[str, StorageDriver] = {}
        for name in storages:
            root = directory / name
            root.mkdir()
            (root / MARKER).write_text(f"{name}\n")
            self.registry.storages.put(Storage(name=name, marker=name))
            self.registry.storages.put_access(
                [Access(storage=name, zone="z", root=f"file://{root}")]
            )
            self.drivers[name] = FileDriver(root)

    def add(
        self, storage: str, name: str = NAME, content: bytes = CONTENT, known: bytes = CONTENT
    ) -> None:
        """Register a file of content `known`, of which the storage has `content`."""
        self.write(storage, f"in/{name}", content)
        file = File(name=name, size=len(known), checksums=hash_chunks([known]).checksums())
        self.registry.register([file], [Replica(file=name, storage=storage, path=f"in/{name}")])

    def write(self, storage: str, path: str, content: bytes) -> Path:
        place = self.directory / storage / path
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
        return place

    def move(self, *names: str, threads: int = 2) -> Transfer:
        """Have files moved to the second storage; return the transfer of the last one."""
        wanted = names or (NAME,)
        self.registry.transfers.enqueue([(name, "b") for name in wanted])
        settings = Settings(worker="w", zone="z", threads=threads)
        mover = Mover(self.registry, self.opened, StillClock(), settings)
        mover.drain()
        mover.close()
        return self.registry.transfers.of_files(wanted)[-1]

    def opened(self, access: Access) -> StorageDriver:
        return self.drivers[access.storage]

    def states(self, name: str = NAME) -> Mapping[str, ReplicaState]:
        found = self.registry.locate([name], frozenset(ReplicaState))[name]
        return {replica.storage: replica.state for replica in found}

    def paths(self, storage: str) -> list[str]:
        return sorted(path for path, _ in self.drivers[storage].walk() if path != MARKER)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, "a", "b", "c")
    yield made
    made.registry.close()


class Faulty:
    """A driver of which some calls fail."""

    def __init__(self, driver: StorageDriver, **calls: Callable[..., object]) -> None:
        self._driver = driver
        self._calls = calls

    def __getattr__(self, name: str) -> object:
        return self._calls.get(name) or getattr(self._driver, name)


class Breaking:
    """A reader whose line breaks after the first block."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._left = 1

    def read(self, n: int) -> bytes:
        if not self._left:
            raise StorageError(ErrorClass.NETWORK, "cut")
        self._left -= 1
        return self._reader.read(1_000_000)


def raises(kind: ErrorClass, retry_after_s: float | None = None) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise StorageError(kind, "planted", retry_after_s)

    return fail


def test_a_file_arrives_whole_read_only_and_is_registered(world: World) -> None:
    world.add("a")
    done = world.move()
    assert (done.state, done.method, done.bytes_copied) == ("done", "copy", len(CONTENT))
    assert world.states() == {"a": "available", "b": "available"}
    assert world.paths("b") == [new_path(NAME)]
    arrived = world.directory / "b" / new_path(NAME)
    assert arrived.read_bytes() == CONTENT
    assert arrived.stat().st_mode & 0o777 == 0o444
    (replica,) = [r for r in world.registry.locate([NAME])[NAME] if r.storage == "b"]
    assert (replica.path, replica.mtime_ns) == (new_path(NAME), arrived.stat().st_mtime_ns)


def test_many_files_arrive_through_few_threads(world: World) -> None:
    names = [f"EUC_{number}.fits" for number in range(20)]
    for name in names:
        world.add("a", name, name.encode(), name.encode())
    world.move(*names, threads=3)
    assert world.paths("b") == sorted(new_path(name) for name in names)
    assert world.registry.transfers.active() == []


def test_an_empty_file_arrives(world: World) -> None:
    world.add("a", content=b"", known=b"")
    assert world.move().state is TransferState.DONE
    assert (world.directory / "b" / new_path(NAME)).read_bytes() == b""


def test_other_bytes_of_the_same_size_do_not_arrive_and_their_source_is_suspect(
    world: World,
) -> None:
    world.add("a", content=CONTENT[:-1] + b"x")
    failed = world.move()
    assert (failed.state, failed.error_class) == (TransferState.RETRY, ErrorClass.CONTENT)
    assert world.states() == {"a": "suspect"}
    assert world.paths("b") == []


def test_of_two_sources_the_good_one_is_taken_and_the_bad_one_is_suspect(world: World) -> None:
    world.add("a", content=CONTENT[:-1] + b"x")
    world.write("c", "there", CONTENT)
    world.registry.register([], [Replica(file=NAME, storage="c", path="there")])
    assert world.move().state is TransferState.DONE
    assert world.states() == {"a": "suspect", "b": "available", "c": "available"}
    assert (world.directory / "b" / new_path(NAME)).read_bytes() == CONTENT


@pytest.mark.parametrize("algorithm", ["adler32", "md5"])
def test_one_wrong_checksum_is_enough_to_refuse(world: World, algorithm: str) -> None:
    world.write("a", "x", CONTENT)
    right = [c for c in hash_chunks([CONTENT], ["md5"]).checksums() if c.algorithm != algorithm]
    wrong = Checksum(algorithm=algorithm, value="0" * {"adler32": 8, "md5": 32}[algorithm])
    file = File(name=NAME, size=len(CONTENT), checksums=(*right, wrong))
    world.registry.register([file], [Replica(file=NAME, storage="a", path="x")])
    assert world.move().error_class is ErrorClass.CONTENT
    assert world.paths("b") == []


def test_a_source_is_not_blamed_while_its_disk_is_away(world: World) -> None:
    world.add("a", content=CONTENT[:-1] + b"x")
    (world.directory / "a" / MARKER).unlink()
    failed = world.move()
    assert (failed.state, failed.error_class) == (TransferState.RETRY, ErrorClass.AWAY)
    assert world.states() == {"a": "available"}


def test_a_missing_source_is_suspect_only_when_it_was_looked_for_a_while(world: World) -> None:
    world.add("a")
    (world.directory / "a" / "in" / NAME).unlink()
    assert world.move().error_class is ErrorClass.MISSING
    assert world.states() == {"a": "available"}


@pytest.mark.parametrize("marker", ["", "another\n"])
def test_nothing_is_written_to_a_storage_that_is_not_there(world: World, marker: str) -> None:
    world.add("a")
    place = world.directory / "b" / MARKER
    place.write_text(marker) if marker else place.unlink()
    failed = world.move()
    assert (failed.state, failed.error_class) == (TransferState.RETRY, ErrorClass.AWAY)
    assert world.paths("b") == []


def test_what_is_there_with_the_same_content_is_found_and_not_copied(world: World) -> None:
    world.add("a")
    world.write("b", new_path(NAME), CONTENT)
    found = world.move()
    assert (found.state, found.method, found.bytes_copied) == ("done", "found", 0)
    assert world.states()["b"] is ReplicaState.AVAILABLE


@pytest.mark.parametrize("content", [b"short", CONTENT[:-1] + b"x"])
def test_what_is_there_with_other_content_is_never_replaced(world: World, content: bytes) -> None:
    world.add("a")
    place = world.write("b", new_path(NAME), content)
    failed = world.move()
    assert (failed.state, failed.error_class) == (TransferState.FAILED, ErrorClass.EXISTS)
    assert place.read_bytes() == content
    assert world.paths("b") == [new_path(NAME)]


def test_what_appears_before_publishing_is_looked_at(world: World) -> None:
    world.add("a")
    driver = world.drivers["b"]

    def open_part(path: str, part: str, size: int | None = None) -> object:
        made = driver.open_part(path, part, size)
        world.write("b", path, CONTENT)
        return made

    world.drivers["b"] = Faulty(driver, open_part=open_part)
    assert world.move().state is TransferState.DONE
    assert world.paths("b") == [new_path(NAME)]


def test_a_file_of_which_no_checksum_is_known_gets_them_by_being_copied(world: World) -> None:
    world.write("a", "x", CONTENT)
    file = File(name=NAME, size=len(CONTENT))
    world.registry.register([file], [Replica(file=NAME, storage="a", path="x")])
    assert world.move().state is TransferState.DONE
    known = world.registry.files([NAME])[NAME].checksums
    assert {checksum.algorithm for checksum in known} == {"adler32", "xxh3"}


@pytest.mark.parametrize(("same", "state"), [(True, "done"), (False, "failed")])
def test_without_checksums_what_is_there_is_compared_with_a_source(
    world: World, same: bool, state: str
) -> None:
    world.write("a", "x", CONTENT)
    world.write("b", new_path(NAME), CONTENT if same else CONTENT[:-1] + b"x")
    file = File(name=NAME, size=len(CONTENT))
    world.registry.register([file], [Replica(file=NAME, storage="a", path="x")])
    assert world.move().state == state


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (ErrorClass.NETWORK, TransferState.RETRY),
        (ErrorClass.TIMEOUT, TransferState.RETRY),
        (ErrorClass.IO, TransferState.RETRY),
        (ErrorClass.FULL, TransferState.RETRY),
        (ErrorClass.AUTH, TransferState.FAILED),
        (ErrorClass.POLICY, TransferState.FAILED),
    ],
)
def test_the_kind_of_a_failure_decides_whether_it_is_tried_again(
    world: World, kind: ErrorClass, state: TransferState
) -> None:
    world.add("a")
    world.drivers["b"] = Faulty(world.drivers["b"], open_part=raises(kind))
    failed = world.move()
    assert (failed.state, failed.error_class, failed.error) == (state, kind, "planted")
    assert world.states() == {"a": "available"}


def test_a_source_that_refuses_us_is_passed_over(world: World) -> None:
    world.add("a")
    world.write("c", "there", CONTENT)
    world.registry.register([], [Replica(file=NAME, storage="c", path="there")])
    world.drivers["a"] = Faulty(world.drivers["a"], open_read=raises(ErrorClass.AUTH))
    assert world.move().state is TransferState.DONE
    assert world.states() == {"a": "available", "b": "available", "c": "available"}


def test_a_full_storage_gets_nothing_for_a_while(world: World) -> None:
    world.add("a")
    world.add("a", "EUC_b.fits")
    good = world.drivers["b"]
    world.drivers["b"] = Faulty(good, open_part=raises(ErrorClass.FULL))
    world.move()
    world.drivers["b"] = good
    assert world.move("EUC_b.fits").state is TransferState.QUEUED


def with_run(world: World, mode: int = 0o444) -> Path:
    """Have the file in a storage that does not last."""
    root = world.directory / "run"
    root.mkdir()
    (root / MARKER).write_text("run")
    world.registry.storages.put(Storage(name="run", marker="run", durable=False))
    world.registry.storages.put_access([Access(storage="run", zone="z", root="file:///run")])
    world.drivers["run"] = FileDriver(root)
    output = world.write("run", "1/out.fits", CONTENT)
    output.chmod(mode)
    file = File(name=NAME, size=len(CONTENT), checksums=hash_chunks([CONTENT]).checksums())
    replica = Replica(
        file=NAME, storage="run", path="1/out.fits", mtime_ns=output.stat().st_mtime_ns
    )
    world.registry.register([file], [replica])
    return output


def test_an_output_of_a_run_is_linked_into_a_storage_on_its_disk(world: World) -> None:
    output = with_run(world)
    done = world.move()
    assert (done.state, done.method, done.bytes_copied) == ("done", "link", 0)
    assert (world.directory / "b" / new_path(NAME)).samefile(output)


def test_what_a_task_could_still_write_is_copied(world: World) -> None:
    output = with_run(world, 0o644)
    assert world.move().method == "copy"
    assert not (world.directory / "b" / new_path(NAME)).samefile(output)


def test_an_output_that_was_changed_is_read_and_refused(world: World) -> None:
    output = with_run(world)
    output.chmod(0o644)
    output.write_bytes(CONTENT[:-1] + b"x")
    output.chmod(0o444)
    assert world.move().error_class is ErrorClass.CONTENT
    assert world.states() == {"run": "suspect"}


def test_two_storages_that_last_share_no_file(world: World) -> None:
    world.add("a")
    (world.directory / "a/in" / NAME).chmod(0o444)
    assert world.move().method == "copy"


def test_where_a_link_fails_the_next_try_copies(world: World) -> None:
    with_run(world)
    world.drivers["b"] = Faulty(world.drivers["b"], link=raises(ErrorClass.POLICY))
    settings = Settings(worker="w", zone="z")
    mover = Mover(world.registry, world.opened, StillClock(), settings)
    world.registry.transfers.enqueue([(NAME, "b")])
    mover.drain()
    (waiting,) = world.registry.transfers.active()
    assert waiting.state is TransferState.RETRY
    with sqlite3.connect(world.directory / "registry.db") as database:
        database.execute("UPDATE transfers SET not_before_s = 0")
    database.close()
    mover.drain()
    assert world.registry.transfers.of_files([NAME])[-1].method == "copy"


def test_a_broken_line_is_taken_up_where_it_broke(world: World) -> None:
    world.add("a")
    driver, starts = world.drivers["a"], list[int]()

    @contextmanager
    def open_read(path: str, start: int = 0) -> Iterator[object]:
        with driver.open_read(path, start) as reader:
            if path.startswith("in/"):
                starts.append(start)
                yield Breaking(reader)
            else:
                yield reader

    world.drivers["a"] = Faulty(driver, open_read=open_read)
    world.move()
    assert starts == [0, 1_000_000, 2_000_000, len(CONTENT)]


def test_a_lost_lease_publishes_nothing(world: World) -> None:
    world.add("a")
    driver = world.drivers["b"]

    def open_part(path: str, part: str, size: int | None = None) -> object:
        world.registry.transfers.cancel([int(part.partition("-")[0])])
        return driver.open_part(path, part, size)

    world.drivers["b"] = Faulty(driver, open_part=open_part)
    assert world.move().state is TransferState.CANCELLED
    assert world.paths("b") == []


class Ticking:
    """A clock by which leases have always to be extended."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def now_s(self) -> float:
        self._now_s += 60.0
        return self._now_s


class NoPause:
    """In place of an event that is waited for."""

    def wait(self, _: float) -> None:
        """Come back at once."""


def refuse_call(of: object, method: str, number: int) -> threading.Event:
    """Have a call, the first or the second, find no registry; return what is set by it."""
    real, left, refused = getattr(of, method), [number], threading.Event()

    def called(*given: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            refused.set()
            raise RegistryUnreachableError("others write")
        return real(*given)

    setattr(of, method, called)
    return refused


def test_a_registry_that_does_not_answer_ends_nothing_that_runs(world: World) -> None:
    transfers = world.registry.transfers
    names = ("EUC_a.fits", "EUC_publishing.fits", "EUC_finish.fits")  # held until that is refused

    def open_part(path: str, part: str, size: int | None = None) -> object:
        for method, event in refused.items():
            if method in path:
                assert event.wait(60)
        return driver.open_part(path, part, size)

    for name in names:
        world.add("a", name)
    driver = world.drivers["b"]
    world.drivers["b"] = Faulty(driver, open_part=open_part)
    transfers.enqueue([(name, "b") for name in names])
    calls = {"claim": 2, "extend": 1, "publishing": 1, "finish": 1}
    refused = {method: refuse_call(transfers, method, number) for method, number in calls.items()}
    settings = Settings(worker="w", zone="z", threads=3)
    done = Mover(world.registry, world.opened, Ticking(), settings).drain()
    assert done.done == 3
    assert all(event.is_set() for event in refused.values())
    assert {one.attempts for one in transfers.of_files(names)} == {0}


@pytest.mark.parametrize("method", ["publishing", "finish"])
def test_what_is_ready_is_told_when_the_registry_answers_though_nothing_moves(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(mover_module, "Event", NoPause)
    world.add("a")
    refused = refuse_call(world.registry.transfers, method, 1)
    assert world.move(threads=1).state is TransferState.DONE
    assert refused.is_set()


def test_a_registry_that_stays_away_ends_a_mover_when_its_lease_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mover_module, "Event", NoPause)
    world.add("a")
    transfers = world.registry.transfers
    transfers.enqueue([(NAME, "b")])
    tries = []

    def away(_: object) -> None:
        tries.append(len(tries))
        raise RegistryUnreachableError("others write")

    transfers.finish = away
    settings = Settings(worker="w", zone="z", lease_s=300.0)
    with pytest.raises(RegistryUnreachableError, match="others write"):
        Mover(world.registry, world.opened, Ticking(), settings).drain()
    assert len(tries) == 5  # one a tick of the clock, so long as the lease holds
    assert transfers.of_files([NAME])[0].state is TransferState.PUBLISHING


def test_one_that_is_refused_keeps_no_others_from_being_registered(world: World) -> None:
    names = [f"EUC_{number}.fits" for number in range(6)]
    for name in names:
        world.add("a", name)
    finish = world.registry.transfers.finish

    def refusing(arrivals: Sequence[Arrival]) -> None:
        if any(arrival.replica.file == names[3] for arrival in arrivals):
            raise InputError("all replicas of this file are being removed")
        finish(arrivals)

    world.registry.transfers.finish = refusing
    world.move(*names, threads=6)
    states = {one.file: one.state for one in world.registry.transfers.of_files(names)}
    assert states == {
        name: TransferState.FAILED if name == names[3] else TransferState.DONE for name in names
    }


def test_parts_of_movers_that_died_are_removed(world: World) -> None:
    world.add("a")
    world.registry.transfers.enqueue([(NAME, "b")])
    (dead,) = world.registry.transfers.claim("dead", 1, -1.0)
    world.write("b", part_path(new_path(NAME), f"{dead.id}-{dead.fence}"), b"half")
    assert world.move().state is TransferState.DONE
    assert world.paths("b") == [new_path(NAME)]


def test_what_a_dead_mover_published_counts_as_copied(world: World) -> None:
    world.add("a")
    world.registry.transfers.enqueue([(NAME, "b")])
    (claimed,) = world.registry.transfers.claim("dead", 1, -1.0)
    ready = replace(claimed, method="copy", bytes_copied=len(CONTENT))
    world.registry.transfers.publishing([ready], -1.0)
    world.write("b", new_path(NAME), CONTENT)
    done = world.move()
    assert (done.state, done.method, done.bytes_copied) == ("done", "copy", len(CONTENT))


def test_what_a_stranger_put_there_after_a_mover_died_counts_as_found(world: World) -> None:
    world.add("a")
    world.registry.transfers.enqueue([(NAME, "b")])
    world.registry.transfers.claim("dead", 1, -1.0)
    world.write("b", new_path(NAME), CONTENT)
    done = world.move()
    assert (done.state, done.method, done.bytes_copied) == ("done", "found", 0)


def test_what_was_published_and_not_seen_at_once_counts_as_copied(world: World) -> None:
    world.add("a")
    good = world.drivers["b"]

    def stat(path: str) -> object:
        if world.paths("b") == [new_path(NAME)]:
            raise StorageError(ErrorClass.NETWORK, "not seen yet", -1.0)
        return good.stat(path)

    world.drivers["b"] = Faulty(good, stat=stat)
    assert world.move().state is TransferState.RETRY
    world.drivers["b"] = good
    with sqlite3.connect(world.directory / "registry.db") as database:
        database.execute("UPDATE transfers SET not_before_s = 0")
    database.close()
    done = world.move()
    assert (done.state, done.method, done.bytes_copied) == ("done", "copy", len(CONTENT))


def test_what_was_copied_and_was_there_meanwhile_counts_as_copied(world: World) -> None:
    world.add("a")
    driver = world.drivers["b"]

    def open_part(path: str, part: str, size: int | None = None) -> object:
        made = driver.open_part(path, part, size)
        world.write("b", path, CONTENT)
        return made

    world.drivers["b"] = Faulty(driver, open_part=open_part)
    done = world.move()
    assert (done.state, done.method, done.bytes_copied) == ("done", "copy", len(CONTENT))


def test_a_file_of_which_no_checksum_is_known_is_not_read_on_after_a_break(world: World) -> None:
    world.write("a", "x", CONTENT)
    file = File(name=NAME, size=len(CONTENT))
    world.registry.register([file], [Replica(file=NAME, storage="a", path="x")])
    driver, starts = world.drivers["a"], list[int]()

    @contextmanager
    def open_read(path: str, start: int = 0) -> Iterator[object]:
        starts.append(start)
        with driver.open_read(path, start) as reader:
            yield Breaking(reader)

    world.drivers["a"] = Faulty(driver, open_read=open_read)
    failed = world.move()
    assert (failed.state, failed.error_class) == (TransferState.RETRY, ErrorClass.NETWORK)
    assert starts == [0]


def test_a_source_that_is_not_ours_needs_no_marker(world: World) -> None:
    world.add("a")
    world.registry.storages.put(Storage(name="web", marker=""))
    root = world.directory / "web"
    root.mkdir()
    world.registry.storages.put_access([Access(storage="web", zone="z", root="file:///web")])
    world.drivers["web"] = FileDriver(root)
    world.write("web", "x", CONTENT[:-1] + b"x")
    world.registry.register([], [Replica(file=NAME, storage="web", path="x")])
    (world.directory / "a" / "in" / NAME).unlink()
    assert world.move().error_class is ErrorClass.CONTENT
    assert world.states() == {"a": "available", "web": "suspect"}


def test_a_storage_without_a_marker_is_not_written(world: World) -> None:
    world.add("a")
    root = world.directory / "d"
    root.mkdir()
    world.registry.storages.put(Storage(name="d", marker=""))
    world.registry.storages.put_access([Access(storage="d", zone="z", root=f"file://{root}")])
    world.drivers["d"] = FileDriver(root)
    world.registry.transfers.enqueue([(NAME, "d")])
    world.move()
    failed = next(
        one for one in world.registry.transfers.of_files([NAME]) if one.destination == "d"
    )
    assert (failed.state, failed.error_class) == (TransferState.FAILED, ErrorClass.POLICY)
    assert "has no marker" in failed.error
    assert list(root.iterdir()) == []


def test_a_way_that_this_host_cannot_use_stops_only_what_needs_it(world: World) -> None:
    world.add("a")
    world.add("a", "other.fits")
    world.registry.storages.put(Storage(name="far", marker="far"))
    world.registry.storages.put_access(
        [Access(storage="far", zone="z", root="https://far/x", credential="theirs")]
    )
    world.registry.register([], [Replica(file=NAME, storage="far", path="x")])
    makers = world.opened

    def opened(access: Access) -> StorageDriver:
        if access.storage == "far":
            raise InputError("there is no credential 'theirs'")
        return makers(access)

    world.opened = opened  # type: ignore[method-assign]
    (world.directory / "a" / "in" / NAME).write_bytes(CONTENT[:-1] + b"x")
    assert world.move(NAME, "other.fits").state is TransferState.DONE
    first = world.registry.transfers.of_files([NAME])[-1]
    assert first.state is not TransferState.DONE


def test_a_mistake_of_ours_stops_only_the_transfer_that_makes_it(world: World) -> None:
    world.add("a")
    world.add("a", "other.fits")
    driver = world.drivers["b"]

    def open_part(path: str, part: str, size: int | None = None) -> object:
        if path == new_path(NAME):
            raise RuntimeError("nobody foresaw this")
        return driver.open_part(path, part, size)

    world.drivers["b"] = Faulty(driver, open_part=open_part)
    assert world.move(NAME, "other.fits").state is TransferState.DONE
    (failed,) = world.registry.transfers.of_files([NAME])
    assert (failed.state, failed.error_class) == (TransferState.FAILED, ErrorClass.BUG)
    assert "RuntimeError: nobody foresaw this (test_mover.py:" in failed.error


def test_a_mistake_while_publishing_leaves_no_part(world: World) -> None:
    world.add("a")

    def stat(path: str) -> object:
        if world.paths("b"):
            raise RuntimeError("nobody foresaw this")

    world.drivers["b"] = Faulty(world.drivers["b"], stat=stat)
    assert world.move().error_class is ErrorClass.BUG
    assert [path for path in world.paths("b") if "part" in path] == []


@pytest.mark.parametrize(("deaths", "state"), [(7, "done"), (8, "failed")])
def test_a_transfer_that_movers_die_of_is_given_up(world: World, deaths: int, state: str) -> None:
    world.add("a")
    world.registry.transfers.enqueue([(NAME, "b")])
    (claimed,) = world.registry.transfers.claim("unlucky", 1, 60.0)
    for _ in range(20):  # failures are told, and no deaths
        world.registry.transfers.fail(claimed, ErrorClass.AWAY, "away", retry_in_s=-1.0)
        (claimed,) = world.registry.transfers.claim("unlucky", 1, -1.0)
    for _ in range(deaths - 1):
        world.registry.transfers.claim("dead", 1, -1.0)
    ended = world.move()
    assert ended.state == state
    if state == "failed":
        assert ended.error_class is ErrorClass.BUG
        assert "8 movers ended while they had it" in ended.error


SMALL = {f"EUC_{number}.fits": bytes([number]) * 100 for number in range(6)}


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return where all that waits was written to the disk at once; it is told to have failed."""
    places: list[Path] = []

    def fail(place: Path) -> None:
        places.append(place)
        raise OSError(5, "planted")

    monkeypatch.setattr(together, "sync_file_system", fail)
    return places


def test_the_disk_is_waited_for_once_for_a_group_and_need_not_answer(
    world: World, settled: list[Path]
) -> None:
    for name, content in SMALL.items():
        world.add("a", name, content, content)
    world.move(*SMALL)
    assert settled == [world.directory / "b"] * 2  # for the parts, and for their names
    assert world.registry.transfers.active() == []
    assert world.paths("b") == sorted(map(new_path, SMALL))


def test_one_file_is_not_waited_for_with_all_others(world: World, settled: list[Path]) -> None:
    world.add("a", content=b"x", known=b"x")
    world.add("a", "EUC_large.fits")
    assert world.move(NAME, "EUC_large.fits").state is TransferState.DONE
    assert settled == []


def test_what_fails_of_a_group_fails_alone(world: World) -> None:
    wrong, taken, full, broken, unnamed, good = SMALL
    for name, content in SMALL.items():
        world.add("a", name, b"x" * 100 if name == wrong else content, content)
    world.write("b", new_path(taken), b"y" * 100)
    driver = world.drivers["b"]

    def open_part(path: str, part: str, size: int | None = None) -> object:
        made = driver.open_part(path, part, size)
        calls = {
            new_path(full): {"write": raises(ErrorClass.FULL)},
            new_path(broken): {"sync": raises(ErrorClass.IO)},
            new_path(unnamed): {"name": raises(ErrorClass.IO), "publish": raises(ErrorClass.IO)},
        }
        return Faulty(made, **calls.get(path, {}))

    world.drivers["b"] = Faulty(driver, open_part=open_part)
    world.move(*SMALL)
    ended = {
        one.file: (one.state, one.error_class) for one in world.registry.transfers.of_files(SMALL)
    }
    assert ended == {
        wrong: ("retry", ErrorClass.CONTENT),
        taken: ("failed", ErrorClass.EXISTS),
        full: ("retry", ErrorClass.FULL),
        broken: ("retry", ErrorClass.IO),
        unnamed: ("retry", ErrorClass.IO),
        good: ("done", None),
    }
    assert world.paths("b") == sorted([new_path(taken), new_path(good)])


def test_a_group_whose_disk_is_away_fails_and_no_other(world: World) -> None:
    for name, content in SMALL.items():
        world.add("a", name, content, content)
    (world.directory / "b" / MARKER).unlink()
    world.move(*SMALL)
    ended = {(one.state, one.error_class) for one in world.registry.transfers.of_files(SMALL)}
    assert ended == {(TransferState.RETRY, ErrorClass.AWAY)}


def test_outputs_of_a_run_are_linked_as_a_group(world: World, settled: list[Path]) -> None:
    with_run(world)
    output = world.directory / "run/1"
    for name, content in SMALL.items():
        (output / name).write_bytes(content)
        (output / name).chmod(0o444)
        time_ns = (output / name).stat().st_mtime_ns
        file = File(name=name, size=len(content), checksums=hash_chunks([content]).checksums())
        replica = Replica(file=name, storage="run", path=f"1/{name}", mtime_ns=time_ns)
        world.registry.register([file], [replica])
    world.move(*SMALL)
    assert {one.method for one in world.registry.transfers.of_files(SMALL)} == {"link"}
    for name in SMALL:
        assert (world.directory / "b" / new_path(name)).samefile(output / name)
    assert len(settled) == 2


def test_a_group_has_one_destination_and_no_more_than_so_many(world: World) -> None:
    def job(number: int, size: int = 1, root: str = "file:///b", source: str = "file:///a") -> Job:
        ways = [Access(storage="x", zone="z", root=one) for one in (root, source)]
        target, origin = (Location(access=way, path="p") for way in ways)
        storage = Storage(name="x", marker="x")
        return Job(
            transfer=Transfer(
                id=number,
                file="f",
                destination="x",
                state=TransferState.RUNNING,
            ),
            file=File(name="f", size=size),
            storage=storage,
            target=target,
            sources=((origin, storage),),
        )

    some = [job(number) for number in range(together.MOST + 2)]
    slow = [job(1000, size=1 << 30), job(1001, source="https://a"), job(1002, root="sftp://b")]
    other = [job(2000, root="file:///c")]
    assert sorted(
        [one.transfer.id for one in group] for group in together.groups(some + slow + other)
    ) == [
        list(range(together.MOST)),
        [together.MOST, together.MOST + 1],
        [1000],
        [1001],
        [1002],
        [2000],
    ]
