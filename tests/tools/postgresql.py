"""A real PostgreSQL server of our own on loopback, run as a normal user, for tests."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
from batch_clusters import skip_or_fail
from ports import free_ports

_PATIENCE_S = 60.0


class PostgreSQL:
    """A server; its superuser is `test`, and needs no password on loopback."""

    def __init__(self, programs: Path, directory: Path, *, fsync: bool = False) -> None:
        self._programs = programs
        self._fsync = "on" if fsync else "off"
        self._directory = directory
        self._port = free_ports()
        self._server: subprocess.Popen[bytes] | None = None
        # the programs of the server refuse to run as root
        normal = {"user": "nobody", "group": "nogroup", "extra_groups": ()}
        self._ways: Mapping[str, Any] = {
            "cwd": directory,
            "env": {**os.environ, "HOME": str(directory)},
            "stdin": subprocess.DEVNULL,
            **(normal if os.geteuid() == 0 else {}),
        }
        data = ("-D", str(directory / "data"), "-U", "test", "-A", "trust")
        self.run("initdb", *data, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")

    def url(self, database: str = "postgres") -> str:
        """Return what clients are given."""
        return f"postgresql://test@127.0.0.1:{self._port}/{database}"

    def run(self, *command: str) -> str:
        """Return what a program of PostgreSQL writes."""
        line = [str(self._programs / command[0]), *command[1:]]
        done = subprocess.run(line, capture_output=True, text=True, check=False, **self._ways)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Return what one statement answers."""
        return self.run("psql", "-tAqc", statement, self.url(database)).strip()

    def start(self) -> None:
        """Start the server."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
            "fsync": self._fsync,
            "full_page_writes": self._fsync,
            "shared_buffers": "32MB",
            "max_connections": 50,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = self._directory / "log"
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._directory / "data"), *options],
                stdout=output,
                stderr=output,
                **self._ways,
            )
        until_s = monotonic() + _PATIENCE_S
        while self._server.poll() is None and monotonic() < until_s:
            with suppress(AssertionError):
                self.sql("SELECT 1")
                return
            sleep(0.05)
        raise AssertionError(f"PostgreSQL does not start: {log.read_text()[-2000:]}")

    def stop(self) -> None:
        """Stop the server for good: it breaks all connections, and writes nothing any more."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(_PATIENCE_S)

    def crash(self) -> None:
        """Kill the server and all of its processes."""
        assert self._server is not None
        processes = psutil.Process(self._server.pid).children(recursive=True)
        self._server.kill()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._server.wait(_PATIENCE_S)
        until_s = monotonic() + _PATIENCE_S
        while any(map(_lives, processes)) and monotonic() < until_s:
            sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def postgresql(*, fsync: bool = False) -> Iterator[PostgreSQL]:
    """Have a server run; skip the test where PostgreSQL is not installed.

    It does not sync unless asked to: the machine does not lose its power in a test.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        skip_or_fail("PostgreSQL is not installed (apt-get install postgresql)")
    directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, "nobody", "nogroup")
        server = PostgreSQL(found[-1], directory, fsync=fsync)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
