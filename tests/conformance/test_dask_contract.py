"""What we count on from Dask; to be run at every change of its version."""

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import urlopen

import dask.config
import psutil
import pytest
from dask._task_spec import Task
from distributed import Scheduler, Worker

from euclid_dask import __version__
from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.core.events import PilotJoined, PilotLeft
from euclid_dask.core.ids import PilotId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import AttemptEnded, AttemptsLost, AttemptStarted
from euclid_dask.executors.dask.config import CONFIG
from euclid_dask.executors.dask.executor import DaskExecutor
from euclid_dask.executors.dask.server import COLLECT_AFTER, PilotScheduler
from euclid_dask.executors.server import Server

pytestmark = pytest.mark.dask

WAITS = "while [ ! -e go ]; do sleep 0.02; done"


def _started(task: str) -> Callable[[Any], bool]:
    return lambda news: isinstance(news, AttemptStarted) and news.task == task


def _left(pilot: PilotId) -> Callable[[Any], bool]:
    return lambda news: isinstance(news, PilotLeft) and news.pilot == pilot


@pytest.fixture
def two_pilots(bench: Any, cluster: Any) -> Any:
    bench.open(DaskExecutor(address=cluster.scheduler_address), pilots=2)
    return bench


@pytest.fixture
def two_mortal_pilots(bench: Any, own_cluster: Any) -> Any:
    bench.open(DaskExecutor(address=own_cluster.scheduler_address), pilots=2)
    return bench


def test_a_bundle_runs_on_the_worker_it_was_ordered_to(two_pilots: Any, cluster: Any) -> None:
    orders = [two_pilots.order(f"t{n}", "echo $PPID") for n in range(10)]
    two_pilots.start(*(two_pilots.bundle(one, pilot=n % 2) for n, one in enumerate(orders)))
    two_pilots.box.until_answered(*(one.task for one in orders))
    pids = {one.worker_address: one.pid for one in cluster.workers.values()}
    expected = [pids[two_pilots.pilots[n % 2].pilot] for n in range(10)]
    assert [int(two_pilots.stdout(one.task)) for one in orders] == expected


def test_a_busy_worker_keeps_its_bundles_while_another_is_idle(two_pilots: Any) -> None:
    full = [two_pilots.order(f"full{n}", WAITS) for n in range(4)]
    two_pilots.start(*(two_pilots.bundle(one) for one in full))
    for one in full:
        two_pilots.box.until(_started(one.task))
    two_pilots.start(two_pilots.bundle(two_pilots.order("held", "echo $PPID")))
    two_pilots.start(two_pilots.bundle(two_pilots.order("other", "true"), pilot=1))
    assert two_pilots.box.until_answered("other") == {"other": ["done"]}
    (two_pilots.workdir / "go").touch()
    assert two_pilots.box.until_answered("held", "full0", "full3")["held"] == ["done"]


def test_an_executable_sees_nothing_that_a_nanny_set_for_its_worker(two_pilots: Any) -> None:
    two_pilots.start(two_pilots.bundle(two_pilots.order("env", "env")))
    two_pilots.box.until_answered("env")
    assert "MALLOC_TRIM_THRESHOLD_" not in two_pilots.stdout("env")


def test_a_worker_that_joins_late_gets_work(two_mortal_pilots: Any, own_cluster: Any) -> None:
    own_cluster.scale(3)
    late = two_mortal_pilots.await_pilot()
    two_mortal_pilots.start(two_mortal_pilots.bundle(two_mortal_pilots.order("t", "true"), pilot=2))
    assert two_mortal_pilots.box.until_answered("t") == {"t": ["done"]}
    assert (late.slots, late.version) == (4, __version__)


def test_the_death_of_a_worker_loses_only_what_it_carried(
    two_mortal_pilots: Any,
    own_cluster: Any,
    kill_worker: Callable[[Any, PilotId], None],
    find_living: Callable[[str], list[int]],
) -> None:
    bench = two_mortal_pilots
    doomed = bench.bundle(bench.order("doomed", "sleep 71 & sleep 71"), bench.order("behind", ":"))
    bench.start(doomed, bench.bundle(bench.order("safe", WAITS), pilot=1))
    bench.box.until(_started("doomed"))
    bench.box.until(_started("safe"))
    kill_worker(own_cluster, bench.pilots[0].pilot)
    bench.box.until(_left(bench.pilots[0].pilot))
    assert find_living("sleep\x0071") == []
    (bench.workdir / "go").touch()
    answers = bench.box.until_answered("doomed", "behind", "safe")
    assert answers == {"doomed": ["lost"], "behind": ["lost"], "safe": ["done"]}
    assert not any(isinstance(one, AttemptEnded) and one.receipt.failure for one in bench.box.seen)


