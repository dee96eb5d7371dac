"""Files of an FTP server: `ftp://host:port/root`, and `ftps://` with TLS. Source: RFC 959, 4217.

A connection for each operation; binary, passive, and to the host that was asked for, whatever
address its server tells. FTP cannot refuse to replace at once: so one writes.
"""

import ftplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Final

from euclid_dask.core.values import Value
from euclid_dask.data.credentials import Credential
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import (
    Capabilities,
    Reader,
    Stat,
    StorageError,
    checked_path,
    part_path,
)
from euclid_dask.data.storages.failures import failure
from euclid_dask.data.storages.patience import Pace, Patience
from euclid_dask.data.storages.reading import SizedReader

KINDS: Final = {
    "421": ErrorClass.BUSY,
    "425": ErrorClass.NETWORK,
    "426": ErrorClass.NETWORK,
    "430": ErrorClass.AUTH,
    "450": ErrorClass.BUSY,
    "451": ErrorClass.IO,
    "452": ErrorClass.FULL,
    "530": ErrorClass.AUTH,
    "532": ErrorClass.AUTH,
    "552": ErrorClass.FULL,
}
"""By the code of a reply. Other 4xx are the line's trouble, NETWORK; other 5xx are POLICY."""
ANSWER_S: Final = 1.0
"""Seconds that a server has to say why it closed a data connection."""


class Server(Value, frozen=True, kw_only=True):
    """Whom to talk to, and how."""

    host: str
    port: int
    credential: Credential
    patience: Patience
    tls: bool = False
    ca_file: str = ""


class FtpDriver:
    """Reads and writes files below `root`, an absolute path on the server."""

    capabilities = Capabilities(refuses_existing=False, syncs=False)

    def __init__(self, server: Server, root: str) -> None:
        self._server = server
        self.root = PurePosixPath(root)

    def stat(self, path: str) -> Stat | None:
        """Return size and time of the file at `path`, or None when there is none."""
        with self.session(path) as ftp:
            return _stat(ftp, self.place(path))

    @contextmanager
    def open_read(self, path: str, start: int = 0) -> Iterator[Reader]:
        """Open a file to be read from byte `start`."""
        place = self.place(path)
        with self.session(path) as ftp:
            before = _stat(ftp, place)
            if before is None:
                raise StorageError(ErrorClass.MISSING, f"{self.where(path)}: no such file")
            with ftp.transfercmd(f"RETR {place}", start or None) as line:
                pace = Pace(self._server.patience, self.where(path))
                at_end = partial(self._end, ftp, line, path, before)
                read = partial(self._read, pace, line.recv, path)
                yield SizedReader(read, before.size, start, self.where(path), at_end)

    def _read(self, pace: Pace, receive: Callable[[int], bytes], path: str, n: int) -> bytes:
        with _failures(self.where(path)):
            return pace.waiting(lambda: receive(n), len)

    def _end(self, ftp: ftplib.FTP, line: socket.socket, path: str, before: Stat) -> None:
        with _failures(self.where(path)):
            _hang_up(line)
            ftp.voidresp()
            after = _stat(ftp, self.place(path))
        if after != before:
            raise StorageError(ErrorClass.CONTENT, f"{self.where(path)}: changed while read")

    def open_part(self, path: str, part: str, size: int | None = None) -> "FtpPart":
        """Begin to send a new part file for `path`."""
        name = part_path(path, part)
        with _failures(self.where(path)):
            ftp = self.connected()
            try:
                return FtpPart(self, ftp, name, path)
            except BaseException:
                ftp.close()
                raise

    def unlink(self, path: str) -> bool:
        """Remove a file; return whether it was there."""
        with self.session(path) as ftp:
            if _stat(ftp, self.place(path)) is None:
                return False
            ftp.delete(self.place(path))
            return True

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Stat]]:
        """Yield all files below a directory."""
        waiting = [PurePosixPath(checked_path(prefix) if prefix else "")]
        with self.session(prefix) as ftp:
            while waiting:
                directory = waiting.pop()
                for name, facts in _listed(ftp, str(self.root / directory)):
                    if facts.get("type") == "dir":
                        waiting.append(directory / name)
                    elif facts.get("type") == "file":
                        yield str(directory / name), _stat_of(facts["size"], facts["modify"])

    def close(self) -> None:
        """Do nothing: connections end with what they were for."""

    def place(self, path: str) -> str:
        """Return the path on the server."""
        if "\n" in path or "\r" in path:
            raise StorageError(ErrorClass.POLICY, f"{path!r}: FTP has no such name")
        return str(self.root / checked_path(path))

    def where(self, path: str) -> str:
        """Return the file's URL, for messages."""
        return f"ftp://{self._server.host}:{self._server.port}{self.root / path}"

    @contextmanager
    def session(self, path: str) -> Iterator[ftplib.FTP]:
        """Give a connection."""
        with _failures(self.where(path)):
            ftp = self.connected()
            try:
                yield ftp
            finally:
                ftp.close()

    def connected(self) -> ftplib.FTP:
        """Return a connection that is logged in, for binary transfers."""
        server = self._server
        ftp = _session(server)
        try:
            ftp.connect(server.host, server.port)
            ftp.login(server.credential.user, server.credential.password)
            if isinstance(ftp, ftplib.FTP_TLS):
                ftp.prot_p()
            ftp.voidcmd("TYPE I")
        except BaseException:
            ftp.close()
            raise
        return ftp


