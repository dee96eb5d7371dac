"""Real file servers on loopback, for tests: private folders, own ports, ended with the test."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from batch_clusters import skip_or_fail
from certificates import certificate
from ports import free_ports

from euclid_dask.core.seams import Clock
from euclid_dask.data.credentials import NOBODY, Credential
from euclid_dask.data.model import Access
from euclid_dask.data.storage import StorageDriver
from euclid_dask.data.storages.opening import open_driver

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
USER = Credential(user="test", password="test-secret")


class WallClock:
    """The time of this machine."""

    def now_s(self) -> float:
        return time.time()

    def wait_until(self, deadline_s: float) -> None:
        time.sleep(max(0.0, deadline_s - time.time()))


CLOCK: Clock = WallClock()  # type: ignore[assignment]


@dataclass(frozen=True)
class FileServer:
    """A server that runs, and how its files are reached."""

    scheme: str
    port: int
    path: str = ""
    """What is before the path of a file in URLs."""
    host: str = "127.0.0.1"
    folder: Path | None = None
    """Where its files are on this host, if they are files."""
    credential: Credential = NOBODY
    options: tuple[tuple[str, str], ...] = ()
    pid: int = 0

    def through(self, port: int) -> "FileServer":
        """Return the same server as reached by another port."""
        return replace(self, port=port)

    def access(self, place: str = "", **options: str) -> Access:
        """Return the access row of a storage whose root is a directory of the server."""
        below = f"/{place}" if place else ""
        return Access(
            storage="tested",
            zone="here",
            root=f"{self.scheme}://{self.host}:{self.port}{self.path}{below}",
            credential="the-one",
            options={**dict(self.options), **options},
        )

    def driver(self, place: str = "", **options: str) -> StorageDriver:
        """Return a driver of such a storage."""
        return open_driver(self.access(place, **options), {"the-one": self.credential}, CLOCK)

    def make(self, place: str) -> None:
        """Make the directory that is to be a storage's root."""
        if self.folder is not None:
            (self.folder / place).mkdir(mode=0o777)
            (self.folder / place).chmod(0o777)


def program(name: str) -> str:
    """Return the path of a program, or skip."""
    found = shutil.which(name, path=PATH)
    if found is None:
        skip_or_fail(f"{name} is not installed")
    return str(found)