def test_a_worker_that_is_there_takes_work_though_somebody_says_that_it_left(
    two_pilots: Any,
) -> None:
    two_pilots.executor.lose(two_pilots.pilots[0].pilot, "late news of when it was gone")
    two_pilots.start(two_pilots.bundle(two_pilots.order("t", "true")))
    assert two_pilots.box.until_answered("t") == {"t": ["done"]}


def test_a_bundle_for_a_dead_worker_is_lost_and_does_not_hang(
    two_mortal_pilots: Any, own_cluster: Any, kill_worker: Callable[[Any, PilotId], None]
) -> None:
    bench = two_mortal_pilots
    kill_worker(own_cluster, bench.pilots[0].pilot)
    bench.start(bench.bundle(bench.order("early", "true")))
    bench.box.until(_left(bench.pilots[0].pilot))
    bench.start(bench.bundle(bench.order("late", "true")))
    answers = bench.box.until_answered("early", "late")
    assert answers == {"early": ["lost"], "late": ["lost"]}


def test_nothing_is_run_again_when_a_worker_that_finished_it_dies(
    two_mortal_pilots: Any, own_cluster: Any, kill_worker: Callable[[Any, PilotId], None]
) -> None:
    bench = two_mortal_pilots
    bench.start(*(bench.bundle(bench.order(f"t{n}", "echo x >> runs")) for n in range(4)))
    bench.box.until_answered("t0", "t1", "t2", "t3")
    kill_worker(own_cluster, bench.pilots[0].pilot)
    bench.box.until(_left(bench.pilots[0].pilot))
    bench.await_pilot()  # a nanny starts another
    bench.start(bench.bundle(bench.order("after", "true"), pilot=1))
    bench.box.until_answered("after")
    assert (bench.workdir / "runs").read_text().count("x") == 4


def test_dask_remembers_nothing_of_a_bundle_that_has_ended(
    two_pilots: Any, cluster: Any, wait_until: Callable[..., None]
) -> None:
    two_pilots.start(*(two_pilots.bundle(two_pilots.order(f"t{n}", "true")) for n in range(4)))
    two_pilots.box.until_answered("t0", "t1", "t2", "t3")
    wait_until(lambda: not cluster.scheduler.tasks)


def test_a_lost_scheduler_takes_its_pilots_and_their_bundles(
    two_mortal_pilots: Any, own_cluster: Any
) -> None:
    bench = two_mortal_pilots
    bench.start(bench.bundle(bench.order("t", "sleep 600")))
    bench.box.until(_started("t"))
    own_cluster.close()
    for joined in bench.pilots:
        bench.box.until(_left(joined.pilot))
    assert bench.box.until_answered("t") == {"t": ["lost"]}


_CLIENT = dedent("""
    import sys, time
    from euclid_dask.core.attempts import Order, Place
    from euclid_dask.core.events import PilotJoined
    from euclid_dask.core.resources import Resources
    from euclid_dask.core.seams import AttemptStarted, BundleOrder
    from euclid_dask.executors.dask.executor import DaskExecutor

    address, workdir = sys.argv[1:]
    place = Place(run="gone", workdir=workdir, logdir="logs", records=workdir + "/records")
    offer = None if address else Resources(cores=2)
    executor = DaskExecutor(address=address or None, offer=offer)
    order = lambda name: Order(task=name, attempt=1, executable="sh", inputs=(), outputs=(),
        command=("sh", "-c", "sleep 72 & sleep 72", "sh"), needs=Resources())

    class Box:
        pilot, started = None, False
        def put(self, news):
            if isinstance(news, PilotJoined) and Box.pilot is None:
                Box.pilot = news.pilot
            if isinstance(news, AttemptStarted):
                Box.started = True

    executor.open(Box())
    while Box.pilot is None:
        time.sleep(0.01)
    executor.start([BundleOrder(pilot=Box.pilot, place=place, orders=(order("a"), order("b")))])
    try:
        while not Box.started:
            time.sleep(0.01)
        print("started", flush=True)  # from here on a signal is heard here
        for _ in range(12000):  # a signal that comes before a sleep is heard after it
            time.sleep(0.05)
    except KeyboardInterrupt:
        executor.close()
        print("closed", flush=True)
""")


