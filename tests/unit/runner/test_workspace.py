"""The workdir: runs in it, and the lock."""

import fcntl
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError, WorkdirError
from euclid_dask.core.ids import RunId
from euclid_dask.runner import workspace as workspace_module
from euclid_dask.runner.workspace import Lock, Workspace, is_locked


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path)
    made.create()
    return made


def add(workspace: Workspace, *names: str) -> None:
    for name in names:
        files = workspace.files(RunId(name))
        files.folder.mkdir()
        files.journal.touch()


def test_runs_are_listed_oldest_first(workspace: Workspace) -> None:
    add(workspace, "b-20260102T000000.000-aa", "a-20260103T000000.000-bb", "c-20260101T0-cc")
    assert [run[0] for run in workspace.runs()] == ["c", "b", "a"]


def test_a_name_without_a_time_is_listed(workspace: Workspace) -> None:
    add(workspace, "odd")
    assert workspace.runs() == ["odd"]


def test_a_run_is_found_by_its_beginning_and_the_latest_without(workspace: Workspace) -> None:
    add(workspace, "f-1-a", "f-2-b", "f-2")
    assert workspace.find("f-1") == "f-1-a"
    assert workspace.find("f-2") == "f-2"
    assert workspace.find(None) == "f-2-b"


@pytest.mark.parametrize(("name", "said"), [("x", "no run"), ("f", "more than one run")])
def test_a_run_that_cannot_be_told_is_not_found(workspace: Workspace, name: str, said: str) -> None:
    add(workspace, "f-1-a", "f-2-b")
    with pytest.raises(InputError, match=said):
        workspace.find(name)


def test_a_workdir_without_runs_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run was started"):
        Workspace(tmp_path).find(None)


def test_a_workdir_that_is_a_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "w").touch()
    with pytest.raises(WorkdirError, match="cannot use the workdir"):
        Workspace(tmp_path / "w").create()


def test_a_second_lock_is_refused_and_names_who_has_it(workspace: Workspace) -> None:
    lock = Lock.take(workspace)
    assert is_locked(workspace)
    with pytest.raises(WorkdirError, match=r"another runner works in .*\(process \d+ on"):
        Lock.take(workspace)
    lock.release()
    assert not is_locked(workspace)
    Lock.take(workspace).release()


def test_who_looks_whether_a_workdir_is_locked_does_not_keep_a_runner_out(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("euclid_dask.runner.workspace.LOCK_TRIES", 600)
    Lock.take(workspace).release()
    with (workspace.records / "lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_EX)
        timer = threading.Timer(0.2, looking.close)
        timer.start()
        Lock.take(workspace).release()
        timer.join()


def test_a_lock_that_is_removed_while_it_is_taken_is_taken_anew(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, path = fcntl.flock, workspace.records / "lock"

    def removed(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", removed)
    lock = Lock.take(workspace)
    assert is_locked(workspace)
    lock.release()


def test_who_is_refused_without_the_lock_leaves_that_of_another(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    made = workspace.create()
    lock = Lock.take(workspace)
    with pytest.raises(InputError), workspace.unless_refused(made):
        raise InputError("no")
    assert is_locked(workspace)
    with pytest.raises(InputError), workspace.unless_refused(made, lock):
        raise InputError("no")
    assert list(tmp_path.iterdir()) == []
    lock.release()


def test_a_workdir_that_who_was_refused_removes_meanwhile_is_made_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "new" / "w")
    made = workspace.create()
    lock = Lock.take(workspace)
    with pytest.raises(InputError), workspace.unless_refused(made, lock):
        raise InputError("no")
    assert not is_locked(workspace)
    Lock.take(workspace).release()
    lock.release()


def test_a_workdir_that_was_made_again_goes_with_who_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Workspace(tmp_path / "new" / "w")
    place.create()
    take = workspace_module._locked

    def removed(path: Path) -> int | None:
        monkeypatch.setattr(workspace_module, "_locked", take)
        shutil.rmtree(tmp_path / "new")
        return take(path)

    monkeypatch.setattr(workspace_module, "_locked", removed)
    lock = Lock.take(place)
    with pytest.raises(InputError), place.unless_refused(lock.made, lock):
        raise InputError("no")
    assert list(tmp_path.iterdir()) == []
    lock.release()


def test_a_lock_cannot_be_taken_where_no_workdir_can_be(tmp_path: Path) -> None:
    (tmp_path / "w").touch()
    assert not is_locked(Workspace(tmp_path / "w"))
    with pytest.raises(WorkdirError, match="cannot use the workdir"):
        Lock.take(Workspace(tmp_path / "w"))


def test_the_lock_of_a_killed_process_is_free(workspace: Workspace) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from euclid_dask.runner.workspace import Lock, Workspace\n"
        "lock = Lock.take(Workspace(Path(sys.argv[1]))); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(workspace.workdir)], check=False)
    Lock.take(workspace).release()


def test_room_is_what_is_free_until_runs_have_left_work(workspace: Workspace) -> None:
    disk = shutil.disk_usage(workspace.workdir)
    assert 0 < Workspace(workspace.workdir / "not" / "yet").room_bytes() < disk.total
    assert 0 < workspace.room_bytes() < disk.total
    add(workspace, "a-20260103T000000.000-bb")
    assert workspace.room_bytes() == disk.total
