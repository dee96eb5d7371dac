"""Files in one file store (DSS) of the archive, as a storage: bare names, and a verb in a header.

    GET  /name   pragma: DSSGET            the bytes; a range of them if one is asked for
    GET  /name   pragma: SIZE | MD5SUM | LOCATE    a short text
    PUT  /name   pragma: DSSSTORE          the bytes, which nobody sees yet
    POST /name   pragma: DSSSTORED         with MD5SUM, SHA1 and SIZE: now everybody sees them

A name never gets other content: what is there with the same MD5 is fine, anything else is refused.
`STAT` is never sent, as it is answered with a pickle.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

from euclid_dask.core.errors import InputError
from euclid_dask.data.archive.session import Session
from euclid_dask.data.archive.settings import ArchiveSettings, checked
from euclid_dask.data.credentials import Credential
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.names import check_name, shown
from euclid_dask.data.storage import (
    Capabilities,
    Part,
    Reader,
    Stat,
    StorageError,
    checked_path,
    part_of,
)
from euclid_dask.data.storages.exchange import Upload
from euclid_dask.data.storages.http import body_of, range_from
from euclid_dask.data.storages.patience import Patience

_MD5: Final = re.compile(r"[0-9a-f]{32}")
_BUSY: Final = frozenset({ErrorClass.BUSY})
_UNSURE: Final = _BUSY | {
    ErrorClass.NETWORK,
    ErrorClass.TIMEOUT,
    ErrorClass.EXISTS,
    ErrorClass.MISSING,
}
"""Failures of `DSSSTORED` after which only the file itself can tell whether it is there."""


class DssDriver:
    """Reads and stores files in the file store at `root`, a URL. Nothing is ever removed."""

    capabilities = Capabilities(walks=False)

    def __init__(self, root: str, session: Session) -> None:
        self.root = root
        self._session = session

    def url(self, path: str) -> str:
        """Return the URL of a file. A store knows names only: directories of a path are left out.

        Raises:
            StorageError: POLICY when no file can have that name.
        """
        try:
            name = check_name(checked_path(path).rpartition("/")[2])
        except InputError as error:
            raise StorageError(ErrorClass.POLICY, error.message, hint=error.hint) from None
        return f"{self.root}/{quote(name, safe='')}"

    def stat(self, path: str) -> Stat | None:
        """Return the size of a file, None if there is none."""
        told = self._told("SIZE", path)
        if told is None:
            return None
        if not told.isdecimal():
            raise self._odd("SIZE", path, told)
        return Stat(size=int(told))

    def md5(self, path: str) -> str | None:
        """Return the MD5 of a file as the store knows it, None if there is no such file."""
        told = self._told("MD5SUM", path)
        if told is not None and not _MD5.fullmatch(told.lower()):
            raise self._odd("MD5SUM", path, told)
        return told.lower() if told is not None else None

    def locate(self, path: str) -> tuple[str, ...]:
        """Return the stores that have a file, as this one knows them."""
        return tuple((self._told("LOCATE", path) or "").split())

    @contextmanager
    def open_read(self, path: str, start: int = 0) -> Iterator[Reader]:
        """Open a file to be read from byte `start`."""
        url = self.url(path)
        headers = {"pragma": "DSSGET", **range_from(start)}
        with self._session.opened("GET", url, headers) as response:
            yield body_of(response, url, path, start)

    def open_part(self, path: str, part: str, size: int | None = None) -> Part:
        """Begin to store a file; nobody sees it before `publish`."""
        upload = self._session.upload(self.url(path), size, {"pragma": "DSSSTORE"})
        return DssPart(self, path, upload)

    def commit(self, path: str, md5: str, sha1: str, size: int) -> None:
        """Make the store compare what was stored, and show it to everybody.

        Raises:
            StorageError: EXISTS when there is other content by that name.
        """
        self._session.patiently(lambda: self._commit(path, md5, sha1, size), _BUSY)

    def _commit(self, path: str, md5: str, sha1: str, size: int) -> None:
        told = {"pragma": "DSSSTORED", "MD5SUM": md5, "SHA1": sha1, "SIZE": str(size)}
        try:
            self._session.ask("POST", self.url(path), told, passing=frozenset())
        except StorageError as error:
            if error.kind not in _UNSURE:
                raise
            refuse_other(self.root, path, self.md5(path), md5, error)

    def unlink(self, path: str) -> bool:
        """Refuse to remove what people can see; a part is dropped by the store itself."""
        if part_of(path) is not None:
            return False
        raise StorageError(ErrorClass.POLICY, f"{self.root}: nothing is removed from the archive")

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Stat]]:
        """Refuse to list: the archive's metadata is asked instead."""
        raise StorageError(ErrorClass.POLICY, f"{self.root}: a file store lists no files")

    def close(self) -> None:
        """Close the connections of its session."""
        self._session.close()

    def _told(self, verb: str, path: str) -> str | None:
        """Return the short text with which a verb is answered, None if there is no such file."""
        try:
            answer = self._session.ask("GET", self.url(path), {"pragma": verb})
        except StorageError as error:
            if error.kind is ErrorClass.MISSING:
                return None
            raise
        return answer.body[:4096].decode(errors="replace").strip()

    def _odd(self, verb: str, path: str, told: str) -> StorageError:
        return StorageError(
            ErrorClass.CONTENT, f"{self.root}: asked for {verb} of {path}, it answers {shown(told)}"
        )


class DssPart:
    """A file that a store takes: its bytes, then their checksums."""

    def __init__(self, driver: DssDriver, path: str, upload: Upload) -> None:
        self._driver = driver
        self._path = path
        self._upload = upload
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha1 = hashlib.sha1(usedforsecurity=False)

    def write(self, data: bytes | memoryview, /) -> None:
        """Append all of `data`."""
        self._upload.write(data)
        self._md5.update(data)
        self._sha1.update(data)

    def sync(self) -> None:
        """Wait until the store says that it has all bytes."""
        self._upload.finish()

    def publish(self) -> None:
        """Have the store compare the checksums, and give the file its name."""
        digests = self._md5.hexdigest(), self._sha1.hexdigest()
        self._driver.commit(self._path, *digests, self._upload.sent)

    def abandon(self) -> None:
        """Cut the line: a file that is not complete is dropped by the store."""
        self._upload.close()


def open_store(root: str, credential: Credential, patience: Patience, ca_file: str) -> DssDriver:
    """Return the driver of one file store, as a storage of its own: the mover tries again, not we.

    Raises:
        InputError: A password would go over the line in clear.
    """
    settings = ArchiveSettings(
        metadata=root, files=(root,), credential="store", ca_file=ca_file, tries=1
    )
    session = Session(checked(settings), {"store": credential}, patience=patience)
    return DssDriver(root, session)


def refuse_other(
    where: str, name: str, found: str | None, md5: str, why: StorageError | None = None
) -> None:
    """Refuse to go on when a store has other content by a name, or none.

    Raises:
        StorageError: EXISTS if it has other content; `why` if it has none.
    """
    if found is None and why is not None:
        raise why
    if found is not None and found != md5:
        raise StorageError(
            ErrorClass.EXISTS,
            f"{where} has another file by the name {name}: its MD5 is {found}, and not {md5}",
            hint="a name never gets other content: give the new file a new name",
        ) from None