def test_the_death_of_the_runner_ends_what_it_had_started(
    cluster: Any,
    tmp_path: Path,
    find_living: Callable[[str], list[int]],
    wait_until: Callable[..., None],
) -> None:
    command = [sys.executable, "-c", _CLIENT, cluster.scheduler_address, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        started = client.stdout.readline()
        wait_until(lambda: len(find_living("sleep\x0072")) == 2)
        client.kill()
    assert started == "started\n"
    wait_until(lambda: not find_living("sleep\x0072"))
    assert not (tmp_path / "records" / "b.1.started").exists()


def test_ctrl_c_reaches_the_runner_and_not_the_executables(
    tmp_path: Path, find_living: Callable[[str], list[int]]
) -> None:
    command = [sys.executable, "-c", _CLIENT, "", str(tmp_path)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        assert client.stdout.readline() == "started\n"
        os.killpg(client.pid, signal.SIGINT)
        assert client.stdout.readline() == "closed\n"
        assert client.stderr.read() == ""
    assert client.returncode == 0
    assert find_living("sleep\x0072") == []
    assert "killed" not in (tmp_path / "records" / "a.1.receipt.json").read_text()


def test_the_dashboard_answers_on_this_host_only(bench: Any) -> None:
    before = _listening()
    executor = DaskExecutor(offer=Resources(cores=2))
    bench.open(executor)
    executor.wait_until_up()
    made = _listening() - before
    assert {host for host, _ in made} == {"127.0.0.1"}
    assert urlsplit(executor.dashboard_address).port in {port for _, port in made}
    with urlopen(executor.dashboard_address) as page:
        text = page.read().decode()
    links = re.findall(r'(?:href|src)="(statics/[^"]*|info)"', text)
    assert {Path(link).suffix for link in links} >= {".css", ".svg", ""}
    for link in links:
        with urlopen(urljoin(executor.dashboard_address, link)) as part:
            assert part.read()


def _listening() -> set[tuple[str, int]]:
    """Return where this process listens: addresses and ports."""
    connections = psutil.Process().net_connections("tcp")
    return {tuple(one.laddr) for one in connections if one.status == psutil.CONN_LISTEN}


def test_what_is_started_before_the_cluster_is_up_is_answered_like_the_rest(bench: Any) -> None:
    executor = DaskExecutor(offer=Resources(cores=2), after_s=0.2)
    bench.open(executor)
    bench.start(bench.bundle(bench.order("early", WAITS), bench.order("next", "true")))
    executor.wait_until_up()
    bench.start(bench.bundle(bench.order("late", "true")))
    assert bench.box.until_answered("late") == {"late": ["done"]}
    (bench.workdir / "go").touch()
    answers = bench.box.until_answered("early", "next")
    assert answers == {"early": ["done"], "next": ["done"], "late": ["done"]}
    assert [joined.pilot for joined in bench.pilots] == ["local"]


def test_an_early_bundle_is_cancelled_when_the_cluster_is_up(bench: Any) -> None:
    executor = DaskExecutor(offer=Resources(cores=2))
    bench.open(executor)
    bench.start(bench.bundle(bench.order("early", "sleep 600")))
    executor.wait_until_up()
    bench.cancel("early")
    assert bench.box.until_answered("early") == {"early": ["cancelled"]}


def test_a_cluster_that_does_not_come_up_is_told_and_not_needed(
    bench: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no more sockets")

    monkeypatch.setattr("euclid_dask.executors.dask.cluster.embedded", refuse)
    executor = DaskExecutor(offer=Resources(cores=2))
    bench.open(executor)
    with pytest.raises(OSError, match="no more sockets"):
        executor.wait_until_up()
    bench.start(bench.bundle(bench.order("t", "true")))
    assert bench.box.until_answered("t") == {"t": ["done"]}
    assert "Dask did not start: no more sockets" in caplog.text


def test_a_run_that_ends_before_dask_is_begun_does_not_load_it() -> None:
    script = dedent("""
        import sys
        from euclid_dask.core.resources import Resources
        from euclid_dask.executors.dask.executor import DaskExecutor
        from euclid_dask.runner.inbox import QueueInbox

        executor = DaskExecutor(offer=Resources(cores=1), after_s=60.0)
        executor.open(QueueInbox())
        executor.close()
        sys.exit("distributed" in sys.modules)
    """)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_embedded_cluster_is_the_pilot_that_was_asked_for(bench: Any) -> None:
    offer = Resources(cores=3, ram_bytes=5_000_000_000)
    bench.open(DaskExecutor(offer=offer, slots=7))
    joined = bench.pilots[0]
    assert isinstance(joined, PilotJoined)
    assert (joined.pilot, joined.offer, joined.slots) == ("local", offer, 7)


def test_a_scheduler_that_is_not_there_is_an_error_that_names_it(bench: Any) -> None:
    executor = DaskExecutor(address="tcp://127.0.0.1:1", timeout_s=0.5)
    with pytest.raises(SiteError, match=r"tcp://127\.0\.0\.1:1"):
        executor.open(bench.box)


def test_an_executor_is_embedded_or_has_an_address() -> None:
    with pytest.raises(InputError, match="either an offer or"):
        DaskExecutor()


def test_cancel_ends_an_attempt_at_once(two_pilots: Any) -> None:
    two_pilots.start(two_pilots.bundle(two_pilots.order("t", "sleep 600")))
    two_pilots.box.until(_started("t"))
    two_pilots.cancel("t")
    two_pilots.box.until(lambda news: isinstance(news, AttemptEnded))
    assert not any(isinstance(news, AttemptsLost) for news in two_pilots.box.seen)


def test_dask_keeps_nothing_of_a_bundle_that_has_ended(
    bench: Any, wait_until: Callable[..., None]
) -> None:
    executor = DaskExecutor(offer=Resources(cores=2))
    bench.open(executor)
    executor.wait_until_up()
    bench.start(bench.bundle(bench.order("kept-by-nobody", WAITS)))
    bench.box.until(_started("kept-by-nobody"))
    assert _dask_tasks("kept-by-nobody")
    (bench.workdir / "go").touch()
    assert bench.box.until_answered("kept-by-nobody") == {"kept-by-nobody": ["done"]}
    wait_until(lambda: not _dask_tasks("kept-by-nobody"))


def _dask_tasks(name: str) -> list[Any]:
    """Return the Dask tasks in this process that carry a task of ours."""
    gc.collect()
    tasks = [one for one in gc.get_objects() if isinstance(one, Task)]
    return [task for task in tasks if name in repr(task.args)]


def test_our_own_scheduler_holds_back_that_a_worker_may_forget_something() -> None:
    heard: list[str] = []
    forget = {"op": "free-keys", "keys": ["x"], "stimulus_id": "test"}

    async def forget_and_echo() -> None:
        echo = asyncio.Event()
        async with (
            PilotScheduler(host="127.0.0.1", dashboard_address="127.0.0.1:0") as scheduler,
            Worker(scheduler.address, dashboard_address="127.0.0.1:0") as worker,
        ):
            worker.stream_handlers["free-keys"] = lambda **_: heard.append("forget")
            worker.stream_handlers["echo"] = lambda: (heard.append("echo"), echo.set())
            stream = scheduler.stream_comms[worker.address]
            sent = stream.message_count
            scheduler.send_all({}, {worker.address: [forget]})
            assert stream.message_count == sent
            scheduler.send_all({}, {worker.address: [{"op": "echo"}]})
            await echo.wait()

    asyncio.run(forget_and_echo())
    assert heard == ["forget", "echo"]


@pytest.mark.parametrize("when", ["before it goes", "when it is gone"])
def test_our_own_scheduler_holds_nothing_back_for_a_worker_that_is_gone(when: str) -> None:
    forget = {"op": "free-keys", "keys": ["x"], "stimulus_id": "test"}
    sent: list[str] = []

    class Stream:
        def send(self, *messages: Any) -> None:
            sent.extend(message["op"] for message in messages)

    async def go_and_join_again() -> None:
        async with PilotScheduler(host="127.0.0.1", dashboard_address="127.0.0.1:0") as scheduler:
            async with Worker(scheduler.address, dashboard_address="127.0.0.1:0") as worker:
                if when == "before it goes":
                    scheduler.send_all({}, {worker.address: [forget]})
            while scheduler.workers:  # noqa: ASYNC110 - Dask tells nobody
                await asyncio.sleep(0.01)
            if when == "when it is gone":
                scheduler.send_all({}, {worker.address: [forget]})
            scheduler.stream_comms[worker.address] = Stream()  # another one at its address
            scheduler.send_all({}, {worker.address: [{"op": "echo"}]})
            del scheduler.stream_comms[worker.address]

    asyncio.run(go_and_join_again())
    assert sent == ["echo"]


def test_garbage_is_looked_for_seldom_while_our_own_scheduler_is_there(
    bench: Any, supervised: Server
) -> None:
    before = gc.get_threshold()
    assert 0 < before[0] < COLLECT_AFTER
    executor = DaskExecutor(server=supervised)
    executor.open(bench.box)
    try:
        assert gc.get_threshold() == (COLLECT_AFTER, *before[1:])
    finally:
        executor.close()
    assert gc.get_threshold() == before


def test_workers_of_our_own_scheduler_say_how_they_are_the_less_often_the_more_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("euclid_dask.executors.dask.server.BEATS", 1 / 300)

    async def beat() -> float:
        async with (
            PilotScheduler(host="127.0.0.1", dashboard_address="127.0.0.1:0") as scheduler,
            Worker(scheduler.address, dashboard_address="127.0.0.1:0") as one,
            Worker(scheduler.address, dashboard_address="127.0.0.1:0"),
        ):
            await one.heartbeat()
            return float(one.periodic_callbacks["heartbeat"].callback_time)

    assert asyncio.run(beat()) == 600_000


def test_schedulers_and_workers_of_ours_are_not_woken_all_the_time() -> None:
    async def intervals_ms() -> list[float]:
        with dask.config.set(CONFIG):
            async with (
                PilotScheduler(host="127.0.0.1", dashboard_address="127.0.0.1:0") as scheduler,
                Worker(scheduler.address, dashboard_address="127.0.0.1:0") as worker,
            ):
                servers = (scheduler, worker)
                calls = [one for each in servers for one in each.periodic_callbacks.values()]
                return [call.callback_time for call in calls]

    assert min(asyncio.run(intervals_ms())) >= 250


def test_our_own_scheduler_hands_over_what_is_heard_and_does_not_keep_it() -> None:
    heard: list[object] = []

    async def tell_twice() -> None:
        echo = asyncio.Event()
        async with (
            PilotScheduler(host="127.0.0.1", dashboard_address="127.0.0.1:0") as scheduler,
            Worker(scheduler.address, dashboard_address="127.0.0.1:0") as worker,
        ):
            scheduler.hearers["ours"] = lambda event: (heard.append(event[1]), echo.set())
            worker.log_event("others", "one")
            worker.log_event("ours", "two")
            await echo.wait()
            assert scheduler.get_events("ours") == ()
            assert [message for _, message in scheduler.get_events("others")] == ["one"]

    asyncio.run(tell_twice())
    assert heard == ["two"]


@pytest.mark.parametrize(("kind", "count"), [(Scheduler, 1), (PilotScheduler, 0)])
def test_workers_of_our_own_scheduler_do_not_hear_of_another_that_goes(
    kind: type[Scheduler], count: int
) -> None:
    heard: list[object] = []

    async def one_of_two_goes() -> None:
        echo = asyncio.Event()
        async with (
            kind(host="127.0.0.1", dashboard_address="127.0.0.1:0") as scheduler,
            Worker(scheduler.address, dashboard_address="127.0.0.1:0") as goes,
            Worker(scheduler.address, dashboard_address="127.0.0.1:0") as stays,
        ):
            stays.stream_handlers["remove-worker"] = lambda **news: heard.append(news)
            stays.stream_handlers["echo"] = echo.set
            await goes.close()
            while len(scheduler.workers) > 1:  # noqa: ASYNC110 - Dask tells nobody
                await asyncio.sleep(0.01)
            scheduler.worker_send(stays.address, {"op": "echo"})
            await echo.wait()

    asyncio.run(one_of_two_goes())
    assert len(heard) == count
