"""The executors that the suites run on, and builders for what they carry."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Any

import file_servers
import pytest
from file_servers import FileServer
from postgresql import postgresql
from registries import Addresses, on_postgresql, on_sqlite

from euclid_dask.core.attempts import InputArgument, Order, OutputArgument, Place
from euclid_dask.core.events import PilotJoined
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import (
    AttemptEnded,
    AttemptsLost,
    AttemptsReturned,
    BundleOrder,
    Executor,
    News,
)
from euclid_dask.executors.dask.executor import DaskExecutor
from euclid_dask.executors.local import LocalExecutor
from euclid_dask.executors.server import Server
from euclid_dask.pilots.lease import Leases

PATIENCE_S = 100.0


class Box:
    """An inbox that a test can wait on."""

    def __init__(self) -> None:
        self.seen: list[News] = []
        self._queue: SimpleQueue[News] = SimpleQueue()

    def put(self, news: News) -> None:
        self._queue.put(news)

    def until(self, wanted: Callable[[News], Any], patience_s: float = PATIENCE_S) -> News:
        """Return the first news, seen before or to come, that is wanted."""
        for news in self.seen:
            if wanted(news):
                return news
        until_s = monotonic() + patience_s
        while (left_s := until_s - monotonic()) > 0:
            try:
                news = self._queue.get(timeout=left_s)
            except Empty:
                break
            self.seen.append(news)
            if wanted(news):
                return news
        raise AssertionError(f"not in time; seen: {self.seen}")

    def answers(self) -> dict[str, list[str]]:
        """Return how each task was answered so far."""
        found: dict[str, list[str]] = {}
        for news in self.seen:
            if isinstance(news, AttemptEnded):
                failure = news.receipt.failure
                found.setdefault(news.receipt.task, []).append(failure.kind if failure else "done")
            elif isinstance(news, AttemptsReturned | AttemptsLost):
                word = "returned" if isinstance(news, AttemptsReturned) else "lost"
                for task, _ in news.attempts:
                    found.setdefault(task, []).append(word)
        return found

    def until_answered(self, *tasks: str) -> dict[str, list[str]]:
        """Wait until these tasks are answered; return all answers so far."""
        if not set(tasks) <= set(self.answers()):
            self.until(lambda _: set(tasks) <= set(self.answers()))
        return self.answers()


@dataclass
class Bench:
    """An open executor, a workdir, and the words to order shell commands."""

    place: Place
    box: Box = field(default_factory=Box)
    executor: Executor | None = None
    pilots: list[PilotJoined] = field(default_factory=list)

    @property
    def workdir(self) -> Path:
        return Path(self.place.workdir)

    def open(self, executor: Executor, pilots: int = 1) -> None:
        self.executor = executor
        executor.open(self.box)
        for _ in range(pilots):
            self.await_pilot()

    def await_pilot(self) -> PilotJoined:
        known = {joined.pilot for joined in self.pilots}
        news = self.box.until(lambda one: isinstance(one, PilotJoined) and one.pilot not in known)
        assert isinstance(news, PilotJoined)
        self.pilots.append(news)
        return news

    def order(
        self,
        task: str,
        script: str,
        *,
        outputs: tuple[str, ...] = (),
        inputs: tuple[str, ...] = (),
        needs: Resources | None = None,
        attempt: int = 1,
    ) -> Order:
        return Order(
            task=TaskId(task),
            attempt=attempt,
            executable="sh",
            command=("sh", "-c", script, "sh"),
            inputs=tuple(InputArgument(port=path, text=path) for path in inputs),
            outputs=tuple(
                OutputArgument(port=port, path=f"{task}/{port}.txt", mime_type="txt")
                for port in outputs
            ),
            needs=needs or Resources(cores=1),
        )

    def bundle(self, *orders: Order, pilot: int = 0) -> BundleOrder:
        return BundleOrder(pilot=self.pilots[pilot].pilot, place=self.place, orders=orders)

    def start(self, *bundles: BundleOrder) -> None:
        assert self.executor is not None
        self.executor.start(bundles)

    def cancel(self, *tasks: str, only_waiting: bool = False) -> None:
        assert self.executor is not None
        attempts = [(TaskId(task), 1) for task in tasks]
        self.executor.cancel(self.place.run, attempts, only_waiting=only_waiting)

    def stdout(self, task: str) -> str:
        return (self.workdir / "logs" / task / "stdout.log").read_text()

    def close(self) -> None:
        if self.executor is not None:
            self.executor.close()


def wait_for(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds."""
    until_s = monotonic() + patience_s
    while not condition():
        assert monotonic() < until_s, "not in time"
        sleep(0.01)


