"""The process trees of attempts: nothing of them escapes, and nothing else is touched."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from euclid_dask.core.attempts import FailureKind, Order, Place, Receipt
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import AttemptEnded, AttemptStarted, BundleOrder, News
from euclid_dask.core.values import replace
from euclid_dask.worker import procfs
from euclid_dask.worker.bundle import cancel, run_bundle

LOTS = Resources(cores=1, ram_bytes=10_000_000_000)
DETACHED = "(setsid sh -c '({command}; :) & exit' &)"
QUIET = "</dev/null >/dev/null 2>&1"
PATIENCE_S = 60.0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "w").mkdir()
    return Place(
        run=RunId(f"trees-{os.getpid()}-{tmp_path.name}"),
        workdir=str(tmp_path / "w"),
        logdir="logs",
        records=str(tmp_path / "w" / ".euclid-dask" / "attempts"),
        grace_s=0.1,
        sample_interval_s=0.05,
    )


@pytest.fixture
def second() -> Iterator[str]:
    """Return a time to sleep that no other process sleeps; who does is killed afterwards."""
    text = f"300.{os.getpid()}{int(monotonic() * 1e6)}"
    yield text
    for pid in sleepers(text):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def until_asleep(place: Place, second: str) -> Iterator[str]:
    """Return what a script says to wait until somebody sleeps for that second."""
    asleep = Path(place.workdir, "asleep")

    def tell() -> None:
        wait_until(lambda: sleepers(second))
        asleep.touch()

    thread = threading.Thread(target=tell)
    thread.start()
    yield f"while [ ! -e {asleep} ]; do sleep 0.01; done"
    thread.join()


def shell(script: str, task: str = "task", **needs: float) -> Order:
    return Order(
        task=TaskId(task),
        attempt=1,
        executable="e",
        command=("sh", "-c", script, "sh"),
        inputs=(),
        outputs=(),
        needs=replace(LOTS, **needs),
    )


def receipts_of(place: Place, *orders: Order) -> list[Receipt]:
    news: list[News] = []
    run_bundle(BundleOrder(pilot=PilotId("p"), place=place, orders=orders), news.append)
    return [one.receipt for one in news if isinstance(one, AttemptEnded)]


def receipt_of(place: Place, order: Order) -> Receipt:
    return receipts_of(place, order)[0]


def sleepers(second: str) -> list[int]:
    """Return the living processes `sleep <second>`."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    found = [pid for pid in pids if procfs.command_line(pid) == f"sleep {second}"]
    return [pid for pid in found if procfs.read_process(pid)]


def wait_until(condition: Callable[[], Any]) -> None:
    until_s = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < until_s, "it never became true"
        sleep(0.01)


class Meanwhile:
    """An attempt that runs in a thread until it is let go."""

    def __init__(self, place: Place, script: str = "") -> None:
        self.gate = Path(place.workdir, "gate")
        self.receipts: list[Receipt] = []
        waiting = f"{script} touch begun; while [ ! -e gate ]; do sleep 0.02; done"
        order = shell(waiting, "other")
        self.thread = threading.Thread(
            target=lambda: self.receipts.extend(receipts_of(place, order))
        )
        self.thread.start()
        wait_until(Path(place.workdir, "begun").exists)
        sleep(0.02)  # two clock ticks: what begins later is seen to be younger

    def end(self) -> Receipt:
        self.gate.touch()
        self.thread.join(PATIENCE_S)
        return self.receipts[0]


@pytest.mark.parametrize("ends_after_s", [0, 0.2])
def test_a_daemon_that_a_task_leaves_is_killed_and_named(
    place: Place, second: str, until_asleep: str, ends_after_s: float
) -> None:
    daemon = DETACHED.format(command=f"sleep {second}")
    receipt = receipt_of(place, shell(f"{daemon}; {until_asleep}; sleep 0.1; sleep {ends_after_s}"))
    assert receipt.failure is None
    assert sleepers(second) == []
    [warning] = receipt.warnings
    assert warning.startswith("left 2 processes behind; killed: ")
    assert f"sleep {second}" in warning


def test_a_daemon_without_environment_and_logs_is_killed_and_named(
    place: Place, second: str, until_asleep: str
) -> None:
    script = f"(env -i setsid setsid sleep {second} {QUIET} &); {until_asleep}"
    receipt = receipt_of(place, shell(script))
    assert sleepers(second) == []
    assert receipt.warnings == (f"left 1 process behind; killed: sleep {second}",)


@pytest.mark.parametrize("daemon", [f"sleep {{}} {QUIET}", "env -i sleep {}"])
def test_an_orphan_dies_with_its_attempt_and_no_other_does(
    place: Place, second: str, daemon: str
) -> None:
    other = Meanwhile(place)
    script = f"(setsid {daemon.format(second)} &); sleep 300"
    receipt = receipt_of(place, shell(script, walltime_s=0.3))
    alive = sleepers(second)
    ended = other.end()
    assert receipt.failure is not None
    assert receipt.failure.kind is FailureKind.WALLTIME
    assert alive == []
    assert (ended.failure, ended.warnings) == (None, ())


