"""Files of an SSH server: `sftp://host:port/root`, by asyncssh in a thread of its own.

A server's host key must be known: in `~/.ssh/known_hosts`, or the file that the option
`known_hosts` names. Publishing is SFTP's plain `rename`, which refuses to replace; OpenSSH's own
`posix-rename` replaces and is never used. Only the file is synced, since SFTP cannot sync the
directory with its name.
"""

import asyncio
import stat as kinds
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar, cast

import asyncssh

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
from euclid_dask.data.storages.failures import kind_of
from euclid_dask.data.storages.patience import Patience
from euclid_dask.data.storages.reading import SizedReader

T = TypeVar("T")

PART_MODE: Final = 0o444
REQUESTS: Final = 64
"""Requests under way for one file."""
KINDS: Final[Mapping[type[Exception], ErrorClass]] = {
    asyncssh.HostKeyNotVerifiable: ErrorClass.AUTH,
    asyncssh.PermissionDenied: ErrorClass.AUTH,
    asyncssh.KeyImportError: ErrorClass.AUTH,
    asyncssh.ChannelOpenError: ErrorClass.BUSY,
    asyncssh.SFTPNoSuchFile: ErrorClass.MISSING,
    asyncssh.SFTPNoSuchPath: ErrorClass.MISSING,
    asyncssh.SFTPFileAlreadyExists: ErrorClass.EXISTS,
    asyncssh.SFTPPermissionDenied: ErrorClass.POLICY,
    asyncssh.SFTPWriteProtect: ErrorClass.POLICY,
    asyncssh.SFTPOpUnsupported: ErrorClass.POLICY,
    asyncssh.SFTPNoSpaceOnFilesystem: ErrorClass.FULL,
    asyncssh.SFTPQuotaExceeded: ErrorClass.FULL,
    asyncssh.SFTPConnectionLost: ErrorClass.NETWORK,
    asyncssh.SFTPNoConnection: ErrorClass.NETWORK,
    asyncssh.SFTPError: ErrorClass.IO,
    asyncssh.Error: ErrorClass.NETWORK,
}
"""The first that fits; OpenSSH says no more than "Failure" of most, which is IO."""


