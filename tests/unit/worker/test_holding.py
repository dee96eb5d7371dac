"""What runs is stopped where it is, and goes on: nothing is left out, and nothing left behind.

Nothing is stopped here while a tree has no leader: by a mistake that might be the whole host.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import pytest

from euclid_dask.worker import trees
from euclid_dask.worker.trees import Tree


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _until(condition: Callable[[], bool]) -> None:
    until_s = monotonic() + 60.0
    while not condition():
        assert monotonic() < until_s, "not in time"
        sleep(0.01)


@pytest.fixture
def make_tree() -> Iterator[Callable[[], Tree]]:
    logs = os.pipe()
    made: list[Tree] = []

    def make() -> Tree:
        made.append(Tree({}, logs))
        return made[-1]

    yield make
    trees.hold(False)
    for tree in made:
        tree.close()
    for log in logs:
        os.close(log)


def test_nobody_is_left_stopped_who_began_while_all_was_let_go(
    make_tree: Callable[[], Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.hold(True)
    tree = make_tree()
    released, kill = Event(), os.kill

    def let_go() -> None:
        trees.hold(False)
        released.set()

    def slow_kill(pid: int, number: int) -> None:
        Thread(target=let_go).start()
        released.wait(0.3)  # it may have to wait for us
        kill(pid, number)

    with subprocess.Popen(["sleep", "60"], start_new_session=True) as leader:
        monkeypatch.setattr(os, "kill", slow_kill)
        tree.lead(leader.pid)
        monkeypatch.undo()
        assert released.wait(60.0)
        _until(lambda: _state(leader.pid) == "S")
        leader.kill()


def test_a_tree_without_a_leader_owns_nothing(make_tree: Callable[[], Tree]) -> None:
    assert make_tree().living() == []


def test_an_orphan_is_stopped_whosever_it_is(make_tree: Callable[[], Tree], tmp_path: Path) -> None:
    own, rival = make_tree(), make_tree()
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    rival.lead(other.pid)
    note = tmp_path / "pid"
    script = f"env -i setsid sh -c 'echo $$ >{note}.new; mv {note}.new {note}; exec sleep 60' &"
    leader = subprocess.Popen(
        ["sh", "-c", script],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    own.lead(leader.pid)
    _until(note.exists)
    leader.wait()
    orphan = int(note.read_text())
    try:
        trees.hold(True)
        _until(lambda: _state(orphan) == "T")
        trees.hold(False)
        _until(lambda: _state(orphan) == "S")
    finally:
        os.kill(orphan, signal.SIGKILL)
        os.waitpid(orphan, 0)
        other.kill()
        other.wait()
