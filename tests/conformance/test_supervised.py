"""A pilot with a supervisor, through the outages of all that is around it; with real processes."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from threading import Event, Thread
from time import sleep
from typing import Any

import pytest

from euclid_dask import __version__
from euclid_dask.core.attempts import FailureKind
from euclid_dask.core.events import PilotAway, PilotDraining, PilotJoined, PilotLeft
from euclid_dask.core.ids import PilotId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import AttemptEnded, AttemptsLost, AttemptStarted
from euclid_dask.core.values import replace
from euclid_dask.executors.dask.executor import DaskExecutor
from euclid_dask.executors.server import Server
from euclid_dask.pilots.lease import Leases
from euclid_dask.pilots.reconciler import SPEAKER
from euclid_dask.pilots.selftest import unfit_host
from euclid_dask.worker.clock import now_s
from euclid_dask.worker.records import read_receipt

pytestmark = pytest.mark.dask

PILOT = PilotId("light-000001")
WAITS = "echo started >> starts; while [ ! -e go ]; do sleep 0.02; done"
PATIENCE_S = 100.0


def _started(task: str) -> Callable[[Any], bool]:
    return lambda news: isinstance(news, AttemptStarted) and news.task == task


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda news: isinstance(news, kind)


class Rig:
    """A bench whose executor serves pilots, and one pilot."""

    def __init__(self, bench: Any, start: Any, find_living: Any, wait_until: Any) -> None:
        self.bench = bench
        self.box = bench.box
        self.folder = bench.workdir / ".euclid-dask"
        self.folder.mkdir(exist_ok=True)
        self._start = start
        self._find_living = find_living
        self._wait_until = wait_until
        self.supervisors: list[subprocess.Popen[bytes]] = []

    def serve(self, *adopted: Any) -> DaskExecutor:
        executor = DaskExecutor(server=Server(folder=self.folder, host="127.0.0.1"))
        executor.adopt(adopted)
        self.bench.open(executor, pilots=0)
        return executor

    def begin(self, *words: str, **environment: str) -> None:
        """Serve, start a pilot, and wait until it has joined."""
        self.serve()
        self.start_pilot(*words, **environment)
        self.bench.await_pilot()

    def start_pilot(self, *words: str, **environment: str) -> None:
        self.supervisors.append(self._start(self.bench.workdir, *words, **environment))

    def workers(self) -> list[int]:
        marker = f"--scheduler-file\0{self.folder}"
        return [pid for pid in self._find_living(marker) if pid != self.supervisors[-1].pid]

    def kill_worker(self) -> None:
        (pid,) = self.workers()
        os.kill(pid, signal.SIGKILL)

    def run_one(self, script: str = WAITS, task: str = "t") -> Any:
        bundle = self.bench.bundle(self.bench.order(task, script))
        self.bench.start(bundle)
        self.box.until(_started(task))
        return bundle

    def go(self) -> None:
        (self.bench.workdir / "go").touch()

    def starts(self) -> int:
        return (self.bench.workdir / "starts").read_text().count("started")

    def until_rejoined(self) -> PilotJoined:
        """Wait until the pilot has joined after it was away; return how."""
        self.box.until(_is(PilotAway))
        away = next(n for n, one in enumerate(self.box.seen) if isinstance(one, PilotAway))
        joined = self.box.until(
            lambda one: isinstance(one, PilotJoined) and self.box.seen.index(one) > away
        )
        assert isinstance(joined, PilotJoined)
        return joined


@pytest.fixture
def rig(
    bench: Any,
    start_supervisor: Any,
    find_living: Callable[[str], list[int]],
    wait_until: Callable[..., None],
) -> Iterator[Rig]:
    rig = Rig(bench, start_supervisor, find_living, wait_until)
    yield rig
    for supervisor in rig.supervisors:
        if supervisor.poll() is None:
            supervisor.terminate()
        supervisor.wait(PATIENCE_S)


def test_a_killed_worker_costs_nothing_of_what_runs(rig: Rig) -> None:
    rig.begin()
    bundle = rig.bench.bundle(rig.bench.order("t", WAITS), rig.bench.order("behind", "true"))
    rig.bench.start(bundle)
    rig.box.until(_started("t"))
    rig.kill_worker()
    joined = rig.until_rejoined()
    run = rig.bench.place.run
    assert set(joined.carrying) == {(run, "t", 1), (run, "behind", 1)}
    rig.go()
    assert rig.box.until_answered("t", "behind") == {"t": ["done"], "behind": ["done"]}
    assert rig.starts() == 1


def test_what_ends_while_nobody_listens_is_told_afterwards(
    rig: Rig, wait_until: Callable[..., None]
) -> None:
    rig.begin()
    rig.run_one()
    where = (rig.folder / "scheduler.json").rename(rig.folder / "hidden")
    rig.kill_worker()
    rig.go()
    wait_until(lambda: read_receipt(rig.bench.place.records, "t", 1))
    where.rename(rig.folder / "scheduler.json")
    assert rig.until_rejoined().carrying == ()
    assert rig.box.until_answered("t") == {"t": ["done"]}
    assert rig.starts() == 1


def test_a_pilot_that_came_back_takes_work(rig: Rig) -> None:
    rig.begin()
    rig.kill_worker()
    rig.until_rejoined()
    rig.bench.start(rig.bench.bundle(rig.bench.order("t", "true")))
    assert rig.box.until_answered("t") == {"t": ["done"]}


def test_a_cancel_reaches_a_pilot_that_was_away(rig: Rig) -> None:
    rig.begin()
    rig.run_one("sleep 600")
    rig.kill_worker()
    rig.box.until(_is(PilotAway))
    rig.bench.cancel("t")
    assert rig.box.until_answered("t") == {"t": ["cancelled"]}


_RUNNER = dedent("""
    import sys, time
    from pathlib import Path
    from euclid_dask.core.events import PilotJoined
    from euclid_dask.core.seams import AttemptStarted, BundleOrder
    from euclid_dask.core.values import json_reader
    from euclid_dask.executors.dask.executor import DaskExecutor
    from euclid_dask.executors.server import Server

    bundle = json_reader(BundleOrder)(sys.stdin.readline())
    folder = Path(bundle.place.workdir) / ".euclid-dask"
    executor = DaskExecutor(server=Server(folder=folder, host="127.0.0.1"))

    class Box:
        def put(self, news):
            if isinstance(news, PilotJoined):
                executor.start([bundle])
            if isinstance(news, AttemptStarted):
                print("started", flush=True)

    executor.open(Box())
    time.sleep(600)