class FtpPart:
    """A part file that is sent by STOR and named by RNFR and RNTO."""

    def __init__(self, driver: FtpDriver, ftp: ftplib.FTP, part: str, final: str) -> None:
        self._driver = driver
        self._ftp = ftp
        self._part = part
        self._final = final
        self._sent = 0
        self._left = True
        place = driver.place(part)
        if _stat(ftp, place) is not None:
            self._left = False
            raise StorageError(ErrorClass.EXISTS, f"{driver.where(part)}: is there already")
        _make_directories(ftp, driver.root, place)
        self._line = ftp.transfercmd(f"STOR {place}")

    def write(self, data: bytes | memoryview, /) -> None:
        """Append all of `data`."""
        try:
            with _failures(self._driver.where(self._part)):
                self._line.sendall(data)
        except StorageError as error:
            if error.kind is ErrorClass.NETWORK:
                self._raise_early_answer()
            raise
        self._sent += len(data)

    def sync(self) -> None:
        """End sending it, and look whether the server has as much as was sent."""
        with _failures(self._driver.where(self._part)):
            _hang_up(self._line)
            self._ftp.voidresp()
            found = _stat(self._ftp, self._driver.place(self._part))
        if found is None or found.size != self._sent:
            raise StorageError(
                ErrorClass.NETWORK, f"{self._final}: the server has not all that was sent"
            )

    def publish(self) -> None:
        """Give it its final name, after looking that there is none."""
        final = self._driver.place(self._final)
        with _failures(self._driver.where(self._final)):
            if _stat(self._ftp, final) is not None:
                raise StorageError(
                    ErrorClass.EXISTS, f"{self._driver.where(self._final)}: is there already"
                )
            self._ftp.rename(self._driver.place(self._part), final)
            self._left = False
        self._ftp.close()

    def abandon(self) -> None:
        """Remove it, unless it was published."""
        self._line.close()
        self._ftp.close()
        if self._left:
            self._left = False
            with suppress(StorageError):
                self._driver.unlink(self._part)

    def _raise_early_answer(self) -> None:
        """Raise what the server said before it closed the line, as "no space", if it did."""
        if self._ftp.sock is not None:
            self._ftp.sock.settimeout(ANSWER_S)
        with _failures(self._driver.where(self._part)), suppress(OSError, EOFError):
            self._ftp.voidresp()


@contextmanager
def _failures(where: str) -> Iterator[None]:
    """Raise what goes wrong with an FTP server as StorageError."""
    try:
        yield
    except ftplib.Error as error:
        code = str(error)[:3]
        other = ErrorClass.NETWORK if code.startswith("4") else ErrorClass.POLICY
        raise StorageError(KINDS.get(code, other), f"{where}: {error}") from error
    except EOFError as error:
        raise StorageError(ErrorClass.NETWORK, f"{where}: the server hung up") from error
    except OSError as error:
        raise failure(error, where) from error


def _session(server: Server) -> ftplib.FTP:
    timeout_s = server.patience.timeout_s
    if not server.tls:
        return ftplib.FTP(timeout=timeout_s, encoding="utf-8")  # noqa: S321 - the site chose it
    tls = ssl.create_default_context()
    if server.ca_file:
        tls.load_verify_locations(server.ca_file)
    return _OneSession(timeout=timeout_s, encoding="utf-8", context=tls)


class _OneSession(ftplib.FTP_TLS):
    """TLS whose data connections go on with the session of the first, as servers demand."""

    def ntransfercmd(
        self, cmd: str, rest: int | str | None = None
    ) -> tuple[socket.socket, int | None]:
        line, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321
        known = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
        return self.context.wrap_socket(line, server_hostname=self.host, session=known), size


def _stat(ftp: ftplib.FTP, place: str) -> Stat | None:
    """Ask for size and time of a file."""
    size = _told(ftp, "SIZE", place)
    return _stat_of(size, _told(ftp, "MDTM", place)) if size else None


def _stat_of(size: str, modified: str) -> Stat:
    try:
        moment = datetime.strptime(modified[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return Stat(size=int(size), mtime_ns=int(moment.timestamp()) * 10**9)
    except ValueError as error:
        raise StorageError(ErrorClass.CONTENT, f"no size or time: {error}") from error


def _listed(ftp: ftplib.FTP, place: str) -> list[tuple[str, dict[str, str]]]:
    """List a directory by MLSD, or by names where there is none; a missing one is empty."""
    try:
        return list(ftp.mlsd(place))
    except ftplib.error_perm as error:
        if str(error).startswith(("550", "501")):
            return []
        if not str(error).startswith("50"):
            raise
    names: list[str] = []
    ftp.retrlines(f"NLST -a {place}", names.append)
    found = []
    for name in (PurePosixPath(line).name for line in names):
        if name not in {"", ".", ".."}:
            size = _told(ftp, "SIZE", f"{place}/{name}")
            modify = _told(ftp, "MDTM", f"{place}/{name}")
            found.append(
                (name, {"type": "file" if size else "dir", "size": size, "modify": modify})
            )
    return found


def _hang_up(line: socket.socket) -> None:
    """Close a data connection; with TLS the other end waits to hear so."""
    if isinstance(line, ssl.SSLSocket):
        with suppress(OSError):  # it may have been closed without: the size is compared
            line.unwrap()
    line.close()


def _told(ftp: ftplib.FTP, command: str, place: str) -> str:
    """Return what a server tells of a file, or "" where there is none."""
    try:
        return ftp.voidcmd(f"{command} {place}").split()[-1]
    except ftplib.error_perm as error:
        if str(error).startswith("550"):
            return ""
        raise


def _make_directories(ftp: ftplib.FTP, root: PurePosixPath, place: str) -> None:
    """Make what is missing between root and file, and not the root; STOR tells what failed."""
    missing: list[str] = []
    for directory in PurePosixPath(place).parents:
        if directory == root:
            break
        try:
            ftp.cwd(str(directory))
            break
        except ftplib.error_perm:
            missing.append(str(directory))
    for name in reversed(missing):
        with suppress(ftplib.error_perm):
            ftp.mkd(name)