class SftpDriver:
    """Reads and writes files below `root` on one server, over one connection.

    Args:
        host: The server's name.
        port: The server's port.
        root: An absolute path on the server; it is never made.
        credential: `user`, and `key` with its `passphrase`, or `password`; by default the keys
            in `~/.ssh` are tried.
        patience: How long to wait.
        known_hosts: A file of host keys, or "" for that of the user.
    """

    capabilities = Capabilities()

    def __init__(
        self,
        address: tuple[str, int],
        root: str,
        credential: Credential,
        patience: Patience,
        known_hosts: str = "",
    ) -> None:
        self._root = PurePosixPath(root)
        self._address = address
        self._options = _ssh_options(credential, patience, known_hosts)
        self._patience = patience
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sftp", daemon=True)
        self._thread.start()
        self._connecting = asyncio.Lock()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None

    def stat(self, path: str) -> Stat | None:
        """Return size and time of the regular file at `path`, or None when there is none."""
        return self._run(self._stat(path), path)

    @contextmanager
    def open_read(self, path: str, start: int = 0) -> Iterator[Reader]:
        """Open a file to be read from byte `start`."""
        before = self.stat(path)  # opening a FIFO would never end
        if before is None:
            raise StorageError(ErrorClass.MISSING, f"{self._where(path)}: no such file")
        file = self._run(self._open(path, "rb"), path)
        try:
            yield SizedReader(
                _Blocks(self, file, path, start).read,
                before.size,
                start,
                self._where(path),
                partial(self._refuse_change, path, before),
            )
        finally:
            with suppress(StorageError):
                self._run(file.close(), path)

    def open_part(self, path: str, part: str, size: int | None = None) -> "SftpPart":
        """Make a new part file for `path`, and the directories above it."""
        name = part_path(path, part)
        self._run(self._make_directories(path), path)
        if self.stat(name) is not None:
            raise StorageError(ErrorClass.EXISTS, f"{self._where(name)}: is there already")
        return SftpPart(self, self._run(self._open(name, "xb"), name), name, path)

    def unlink(self, path: str) -> bool:
        """Remove a file; return whether it was there."""
        try:
            self._run(self._remove(path), path)
        except StorageError as error:
            if error.kind is ErrorClass.MISSING:
                return False
            raise
        return True

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Stat]]:
        """Yield all regular files below a directory."""
        waiting = [PurePosixPath(checked_path(prefix) if prefix else "")]
        while waiting:
            directory = waiting.pop()
            for name, attributes in self._run(self._list(directory), str(directory)):
                path = directory / name
                if kinds.S_ISDIR(attributes.permissions or 0):
                    waiting.append(path)
                elif (found := _regular(attributes)) is not None:
                    yield str(path), found

    def close(self) -> None:
        """Close the connection and end the thread."""
        with suppress(StorageError):
            self._run(self._disconnect(), "")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def publish(self, part: str, path: str) -> None:
        """Rename a part file, which fails when there is a file."""
        try:
            self._run(self._rename(part, path), path)
        except StorageError as error:
            if error.kind is ErrorClass.IO and self.stat(path) is not None:
                raise StorageError(ErrorClass.EXISTS, f"{self._where(path)}: is there") from error
            raise

    def full_or(self, error: StorageError, path: str) -> StorageError:
        """Return `error`, or that of a full disk when that is why."""
        if error.kind is ErrorClass.IO:
            with suppress(StorageError):
                if not self._run(self._free_blocks(), path):
                    return StorageError(ErrorClass.FULL, f"{self._where(path)}: no space left")
        return error

    def run(self, work: Coroutine[Any, Any, T], path: str) -> T:
        """Let the thread do something, for as long as we are patient."""
        return self._run(work, path)

    def _run(self, work: Coroutine[Any, Any, T], path: str) -> T:
        limited = asyncio.wait_for(work, self._patience.timeout_s)
        try:
            return asyncio.run_coroutine_threadsafe(limited, self._loop).result()
        except (OSError, asyncssh.Error, ValueError) as error:
            kind = _kind(error)
            if kind is ErrorClass.TIMEOUT and self._connection is not None:
                self._loop.call_soon_threadsafe(self._connection.abort)
            told = getattr(error, "reason", "") or str(error) or type(error).__name__
            raise StorageError(kind, f"{self._where(path)}: {told}") from error

    def _where(self, path: str) -> str:
        return f"sftp://{self._address[0]}:{self._address[1]}{self._root / path}"

    async def _sftp(self) -> asyncssh.SFTPClient:
        """Return the client, on a new connection if there is none that lives."""
        async with self._connecting:
            if self._client is None or self._connection is None or self._connection.is_closed():
                host, port = self._address
                connection = await asyncssh.connect(host, port, **self._options)
                try:
                    self._client = await connection.start_sftp_client()
                except BaseException:
                    connection.abort()
                    raise
                self._connection = connection
            return self._client

    async def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            await self._connection.wait_closed()

    async def _stat(self, path: str) -> Stat | None:
        client = await self._sftp()
        try:
            return _regular(await client.lstat(str(self._root / checked_path(path))))
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            return None

    async def _open(self, path: str, mode: str) -> asyncssh.SFTPClientFile:
        client = await self._sftp()
        place = str(self._root / checked_path(path))
        made = asyncssh.SFTPAttrs(permissions=PART_MODE) if mode == "xb" else asyncssh.SFTPAttrs()
        return await client.open(place, mode, made, max_requests=REQUESTS)

    async def _remove(self, path: str) -> None:
        await (await self._sftp()).remove(str(self._root / checked_path(path)))

    async def _rename(self, part: str, path: str) -> None:
        await (await self._sftp()).rename(str(self._root / part), str(self._root / path))

    async def _free_blocks(self) -> int:
        return (await (await self._sftp()).statvfs(str(self._root))).bavail

    async def _list(self, directory: PurePosixPath) -> list[tuple[str, asyncssh.SFTPAttrs]]:
        client = await self._sftp()
        try:
            names = await client.readdir(str(self._root / directory))
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            return []
        found = [(str(name.filename), name.attrs) for name in names]
        return [(name, attributes) for name, attributes in found if name not in {".", ".."}]

    async def _make_directories(self, path: str) -> None:
        client = await self._sftp()
        for directory in reversed(PurePosixPath(checked_path(path)).parents[:-1]):
            place = str(self._root / directory)
            if not await client.isdir(place):
                try:
                    await client.mkdir(place)
                except asyncssh.SFTPError:
                    if not await client.isdir(place):  # nor has another made it
                        raise

    def _refuse_change(self, path: str, before: Stat) -> None:
        if self.stat(path) != before:
            raise StorageError(ErrorClass.CONTENT, f"{self._where(path)}: changed while read")