@contextmanager
def served(folder: Path, port: int, command: Sequence[str]) -> Iterator[int]:
    """Have a server run that listens on a port; give its process id."""
    log = folder / f"{Path(command[0]).name}-{port}.log"
    with log.open("wb") as output, ExitStack() as stack:
        process = subprocess.Popen(  # it ends with us, even when we are killed
            [program("setpriv"), "--pdeathsig", "TERM", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        stack.callback(_end, process)
        _await(process, port, log)
        yield process.pid


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"no server on port {port}: {log.read_text(errors='replace')[-1000:]}")


@contextmanager
def sftp(folder: Path, port: int = 0, extra: str = "") -> Iterator[FileServer]:
    """Have OpenSSH's server run, for this user and with a key."""
    sshd, keygen = program("sshd"), program("ssh-keygen")
    port = port or free_ports()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("hostkey", "id"):
        if not (folder / name).exists():
            subprocess.run(
                [keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
            )
    public = (folder / "hostkey.pub").read_text().split()
    (folder / "known_hosts").write_text(f"* {public[0]} {public[1]}\n")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/hostkey\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/id.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\nMaxStartups 200\n" + extra
    )
    data = _data(folder)
    user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
    with served(folder, port, [sshd, "-D", "-e", "-f", f"{folder}/sshd_config"]) as pid:
        yield FileServer(
            scheme="sftp",
            port=port,
            path=str(data),
            folder=data,
            credential=Credential(user=user, key=f"{folder}/id"),
            options=(("known_hosts", f"{folder}/known_hosts"),),
            pid=pid,
        )


NGINX = """
{user} worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
load_module modules/ngx_http_dav_ext_module.so;
events {{ worker_connections 256; }}
http {{
  access_log off; client_max_body_size 0; sendfile on; dav_ext_lock_zone zone=l:1m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port}; root {data};
    location /dav/ {{
      alias {data}/; dav_methods PUT DELETE MKCOL COPY MOVE; create_full_put_path on;
      dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK; dav_ext_lock zone=l;
      dav_access user:rw group:r all:r;
    }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path) -> Iterator[tuple[FileServer, FileServer]]:
    """Have nginx run; give it as http and as WebDAV."""
    binary, data, port = program("nginx"), _data(folder), free_ports()
    user = "user root;" if os.geteuid() == 0 else ""
    text = NGINX.format(folder=folder, data=data, port=port, user=user)
    (folder / "nginx.conf").write_text(text)
    with served(folder, port, [binary, "-c", f"{folder}/nginx.conf"]) as pid:
        yield (
            FileServer(scheme="http", port=port, folder=data, pid=pid),
            FileServer(scheme="dav", port=port, path="/dav", folder=data, pid=pid),
        )


@contextmanager
def wsgidav(folder: Path) -> Iterator[FileServer]:
    """Have WsgiDAV run, which answers otherwise than nginx."""
    binary, data, port = program("wsgidav"), _data(folder), free_ports()
    command = [binary, "--host", "127.0.0.1", "--port", str(port), "--root", str(data)]
    command += ["--auth", "anonymous", "--server", "cheroot", "-q"]
    with served(folder, port, command) as pid:
        yield FileServer(scheme="dav", port=port, folder=data, pid=pid)


@contextmanager
def ftp(folder: Path) -> Iterator[FileServer]:
    """Have pyftpdlib's server run."""
    pytest.importorskip("pyftpdlib")
    data, port = _data(folder), free_ports()
    command = [sys.executable, "-W", "ignore", "-m", "pyftpdlib", "-i", "127.0.0.1"]
    command += ["-p", str(port), "-w", "-d", str(data), "-u", USER.user, "-P", USER.password]
    with served(folder, port, command) as pid:
        yield FileServer(scheme="ftp", port=port, folder=data, credential=USER, pid=pid)


@contextmanager
def vsftpd(folder: Path, *, tls: bool = False) -> Iterator[FileServer]:
    """Have vsftpd run, with what anybody may write; with TLS it wants one session for all."""
    binary, data, port = program("vsftpd"), _data(folder), free_ports()
    if os.geteuid() != 0:
        skip_or_fail("vsftpd needs root")
    (folder / "empty").mkdir()
    data.chmod(0o755)
    config = folder / "vsftpd.conf"
    config.write_text(
        f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\n"
        f"anon_root={data}\nanonymous_enable=YES\nlocal_enable=NO\nno_anon_password=YES\n"
        "write_enable=YES\nanon_upload_enable=YES\nanon_mkdir_write_enable=YES\n"
        "anon_other_write_enable=YES\nanon_world_readable_only=NO\nanon_umask=022\n"
        f"secure_chroot_dir={folder}/empty\nxferlog_enable=NO\nseccomp_sandbox=NO\n"
    )
    options: tuple[tuple[str, str], ...] = ()
    if tls:
        certificate(folder, "localhost")
        options = (("ca_file", f"{folder}/ca.pem"),)
        with config.open("a") as more:
            more.write(
                f"ssl_enable=YES\nallow_anon_ssl=YES\nrsa_cert_file={folder}/server.pem\n"
                "force_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\nrequire_ssl_reuse=YES\n"
            )
    with served(folder, port, [binary, str(config)]) as pid:
        user = Credential(user="anonymous", password="x")
        server = FileServer(scheme="ftp", port=port, folder=data, credential=user, pid=pid)
        yield replace(server, scheme="ftps", host="localhost", options=options) if tls else server


@contextmanager
def s3(folder: Path) -> Iterator[FileServer]:
    """Have moto's server run, with one bucket."""
    binary, port = program("moto_server"), free_ports()
    with served(folder, port, [binary, "-H", "127.0.0.1", "-p", str(port)]) as pid:
        server = FileServer(scheme="s3+http", port=port, path="/bucket", credential=USER, pid=pid)
        line = http.client.HTTPConnection("127.0.0.1", port)
        line.request("PUT", "/bucket")
        assert line.getresponse().status == 200
        line.close()
        yield server


def _data(folder: Path) -> Path:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    for place in (folder, *folder.parents[:3]):  # pytest's folders are closed to nginx's workers
        if place.stat().st_uid == os.geteuid() and place != Path("/tmp"):
            place.chmod(0o755)
    return data