""")


def _run_one_and_die(rig: Rig, bundle: Any) -> None:
    """Have another runner start a bundle on the pilot, and kill it with its scheduler."""
    from euclid_dask.core.values import to_json  # noqa: PLC0415

    with subprocess.Popen(
        [sys.executable, "-c", _RUNNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as runner:
        assert runner.stdin is not None
        assert runner.stdout is not None
        runner.stdin.write(to_json(bundle) + b"\n")
        runner.stdin.flush()
        assert runner.stdout.readline() == b"started\n"
        runner.kill()


def _foreign(rig: Rig, script: str) -> Any:
    from euclid_dask.core.seams import BundleOrder  # noqa: PLC0415

    return BundleOrder(pilot=PILOT, place=rig.bench.place, orders=(rig.bench.order("t", script),))


def test_a_new_runner_adopts_what_runs(rig: Rig) -> None:
    rig.start_pilot()
    bundle = _foreign(rig, WAITS)
    _run_one_and_die(rig, bundle)
    rig.serve(bundle)
    assert rig.bench.await_pilot().carrying == ((rig.bench.place.run, "t", 1),)
    rig.go()
    assert rig.box.until_answered("t") == {"t": ["done"]}
    assert rig.starts() == 1


def test_a_new_runner_hears_what_ended_without_one(
    rig: Rig, wait_until: Callable[..., None]
) -> None:
    rig.start_pilot()
    bundle = _foreign(rig, WAITS)
    _run_one_and_die(rig, bundle)
    rig.go()
    wait_until(lambda: read_receipt(rig.bench.place.records, "t", 1))
    rig.serve(bundle)
    assert rig.box.until_answered("t") == {"t": ["done"]}


def test_what_no_runner_waits_for_is_ended(
    rig: Rig, wait_until: Callable[..., None], find_living: Callable[[str], list[int]]
) -> None:
    rig.start_pilot()
    _run_one_and_die(rig, _foreign(rig, "sleep 65"))
    rig.serve()
    wait_until(lambda: read_receipt(rig.bench.place.records, "t", 1))
    receipt = read_receipt(rig.bench.place.records, "t", 1)
    assert receipt is not None
    assert receipt.failure is not None
    assert receipt.failure.kind is FailureKind.LOST
    assert find_living("sleep\x0065") == []


def test_an_adopted_attempt_that_never_arrived_is_lost_and_known_to_be_dead(rig: Rig) -> None:
    rig.start_pilot()
    rig.serve(_foreign(rig, "true"))
    lost = rig.box.until(_is(AttemptsLost))
    assert isinstance(lost, AttemptsLost)
    assert lost.dead


def test_an_adopted_attempt_is_lost_with_a_pilot_that_never_comes(rig: Rig) -> None:
    executor = rig.serve(_foreign(rig, "true"))
    assert rig.box.answers() == {}
    executor.lose(PILOT, "its job has ended")
    lost = rig.box.until(_is(AttemptsLost))
    assert isinstance(lost, AttemptsLost)
    assert (lost.dead, lost.reason) == (True, "its job has ended")


def test_nothing_is_left_of_a_killed_supervisor(
    rig: Rig, wait_until: Callable[..., None], find_living: Callable[[str], list[int]]
) -> None:
    rig.begin()
    rig.run_one("sleep 66 & setsid sleep 66 & sleep 66")
    rig.supervisors[0].kill()
    rig.box.until(_is(PilotAway))
    wait_until(lambda: not find_living("sleep\x0066"))
    wait_until(lambda: not rig.workers())
    assert rig.box.answers() == {}
    rig.bench.executor.lose(PILOT, "its job has ended")
    assert rig.box.until_answered("t") == {"t": ["lost"]}


def test_a_pilot_that_is_told_to_end_gives_its_tasks_time_and_leaves(
    rig: Rig, wait_until: Callable[..., None]
) -> None:
    rig.begin()
    script = "trap 'echo saved > saved; exit 1' TERM; touch trapped; while :; do sleep 0.05; done"
    bundle = rig.bench.bundle(rig.bench.order("t", script))
    rig.bench.start(replace(bundle, place=replace(bundle.place, grace_s=PATIENCE_S)))
    rig.box.until(_started("t"))
    wait_until((rig.bench.workdir / "trapped").exists)
    rig.supervisors[0].terminate()
    rig.box.until(_is(PilotDraining))
    ended = rig.box.until(_is(AttemptEnded))
    assert isinstance(ended, AttemptEnded)
    assert ended.receipt.failure is not None
    assert ended.receipt.failure.kind is FailureKind.LOST
    assert ended.receipt.failure.message == "task 't' was lost: the pilot was told to end"
    left = rig.box.until(_is(PilotLeft))
    assert isinstance(left, PilotLeft)
    assert left.reason == "the pilot was told to end"
    assert rig.supervisors[0].wait(PATIENCE_S) == 0
    assert (rig.bench.workdir / "saved").exists()


def test_a_task_that_is_told_to_end_before_its_pilot_is_lost_and_has_not_failed(
    rig: Rig, find_living: Callable[[str], list[int]], wait_until: Callable[..., None]
) -> None:
    rig.begin()
    rig.run_one("exec sleep 67")
    wait_until(lambda: find_living("sleep\x0067"))
    (pid,) = find_living("sleep\x0067")
    os.kill(pid, signal.SIGTERM)
    rig.supervisors[0].terminate()
    assert rig.box.until_answered("t") == {"t": ["lost"]}


_OPENS = dedent("""
    import sys
    from pathlib import Path
    from euclid_dask.executors.dask.executor import DaskExecutor
    from euclid_dask.executors.server import Server
    from euclid_dask.runner.inbox import QueueInbox

    server = Server(folder=Path(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]))
    DaskExecutor(server=server).open(QueueInbox())