class _Blocks:
    """Reads a file of a server from a position on."""

    def __init__(
        self, driver: SftpDriver, file: asyncssh.SFTPClientFile, path: str, start: int
    ) -> None:
        self._driver = driver
        self._file = file
        self._path = path
        self._position = start

    def read(self, n: int) -> bytes:
        work = cast("Coroutine[Any, Any, bytes]", self._file.read(n, self._position))
        data = self._driver.run(work, self._path)
        self._position += len(data)
        return data


class SftpPart:
    """A part file in the directory of its final name."""

    def __init__(
        self, driver: SftpDriver, file: asyncssh.SFTPClientFile, part: str, final: str
    ) -> None:
        self._driver = driver
        self._file = file
        self._part = part
        self._final = final
        self._sent = 0
        self._left = True

    def write(self, data: bytes | memoryview, /) -> None:
        """Append all of `data`."""
        try:
            self._driver.run(self._file.write(bytes(data), self._sent), self._part)
        except StorageError as error:
            raise self._driver.full_or(error, self._part) from error
        self._sent += len(data)

    def sync(self) -> None:
        """Write it to the server's disk."""
        self._driver.run(self._file.fsync(), self._part)
        self._driver.run(self._file.close(), self._part)
        found = self._driver.stat(self._part)
        if found is None or found.size != self._sent:
            raise StorageError(
                ErrorClass.NETWORK, f"{self._final}: the server has not all that was sent"
            )

    def publish(self) -> None:
        """Give it its final name."""
        self._driver.publish(self._part, self._final)
        self._left = False

    def abandon(self) -> None:
        """Remove it, unless it was published."""
        if self._left:
            self._left = False
            with suppress(StorageError):
                self._driver.run(self._file.close(), self._part)
            with suppress(StorageError):
                self._driver.unlink(self._part)


def _ssh_options(
    credential: Credential, patience: Patience, known_hosts: str
) -> Mapping[str, object]:
    """Return the options of a connection: nothing from `~/.ssh/config`, and no agent."""
    known = Path(known_hosts or "~/.ssh/known_hosts").expanduser()
    options: dict[str, object] = {
        "config": None,
        "agent_path": None,
        "known_hosts": str(known) if known.exists() else b"",
        "connect_timeout": patience.timeout_s,
        "login_timeout": patience.timeout_s,
    }
    if credential.user:
        options["username"] = credential.user
    if credential.key:
        options["client_keys"] = [str(Path(credential.key).expanduser())]
        options["passphrase"] = credential.passphrase or None
    elif credential.password:
        options["client_keys"] = None
        options["password"] = credential.password
    return options


def _kind(error: Exception) -> ErrorClass:
    if isinstance(error, OSError):
        return kind_of(error)
    return next((kind for of, kind in KINDS.items() if isinstance(error, of)), ErrorClass.NETWORK)


def _regular(attributes: asyncssh.SFTPAttrs) -> Stat | None:
    mode = attributes.permissions or 0
    if attributes.size is None or not kinds.S_ISREG(mode):
        return None
    seconds = attributes.mtime
    return Stat(size=attributes.size, mtime_ns=None if seconds is None else seconds * 10**9)