def test_an_orphan_that_cannot_be_told_apart_dies_with_the_last_that_may_have_left_it(
    place: Place, second: str, until_asleep: str
) -> None:
    other = Meanwhile(place)
    script = f"(env -i setsid sleep {second} {QUIET} &); {until_asleep}"
    receipt = receipt_of(place, shell(script))
    alive = sleepers(second)
    ended = other.end()
    assert receipt.warnings == ()
    assert len(alive) == 1
    assert sleepers(second) == []
    assert len(ended.warnings) == 1


def test_an_orphan_of_another_attempt_is_left_alone(place: Place, second: str) -> None:
    other = Meanwhile(place, f"(setsid sleep {second} {QUIET} &);")
    wait_until(lambda: sleepers(second))
    sleep(0.02)
    receipt = receipt_of(place, shell("sleep 0.05"))
    alive = sleepers(second)
    other.end()
    assert receipt.warnings == ()
    assert len(alive) == 1
    assert sleepers(second) == []


def test_what_ends_by_itself_in_a_moment_is_not_killed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("euclid_dask.worker.process._LINGER_S", PATIENCE_S)
    receipt = receipt_of(place, shell("(sleep 0.05; echo late) & exit 0"))
    assert receipt.warnings == ()
    assert Path(place.workdir, "logs/task/stdout.log").read_text() == "late\n"


def test_the_ram_of_a_daemon_counts(place: Place) -> None:
    eat = "import time; x = bytearray(200_000_000); time.sleep(300)"
    daemon = DETACHED.format(command=f'python3 -c "{eat}"')
    receipt = receipt_of(place, shell(f"{daemon}; sleep 300", ram_bytes=100_000_000))
    assert receipt.failure is not None
    assert receipt.failure.kind is FailureKind.MEMORY


def test_a_tree_is_given_the_time_to_save_its_work(place: Place) -> None:
    patient = replace(place, grace_s=3600.0)  # when all have ended, nobody waits
    trap = "trap 'sleep 0.3; echo saved > saved; exit' TERM; touch trapped"
    order = shell(f'sh -c "{trap}; while :; do sleep 0.02; done"; exit')
    news: list[News] = []

    def cancel_when_trapped(one: News) -> None:
        news.append(one)
        if isinstance(one, AttemptStarted):
            wait_until(Path(place.workdir, "trapped").exists)
            cancel(place.run, order.task, 1)

    bundle = BundleOrder(pilot=PilotId("p"), place=patient, orders=(order,))
    run_bundle(bundle, cancel_when_trapped)
    ended = news[-1]
    assert isinstance(ended, AttemptEnded)
    assert ended.receipt.failure is not None
    assert Path(place.workdir, "saved").read_text() == "saved\n"


def test_a_process_that_took_over_a_pid_is_not_signalled() -> None:
    with subprocess.Popen(["sleep", "300"]) as child:
        process = procfs.read_process(child.pid)
        assert process is not None
        procfs.send(process._replace(started=process.started - 1), signal.SIGKILL)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.2)
        procfs.send(process, signal.SIGKILL)
        assert child.wait(PATIENCE_S) == -signal.SIGKILL


# The other children of this process


def test_dead_orphans_are_reaped(place: Place) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do (setsid true &); done; sleep 0.2"
    before = set(procfs.adopted())
    receipt_of(place, shell(script))
    assert set(procfs.adopted()) <= before


def test_an_exit_code_that_somebody_waits_for_is_not_taken(place: Place) -> None:
    script = "while [ ! -e task ]; do sleep 0.01; done; exit 7"
    ours = subprocess.Popen(["sh", "-c", script], cwd=place.workdir, start_new_session=True)
    sleep(0.02)
    receipt_of(place, shell("sleep 0.3"))
    assert ours.wait(PATIENCE_S) == 7


def test_a_child_in_the_session_of_this_process_is_left_alone(place: Place, second: str) -> None:
    children: list[subprocess.Popen[bytes]] = []

    def begin(news: News) -> None:
        if not isinstance(news, AttemptEnded):
            children.append(subprocess.Popen(["sleep", second]))

    order = shell("sleep 0.2")
    run_bundle(BundleOrder(pilot=PilotId("p"), place=place, orders=(order,)), begin)
    [child] = children
    alive = child.poll() is None
    child.kill()
    child.wait()
    assert alive


def test_what_this_process_starts_between_attempts_is_not_adopted(place: Place) -> None:
    receipt_of(place, shell("exit 0"))
    script = f"setsid sleep 300 {QUIET} & echo $!"
    pid = int(subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout)
    orphan = procfs.read_process(pid)
    os.kill(pid, signal.SIGKILL)
    assert orphan is not None
    assert orphan.parent != os.getpid()