""")


def test_a_port_that_is_taken_is_an_error_that_says_so(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        opened = subprocess.run(
            [sys.executable, "-c", _OPENS, str(rig.folder), str(port)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "SiteError: no Dask scheduler can be started for pilots: " in opened.stderr
    assert "Address already in use" in opened.stderr


def test_a_pilot_ends_what_runs_before_its_own_end(rig: Rig) -> None:
    rig.begin("--until", str(now_s() + 18.0), "--grace", "6")
    rig.run_one("sleep 600")
    left = rig.box.until(_is(PilotLeft))
    assert isinstance(left, PilotLeft)
    assert left.reason == "the pilot has reached its walltime"
    assert rig.box.answers() == {"t": ["expired"]}


def test_a_task_beyond_its_walltime_is_killed_whole(
    rig: Rig, find_living: Callable[[str], list[int]]
) -> None:
    rig.begin()
    naps = f"301.{os.getpid()}"
    script = f"trap '' TERM; (setsid sh -c \"trap '' TERM; sleep {naps}; :\" &); sleep {naps}"
    needs = Resources(cores=1, walltime_s=1.0)
    rig.bench.start(rig.bench.bundle(rig.bench.order("t", script, needs=needs)))
    assert rig.box.until_answered("t") == {"t": ["walltime"]}
    assert find_living(naps) == []


def test_a_walltime_counts_from_the_start_of_the_job(rig: Rig) -> None:
    rig.serve()
    began_s = now_s()
    command = [sys.executable, "-m", "euclid_dask.pilots.supervisor", "--pilot", PILOT]
    command += ["--workspace", str(rig.bench.workdir), "--cores", "1", "--ram", "1"]
    command += ["--slots", "1", "--walltime", "3600", "--grace", "20"]
    script = f"sleep 2; exec {shlex.join(command)}"
    rig.supervisors.append(subprocess.Popen(["bash", "-c", script]))
    launched_s = now_s()
    joined = rig.bench.await_pilot()
    job_began_s = joined.until_s - 3580.0  # until when what runs there is ended
    assert began_s - 1.5 < job_began_s < launched_s + 1.5


def test_a_pilot_without_work_leaves_after_a_while(rig: Rig, capfd: Any) -> None:
    rig.serve()
    rig.start_pilot("--idle", "0.5")
    assert rig.supervisors[0].wait(PATIENCE_S) == 0
    assert "the pilot had nothing to do for 0.5 s" in capfd.readouterr().err


def test_a_pilot_that_is_retired_leaves_when_it_is_idle(rig: Rig) -> None:
    rig.begin()
    rig.run_one()
    rig.bench.executor.retire(PILOT, "nobody needs it")
    rig.box.until(_is(PilotDraining))
    rig.go()
    left = rig.box.until(_is(PilotLeft))
    assert isinstance(left, PilotLeft)
    assert left.reason == "nobody needs it"
    assert rig.box.answers() == {"t": ["done"]}


def test_an_executor_that_is_to_spare_its_pilots_leaves_them_running(rig: Rig) -> None:
    rig.begin()
    bundle = rig.run_one()
    rig.bench.executor.close(end_pilots=False)
    assert rig.box.answers() == {}
    rig.serve(bundle)
    joined = rig.box.until(lambda one: isinstance(one, PilotJoined) and one.carrying)
    assert isinstance(joined, PilotJoined)
    rig.go()
    assert rig.box.until_answered("t") == {"t": ["done"]}
    assert rig.starts() == 1


def test_a_pilot_says_what_it_offers(rig: Rig) -> None:
    until_s = now_s() + 3600.0
    words = ("--until", str(until_s + 9), "--grace", "9", "--template", "light", "--disk", "1000")
    rig.begin(*words)
    joined = rig.bench.pilots[0]
    assert (joined.pilot, joined.template, joined.until_s) == (PILOT, "light", until_s)
    assert (joined.offer.cores, joined.offer.ram_bytes, joined.offer.disk_bytes, joined.slots) == (
        *(2.0, 4_000_000_000, 1000),
        4,
    )
    assert (joined.host, joined.version) == (os.uname().nodename, __version__)


def test_strangers_at_the_door_disturb_nothing(rig: Rig) -> None:
    rig.begin(TMPDIR=str(rig.bench.workdir))
    rig.run_one()
    (door,) = rig.bench.workdir.glob("euclid-dask-*/door")
    for words in (b"", b'BundleOrder {"pilot', b"nonsense\n", b'BundleOrder {"pilot": 1}\n'):
        with socket.socket(socket.AF_UNIX) as stranger, suppress(OSError):
            stranger.connect(str(door))
            stranger.sendall(words)
    rig.until_rejoined()
    rig.go()
    assert rig.box.until_answered("t") == {"t": ["done"]}
    assert rig.starts() == 1


class Wire:
    """A TCP proxy that can be cut, or carry nothing for a while, and be healed."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.is_cut = False
        self.flows = Event()
        self.flows.set()
        Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.is_cut = True
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def heal(self) -> None:
        self.is_cut = False

    def close(self) -> None:
        self._listener.close()
        self.flows.set()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while content := one.recv(65536):
                self.flows.wait()
                other.sendall(content)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wire(rig: Rig) -> Iterator[Wire]:
    """Return the wire by which a pilot has joined."""
    rig.serve()
    file = rig.folder / "scheduler.json"
    content = json.loads(file.read_text())
    wire = Wire(("127.0.0.1", int(content["address"].rpartition(":")[2])))
    file.write_text(json.dumps({**content, "address": f"tls://127.0.0.1:{wire.port}"}))
    rig.start_pilot()
    rig.bench.await_pilot()
    yield wire
    wire.close()


