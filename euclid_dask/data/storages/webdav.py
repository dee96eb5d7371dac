"""Files of a WebDAV server: `dav://` is over http, `davs://` over https. Source: RFC 4918."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import (
    Capabilities,
    Reader,
    Stat,
    StorageError,
    checked_path,
    part_path,
)
from euclid_dask.data.storages.answers import tree_of
from euclid_dask.data.storages.exchange import HttpClient
from euclid_dask.data.storages.http import HttpDriver, modified_ns

ASKED: Final = (
    b'<?xml version="1.0"?><d:propfind xmlns:d="DAV:"><d:prop>'
    b"<d:resourcetype/><d:getcontentlength/><d:getlastmodified/></d:prop></d:propfind>"
)
DAV: Final = "{DAV:}"


class WebdavDriver:
    """Reads and writes below `root`, an http URL.

    A server may look whether a name is taken before it moves, and not at once: so one writes.
    """

    capabilities = Capabilities(refuses_existing=False, syncs=False)

    def __init__(self, root: str, client: HttpClient) -> None:
        self._root = root.rstrip("/")
        self._client = client
        self._http = HttpDriver(root, client)
        self._known: set[str] = set()

    def stat(self, path: str) -> Stat | None:
        """Return size and time of a file, or None when the server has none."""
        return dict(self._found(self._http.url(path), "0")).get(_url_path(self._http.url(path)))

    def open_read(self, path: str, start: int = 0) -> AbstractContextManager[Reader]:
        """Open a file to be read from byte `start`."""
        return self._http.open_read(path, start)

    def open_part(self, path: str, part: str, size: int | None = None) -> "WebdavPart":
        """Begin to send a new part file for `path`."""
        name = part_path(path, part)
        if self.stat(name) is not None:
            raise StorageError(ErrorClass.EXISTS, f"{self._root}/{name}: is there already")
        self._make_directories(path)
        return WebdavPart(self, self._client, name, path, size)

    def url(self, path: str) -> str:
        """Return the URL of a file."""
        return self._http.url(path)

    def unlink(self, path: str) -> bool:
        """Remove a file, and never a collection; return whether it was there."""
        if self.stat(path) is None:
            return False
        try:
            self._client.ask("DELETE", self._http.url(path))
        except StorageError as error:
            if error.kind is ErrorClass.MISSING:
                return False
            raise
        return True

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Stat]]:
        """Yield all files below a directory."""
        above = len(_url_path(self._root)) + 1
        waiting = [f"{self._http.url(prefix)}/" if prefix else f"{self._root}/"]
        while waiting:
            here = waiting.pop()
            for place, found in self._found(here, "1"):
                if found is not None:
                    yield place[above:], found
                elif place.rstrip("/") != _url_path(here):
                    waiting.append(f"{self._http.url(place[above:].rstrip('/'))}/")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _found(self, url: str, depth: str) -> Iterator[tuple[str, Stat | None]]:
        """Yield what is at a URL: path on the server, and Stat of a file, None of a collection."""
        headers = {"Depth": depth, "Content-Type": "application/xml"}
        try:
            answer = self._client.ask("PROPFIND", url, headers, ASKED)
        except StorageError as error:
            if error.kind is ErrorClass.MISSING:
                return
            raise
        for element in tree_of(answer, url).iter(f"{DAV}response"):
            path = unquote(urlsplit(element.findtext(f"{DAV}href", "").strip()).path)
            yield path, _stat(element, url)

    def _make_directories(self, path: str) -> None:
        for directory in reversed(PurePosixPath(checked_path(path)).parents[:-1]):
            if str(directory) not in self._known:
                self._make_directory(f"{self._http.url(str(directory))}/")
                self._known.add(str(directory))

    def _make_directory(self, url: str) -> None:
        if not any(True for _ in self._found(url, "0")):
            try:
                self._client.ask("MKCOL", url)
            except StorageError:
                if not any(True for _ in self._found(url, "0")):  # nor has another made it
                    raise

    def forget_directories(self) -> None:
        """Look again which directories are there, since something was not as thought."""
        self._known.clear()


class WebdavPart:
    """A part file that is sent by PUT and named by MOVE."""

    def __init__(
        self, driver: WebdavDriver, client: HttpClient, part: str, final: str, size: int | None
    ) -> None:
        self._driver = driver
        self._client = client
        self._part = part
        self._final = driver.url(final)
        self._upload = client.upload(driver.url(part), size)
        self._published = False

    def write(self, data: bytes | memoryview, /) -> None:
        """Append all of `data`."""
        self._upload.write(data)

    def sync(self) -> None:
        """End sending it, and look whether the server has as much as was sent."""
        try:
            self._upload.finish()
        except StorageError:
            self._driver.forget_directories()
            raise
        found = self._driver.stat(self._part)
        if found is None or found.size != self._upload.sent:
            raise StorageError(
                ErrorClass.NETWORK, f"{self._final}: the server has not all that was sent"
            )

    def publish(self) -> None:
        """Give it its final name."""
        headers = {"Destination": self._final, "Overwrite": "F"}
        self._client.ask("MOVE", self._driver.url(self._part), headers)
        self._published = True

    def abandon(self) -> None:
        """Remove it, unless it was published."""
        self._upload.close()
        if not self._published:
            self._published = True
            with suppress(StorageError):
                self._driver.unlink(self._part)


def _stat(element: ET.Element, url: str) -> Stat | None:
    if element.find(f".//{DAV}collection") is not None:
        return None
    size = element.findtext(f".//{DAV}getcontentlength", "")
    if not size.isdecimal():
        raise StorageError(ErrorClass.CONTENT, f"{url}: the server tells no size")
    modified = element.findtext(f".//{DAV}getlastmodified", "")
    return Stat(size=int(size), mtime_ns=modified_ns({"Last-Modified": modified}))


def _url_path(url: str) -> str:
    return unquote(urlsplit(url).path).rstrip("/")
