"""Real processes write to one registry in SQLite in turns, and one is killed (decision 13)."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import text

from euclid_dask.data.model import Storage
from euclid_dask.data.registry import Registry

BATCHES = 4
FILES = 30
"""Of a batch."""
PROGRAM = dedent("""\
    import sys
    from euclid_dask.data.model import File, Replica
    from euclid_dask.data.registry import Registry
    from euclid_dask.data.registry.events import Change, record
    from euclid_dask.data.registry.files import put_files
    from euclid_dask.data.registry.replicas import put_replicas

    address, worker, batches, files, held = sys.argv[1:]

    def batch(number):
        names = [f"{worker}-{number}-{one}" for one in range(int(files))]
        return (
            [File(name=name, size=1) for name in names],
            [Replica(file=name, storage="A", path=name) for name in names],
        )

    def hold(connection):
        connection.exec_driver_sql("PRAGMA cache_size = 1")  # rows go to the disk before the end
        event = record(connection, Change("held"))
        new, replicas = batch("held")
        put_replicas(connection, replicas, event, put_files(connection, new, event.id, set()))
        print("held", flush=True)
        sys.stdin.readline()

    print("asks", flush=True)
    with Registry(address) as registry:
        for number in range(int(batches)):
            registry.register(*batch(number))
            print(number, flush=True)
        if held:
            registry.database.write(hold)
""")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[Path]:
    """Return where a registry with a storage is."""
    path = tmp_path / "registry.db"
    with Registry(path) as registry:
        registry.storages.put(Storage(name="A", marker="A"))
    return path


def writer(
    processes: ExitStack, address: Path, name: str, batches: int, held: str = ""
) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", PROGRAM, str(address), name, str(batches), str(FILES), held]
    pipe = subprocess.PIPE
    process = processes.enter_context(subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True))
    processes.callback(process.kill)
    return process


def lines_until(process: "subprocess.Popen[str]", last: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if line.strip() == last:
            return
    pytest.fail(f"a writer ended before it said {last}")


def there(registry: Registry, name: str, number: object) -> int:
    """Return how many files of a batch are there, each with its replica."""
    names = [f"{name}-{number}-{one}" for one in range(FILES)]
    places = registry.locate(names)
    assert registry.exists(names) == {one for one in names if places[one]}
    return len(registry.exists(names))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_held", [True, False], ids=["in its transaction", "at any moment"])
def test_one_that_is_killed_leaves_nothing_by_half_and_others_go_on(
    address: Path, *, is_held: bool
) -> None:
    with ExitStack() as processes:
        if is_held:
            killed = writer(processes, address, "killed", 1, "held")
            lines_until(killed, "held")
        others = [writer(processes, address, name, BATCHES) for name in "bc"]
        for other in others:
            lines_until(other, "asks")
        if not is_held:
            killed = writer(processes, address, "killed", 10_000)
            lines_until(killed, "1")
        killed.kill()
        assert [other.wait(120) for other in others] == [0, 0]
    with Registry(address) as registry:
        found = [there(registry, name, number) for name in "bc" for number in range(BATCHES)]
        assert set(found) == {FILES}
        told = [0] if is_held else [0, 1]
        assert [there(registry, "killed", number) for number in told] == len(told) * [FILES]
        assert {there(registry, "killed", number) for number in range(1, 50)} <= {0, FILES}
        assert there(registry, "killed", "held") == 0
        for check, wanted in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
            asked = text(f"PRAGMA {check}")
            rows = registry.database.read(lambda it, asked=asked: it.execute(asked).all())
            assert [tuple(row) for row in rows] == wanted
