"""The store of profiles: made of journals, as often as one likes, and never more than they tell."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from euclid_dask.core.attempts import Failure, FailureKind, Order
from euclid_dask.core.errors import InputError
from euclid_dask.core.events import RunOptions
from euclid_dask.core.flow import Flow
from euclid_dask.core.ids import RunId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.runner.profiles import ProfileStore
from euclid_dask.runner.workspace import Workspace
from euclid_dask.sim import Outcome, World, begin, simulate
from euclid_dask.sim.flows import arg, body, flow, out, split, task

FAILURE = Failure(kind=FailureKind.EXIT, message="as written")


def behave(run: RunId, order: Order) -> Outcome:
    failed = order.task == "each.iterations.2.work" and order.attempt == 1
    return Outcome(
        duration_s=3.0 if "work" in order.task else 1.0,
        failure=FAILURE if failed else None,
        lists={"items": ("a", "b", "c") if order.task == "make" else ()},
    )


def pipeline() -> Flow:
    branch = body(task("work", image=arg("item")), inputs=("item",), result=out("work"))
    return flow(
        body(
            task("make"),
            split("each", branch, over="item", item=out("make", "items")),
            result=out("each", "tuplelist"),
        )
    )


def a_run(workdir: Path, after_s: float = 0.0) -> Workspace:
    world = World(behave)
    world.agenda.advance(after_s)
    world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    options = RunOptions(science_retries=1, fresh=True)
    simulate(world, begin(world, pipeline(), workdir, options=options))
    return Workspace(workdir)


def content(store: ProfileStore) -> list[tuple[str, str, int, str, float]]:
    found = [
        (use.run, use.task, use.attempt, use.verdict, use.wall_s)
        for one in {(d.executable, d.version) for d in store.definitions()}
        for use in store.usages(*one)
    ]
    return sorted(found)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ProfileStore]:
    with ProfileStore.open(tmp_path / "profiles.sqlite") as opened:
        yield opened


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return a_run(tmp_path / "w")


def test_every_attempt_with_a_receipt_is_a_row(store: ProfileStore, workspace: Workspace) -> None:
    assert store.take_in_workdir(workspace) == []
    (run,) = workspace.runs()
    assert content(store) == [
        (run, "each.iterations.1.work", 1, "done", 3.0),
        (run, "each.iterations.2.work", 1, "exit", 3.0),
        (run, "each.iterations.2.work", 2, "done", 3.0),
        (run, "each.iterations.3.work", 1, "done", 3.0),
        (run, "make", 1, "done", 1.0),
    ]


def test_an_attempt_is_kept_with_the_ram_that_it_was_given(
    store: ProfileStore, tmp_path: Path
) -> None:
    hungry = Failure(kind=FailureKind.MEMORY, message="too much", used=1.1 * GB)
    world = World(lambda _, order: Outcome(failure=hungry if order.attempt == 1 else None))
    world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    made = flow(body(task("a", "x"), result=out("a")), {"x": Resources(ram_bytes=GB)})
    simulate(world, begin(world, made, tmp_path / "w", options=RunOptions(larger_retries=1)))
    assert store.take_in_workdir(Workspace(tmp_path / "w")) == []
    (one,) = store.definitions()
    given = {use.attempt: use.given_ram_bytes for use in store.usages("x", one.version)}
    assert given == {1: GB, 2: 1_500_000_000}


def test_a_store_of_the_first_version_is_kept(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "p.sqlite"
    with ProfileStore.open(path) as store:
        store.take_in_workdir(workspace)
        before = content(store)
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE attempts DROP COLUMN given_ram_bytes")
        database.execute("PRAGMA user_version = 1")
    database.close()
    for _ in range(2):
        with ProfileStore.open(path) as store:
            assert content(store) == before
    a_run(workspace.workdir)
    with ProfileStore.open(path) as store:
        assert store.take_in_workdir(workspace) == []


def test_a_journal_taken_in_again_changes_nothing(
    store: ProfileStore, workspace: Workspace
) -> None:
    journal = workspace.files(workspace.runs()[0]).journal
    assert store.take_in(journal)
    before = content(store)
    assert not store.take_in(journal)
    with journal.open("ab") as file:
        file.write(b'{"event":"Run')  # torn, so it is looked at again
    assert store.take_in(journal)
    assert content(store) == before


def test_a_journal_that_grew_is_taken_in_with_what_is_new(
    store: ProfileStore, workspace: Workspace
) -> None:
    journal = workspace.files(workspace.runs()[0]).journal
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    for count in range(len(lines) + 1):
        journal.write_bytes(b"".join(lines[:count]))
        store.take_in(journal)
    kept = content(store)
    assert len(kept) == 5
    with ProfileStore.open(None) as fresh:
        fresh.take_in(journal)
        assert content(fresh) == kept


def test_a_workdir_that_was_moved_is_the_same_runs(
    store: ProfileStore, workspace: Workspace, tmp_path: Path
) -> None:
    store.take_in_workdir(workspace)
    before = content(store)
    shutil.move(workspace.workdir, tmp_path / "moved")
    store.take_in_workdir(Workspace(tmp_path / "moved"))
    assert content(store) == before


def test_a_writer_that_is_killed_leaves_what_was_before(
    tmp_path: Path, workspace: Workspace
) -> None:
    path = tmp_path / "p.sqlite"
    with ProfileStore.open(path) as store:
        store.take_in_workdir(workspace)
        before = content(store)
    journal = workspace.files(workspace.runs()[0]).journal
    lines = journal.read_bytes().splitlines(keepends=True)
    (again,) = (line for line in lines if b'"TaskSucceeded"' in line and b'"make"' in line)
    many = [again.replace(b'"attempt":1', b'"attempt":%d' % n) for n in range(2, 20_000)]
    journal.write_bytes(b"".join([*lines, *many]))
    code = (
        "import os; from pathlib import Path\n"
        "from euclid_dask.runner.profiles import ProfileStore\n"
        "replace = ProfileStore._replace\n"
        "def dies(*words): replace(*words); os.kill(os.getpid(), 9)\n"
        "ProfileStore._replace = dies\n"
        f"with ProfileStore.open(Path({str(path)!r})) as s: s.take_in(Path({str(journal)!r}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert path.with_name("p.sqlite-journal").exists()  # what was changed is to be taken back
    with ProfileStore.open(path) as store:
        assert content(store) == before
        assert store.take_in(journal)
        assert len(content(store)) == 4 + 10_000  # as many of one are looked at


def test_many_may_write_at_once(tmp_path: Path) -> None:
    workspaces = [a_run(tmp_path / f"w{i}") for i in range(6)]

    def write(workspace: Workspace) -> list[str]:
        with ProfileStore.open(tmp_path / "p.sqlite") as store:
            return store.take_in_workdir(workspace)

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(write, workspaces)) == [[]] * 6
    with ProfileStore.open(tmp_path / "p.sqlite") as store:
        assert len(content(store)) == 30


def test_a_journal_that_cannot_be_read_is_told_and_costs_no_other(
    store: ProfileStore, workspace: Workspace
) -> None:
    first = workspace.runs()[0]
    a_run(workspace.workdir)
    workspace.files(first).journal.write_text("nonsense\n")
    (problem,) = store.take_in_workdir(workspace)
    assert "not an event" in problem
    assert len(content(store)) == 5


def test_a_file_that_is_no_store_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "p.sqlite").write_text("nonsense, and more than a hundred bytes of it " * 10)
    opening = ProfileStore.open(tmp_path / "p.sqlite")
    with pytest.raises(InputError, match="cannot use the profiles") as caught, opening:
        pass
    assert "rebuild" in caught.value.hint


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "p.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(InputError, match="newer"), ProfileStore.open(tmp_path / "p.sqlite"):
        pass


def test_durations_are_of_successes_of_the_same_version_and_other_runs(
    store: ProfileStore, workspace: Workspace
) -> None:
    store.take_in_workdir(workspace)
    (run,) = workspace.runs()
    version = {one.executable: one.version for one in store.definitions()}
    found = store.durations(version)
    assert {key: (one.count, one.mean_s) for key, one in found.items()} == {
        "make": (1, 1.0),
        "work": (3, 3.0),
    }
    assert store.durations(version, but=run) == {}
    assert store.durations(dict.fromkeys(version, "another")) == {}


def test_what_is_looked_at_is_of_the_latest_runs_and_attempts(
    store: ProfileStore, workspace: Workspace
) -> None:
    a_run(workspace.workdir, after_s=100.0)
    earlier, later = workspace.runs()
    for run in (later, earlier):
        store.take_in(workspace.files(run).journal)
    (work,) = (one for one in store.definitions() if one.executable == "work")
    found = store.usages("work", work.version, 6)
    assert [(use.run, use.task.split(".")[2], use.attempt) for use in found] == [
        (later, "1", 1), (later, "2", 2), (later, "2", 1), (later, "3", 1),
        (earlier, "1", 1), (earlier, "2", 2),
    ]  # fmt: skip


def test_the_definition_is_that_of_the_latest_run(
    store: ProfileStore, workspace: Workspace
) -> None:
    a_run(workspace.workdir, after_s=100.0)
    earlier, later = workspace.runs()
    for run in (later, earlier):
        store.take_in(workspace.files(run).journal)
    assert {(one.executable, one.run) for one in store.definitions()} == {
        ("make", later),
        ("work", later),
    }