def test_a_network_that_carries_nothing_for_a_while_loses_nothing(
    rig: Rig, wire: Wire, wait_until: Callable[..., None]
) -> None:
    rig.run_one()
    wire.flows.clear()
    rig.go()
    wait_until(lambda: read_receipt(rig.bench.place.records, "t", 1))
    rig.bench.start(rig.bench.bundle(rig.bench.order("sent", "true")))
    wire.flows.set()
    assert rig.box.until_answered("t", "sent") == {"t": ["done"], "sent": ["done"]}


def test_a_cut_network_costs_nothing_of_what_runs(rig: Rig, wire: Wire) -> None:
    rig.run_one()
    wire.cut()
    rig.box.until(_is(PilotAway))
    wire.heal()
    assert rig.until_rejoined().carrying == ((rig.bench.place.run, "t", 1),)
    rig.go()
    assert rig.box.until_answered("t") == {"t": ["done"]}
    assert rig.starts() == 1


_STRANGER = dedent("""
    import asyncio, sys
    from distributed import Client, Security, Worker

    async def main(address, how):
        own = Security.temporary()
        if how == "plain":
            address, own = address.replace("tls://", "tcp://"), None
        try:
            client = await asyncio.wait_for(
                Client(address, security=own, asynchronous=True, timeout=3), 10)
            print("joined", await client.submit(lambda: "and ran"))
        except (OSError, TimeoutError) as error:
            print("refused")
        try:
            await asyncio.wait_for(Worker(address, security=own, dashboard=False), 4)
            print("works")
        except (OSError, TimeoutError) as error:
            print("refused")

    asyncio.run(main(*sys.argv[1:]))
""")