def living(marker: str) -> list[int]:
    """Return the living processes whose command line has this text in it."""
    found = []
    for directory in Path("/proc").iterdir():
        if not directory.name.isdecimal() or int(directory.name) == os.getpid():
            continue
        try:
            state = (directory / "stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX" and marker in (directory / "cmdline").read_text(errors="replace"):
                found.append(int(directory.name))
        except OSError:
            continue
    return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(
        run=RunId(f"run-{os.getpid()}-{tmp_path.name}"),
        workdir=str(tmp_path),
        logdir="logs",
        records=str(tmp_path / ".euclid-dask" / "attempts"),
        grace_s=0.3,
        sample_interval_s=0.05,
    )


@pytest.fixture
def bench(place: Place) -> Iterator[Bench]:
    bench = Bench(place)
    yield bench
    bench.close()
    assert not living(place.workdir)


def run_supervisor(
    workspace: Path, *words: str, pilot: str = "light-000001", **environment: str
) -> "subprocess.Popen[bytes]":
    """Start a pilot as a batch job would, for the scheduler file of a workspace."""
    command = [sys.executable, "-m", "euclid_dask.pilots.supervisor", "--pilot", pilot]
    command += ["--workspace", str(workspace), "--cores", "2", "--ram", "4000000000"]
    if "--lease" in words:
        lasts_s = float(words[words.index("--lease") + 1])
        Leases(records=workspace / ".euclid-dask", lasts_s=lasts_s).offer(PilotId(pilot))
    return subprocess.Popen([*command, "--slots", "4", *words], env={**os.environ, **environment})


def end_supervisor(supervisor: "subprocess.Popen[bytes]") -> int:
    """Tell a pilot to end, and wait until it has."""
    supervisor.terminate()
    return supervisor.wait(PATIENCE_S)


@pytest.fixture
def start_supervisor() -> Callable[..., "subprocess.Popen[bytes]"]:
    """Return a function that starts a pilot as a batch job would."""
    return run_supervisor


@pytest.fixture
def supervised(place: Place) -> Iterator[Server]:
    """Return where to serve a pilot with a supervisor, which comes there."""
    folder = Path(place.workdir) / ".euclid-dask"
    folder.mkdir()
    supervisor = run_supervisor(Path(place.workdir))
    yield Server(folder=folder, host="127.0.0.1")
    end_supervisor(supervisor)


@contextmanager
def _two_workers() -> Iterator[Any]:
    from distributed import LocalCluster  # noqa: PLC0415 - only when Dask is asked for

    with LocalCluster(
        n_workers=2, threads_per_worker=4, processes=True, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Return a Dask cluster of two worker processes that tests may not harm."""
    with _two_workers() as cluster:
        yield cluster


@pytest.fixture
def own_cluster() -> Iterator[Any]:
    """Return a Dask cluster of two worker processes that a test may kill."""
    with _two_workers() as cluster:
        yield cluster


@pytest.fixture
def kill_worker() -> Callable[[Any, PilotId], None]:
    """Return a function that kills the worker process of a pilot outright."""

    def kill(cluster: Any, pilot: PilotId) -> None:
        pids = [one.pid for one in cluster.workers.values() if one.worker_address == pilot]
        os.kill(pids[0], signal.SIGKILL)

    return kill


@pytest.fixture(
    params=[
        "local",
        pytest.param("dask-coming-up", marks=pytest.mark.dask),
        pytest.param("dask-embedded", marks=pytest.mark.dask),
        pytest.param("dask-existing", marks=pytest.mark.dask),
        pytest.param("dask-supervised", marks=pytest.mark.dask),
    ]
)
def opened(request: pytest.FixtureRequest, bench: Bench) -> Bench:
    """Return a bench whose executor is open, once for each executor there is."""
    match request.param:
        case "local":
            bench.open(LocalExecutor(offer=Resources(cores=2), slots=4))
        case "dask-coming-up":
            bench.open(DaskExecutor(offer=Resources(cores=2), slots=4, after_s=60.0))
        case "dask-embedded":
            executor = DaskExecutor(offer=Resources(cores=2), slots=4)
            bench.open(executor)
            executor.wait_until_up()
        case "dask-supervised":
            bench.open(DaskExecutor(server=request.getfixturevalue("supervised")))
        case _:
            address = request.getfixturevalue("cluster").scheduler_address
            bench.open(DaskExecutor(address=address), pilots=2)
    return bench


@pytest.fixture
def wait_until() -> Callable[..., None]:
    return wait_for


@pytest.fixture
def find_living() -> Callable[[str], list[int]]:
    return living


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Addresses:
    """Return a maker of registries on SQLite."""
    return on_sqlite(tmp_path_factory.mktemp("registries"))


@pytest.fixture(scope="session")
def server_addresses() -> Iterator[Addresses]:
    """Return a maker of registries on PostgreSQL, on a server that tests may not harm."""
    with postgresql() as running:
        yield on_postgresql(running)


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Return OpenSSH's server."""
    with file_servers.sftp(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture(scope="session")
def nginx_servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[FileServer, FileServer]]:
    """Return nginx, as http and as WebDAV."""
    with file_servers.nginx(tmp_path_factory.mktemp("nginx")) as both:
        yield both


@pytest.fixture(scope="session")
def http_server(nginx_servers: tuple[FileServer, FileServer]) -> FileServer:
    """Return nginx as http."""
    return nginx_servers[0]


@pytest.fixture(scope="session")
def nginx_dav_server(nginx_servers: tuple[FileServer, FileServer]) -> FileServer:
    """Return nginx as WebDAV."""
    return nginx_servers[1]


@pytest.fixture(scope="session")
def wsgidav_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Return WsgiDAV."""
    with file_servers.wsgidav(tmp_path_factory.mktemp("wsgidav")) as server:
        yield server


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Return pyftpdlib's server."""
    with file_servers.ftp(tmp_path_factory.mktemp("ftp")) as server:
        yield server


@pytest.fixture(scope="session")
def vsftpd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Return vsftpd."""
    with file_servers.vsftpd(tmp_path_factory.mktemp("vsftpd")) as server:
        yield server


@pytest.fixture(scope="session")
def vsftpd_tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Return vsftpd with TLS."""
    with file_servers.vsftpd(tmp_path_factory.mktemp("vsftpd-tls"), tls=True) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Return moto's server, with a bucket."""
    with file_servers.s3(tmp_path_factory.mktemp("s3")) as server:
        yield server