@pytest.mark.parametrize("how", ["plain", "own certificate"])
def test_who_lacks_the_files_neither_joins_nor_submits(rig: Rig, how: str) -> None:
    rig.begin()
    address = json.loads((rig.folder / "scheduler.json").read_text())["address"]
    stranger = subprocess.run(
        [sys.executable, "-c", _STRANGER, address, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
        cwd=rig.bench.workdir,
    )
    assert stranger.stdout.split() == ["refused", "refused"]
    assert [one for one in rig.box.seen if isinstance(one, PilotJoined)] == rig.bench.pilots


def test_the_files_are_for_their_owner_only(rig: Rig) -> None:
    rig.serve()
    folder = rig.folder / "tls"
    assert folder.stat().st_mode & 0o777 == 0o700
    files = [rig.folder / "scheduler.json", *folder.iterdir()]
    assert len(files) == 4
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_an_unfit_host_is_left_with_a_reason(rig: Rig, capfd: Any) -> None:
    rig.start_pilot("--source", "/nowhere/setup.sh")
    assert rig.supervisors[0].wait(PATIENCE_S) == 3
    said = capfd.readouterr().err
    assert "/nowhere/setup.sh: No such file" in said
    assert unfit_host(said.removeprefix(SPEAKER)) == os.uname().nodename


def test_a_pilot_that_is_given_up_ends_what_runs_there(rig: Rig) -> None:
    rig.begin("--lease", "0.4")
    rig.run_one("exec sleep 71")
    (rig.folder / "leases" / PILOT).unlink()
    left = rig.box.until(_is(PilotLeft))
    assert isinstance(left, PilotLeft)
    assert left.reason == "the runner has given the pilot up"
    assert rig.box.answers() == {"t": ["lost"]}
    assert rig._find_living("sleep\x0071") == []


def test_tasks_stand_still_while_the_workspace_cannot_be_reached(rig: Rig) -> None:
    rig.begin("--lease", "0.4")
    rig.run_one("while [ ! -e go ]; do sleep 0.72; done")
    leases = (rig.folder / "leases").rename(rig.folder / "gone")
    rig._wait_until(lambda: _states(rig._find_living("sleep 0.72")) == {"T"})
    rig.go()
    leases.rename(rig.folder / "leases")
    assert rig.box.until_answered("t") == {"t": ["done"]}


def test_a_pilot_without_its_lease_is_away_until_it_has_it_again(rig: Rig) -> None:
    rig.begin("--lease", "0.4")
    leases = (rig.folder / "leases").rename(rig.folder / "gone")
    rig.box.until(_is(PilotAway))
    leases.rename(rig.folder / "leases")
    rig.until_rejoined()
    rig.supervisors[0].terminate()
    assert rig.supervisors[0].wait(PATIENCE_S) == 0
    assert Leases(records=rig.folder, lasts_s=0.4).look(PILOT).is_returned


def test_a_pilot_whose_lease_was_taken_away_before_never_begins(rig: Rig, capfd: Any) -> None:
    rig.start_pilot("--lease=60")
    assert rig.supervisors[0].wait(PATIENCE_S) == 2
    assert "the runner gave the pilot up before it began" in capfd.readouterr().err
    assert not list(rig.folder.rglob(PILOT))


def test_a_pilot_that_cannot_have_its_lease_says_so_in_a_sentence(rig: Rig, capfd: Any) -> None:
    (rig.folder / "leases" / PILOT).mkdir(parents=True)
    rig.start_pilot("--lease=60")
    assert rig.supervisors[0].wait(PATIENCE_S) == 2
    said = capfd.readouterr().err
    assert f"{SPEAKER}cannot be a pilot: " in said
    assert "Traceback" not in said


def test_a_pilot_joins_no_scheduler_without_tls(rig: Rig, capfd: Any) -> None:
    (rig.folder / "scheduler.json").write_text('{"address": "tcp://127.0.0.1:1"}')
    rig.start_pilot()
    said = []
    rig._wait_until(
        lambda: said.append(capfd.readouterr().err) or "which is not encrypted" in "".join(said)
    )


def test_a_task_of_a_pilot_that_is_given_up_stands_still_in_time_whatever_its_grace_period(
    rig: Rig,
) -> None:
    rig.begin("--lease", "0.4")
    order = rig.bench.order("t", "trap '' TERM; while :; do sleep 0.74; done")
    bundle = rig.bench.bundle(order)
    patient = replace(bundle, place=replace(bundle.place, grace_s=60.0))
    rig.bench.start(patient)
    rig.box.until(_started("t"))
    (rig.folder / "leases" / PILOT).unlink()
    rig._wait_until(lambda: _states(rig._find_living("sleep\x000.74")) == {"T"})
    rig.supervisors[0].kill()


def test_time_in_which_the_host_hung_is_not_taken_for_that_of_a_task(rig: Rig) -> None:
    rig.begin()
    needs = Resources(cores=1, walltime_s=5.0)
    rig.bench.start(rig.bench.bundle(rig.bench.order("t", WAITS, needs=needs)))
    rig.box.until(_started("t"))
    sleep(0.3)  # by then it is waited for in long steps
    (supervisor,) = (one.pid for one in rig.supervisors)
    os.kill(supervisor, signal.SIGSTOP)
    sleep(7.0)
    rig.go()
    os.kill(supervisor, signal.SIGCONT)
    assert rig.box.until_answered("t") == {"t": ["done"]}


def _states(pids: list[int]) -> set[str]:
    """Return the states of processes, as in /proc, without those that have ended meanwhile."""
    found = set()
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            found.add(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
    return found
