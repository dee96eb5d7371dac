"""Files that a web server shows, to be read only: `http://` and `https://`."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPResponse
from urllib.parse import quote

from euclid_dask.data.credentials import Credential
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import (
    BLOCK_BYTES,
    Capabilities,
    Part,
    Reader,
    Stat,
    StorageError,
    checked_path,
)
from euclid_dask.data.storages.exchange import Authorize, HttpClient, line_failures, plain
from euclid_dask.data.storages.reading import SizedReader


class HttpDriver:
    """Reads files below `root`, a URL."""

    capabilities = Capabilities(writes=False, walks=False)

    def __init__(self, root: str, client: HttpClient) -> None:
        self._root = root.rstrip("/")
        self._client = client

    def url(self, path: str) -> str:
        """Return the URL of a file."""
        return f"{self._root}/{quote(checked_path(path), safe='/')}"

    def stat(self, path: str) -> Stat | None:
        """Return size and time of a file, or None when the server has none."""
        url = self.url(path)
        try:
            with self._client.opened("HEAD", url) as response:
                headers = response.headers
        except StorageError as error:
            if error.kind is ErrorClass.MISSING:
                return None
            raise
        refuse_other_content(headers, path, url)
        length = headers.get("Content-Length", "")
        if not length.isdecimal():
            raise StorageError(ErrorClass.POLICY, f"{url}: the server tells no size")
        return Stat(size=int(length), mtime_ns=modified_ns(headers))

    @contextmanager
    def open_read(self, path: str, start: int = 0) -> Iterator[Reader]:
        """Open a file to be read from byte `start`."""
        with reading(self._client, self.url(path), path, start) as reader:
            yield reader

    def open_part(self, path: str, part: str, size: int | None = None) -> Part:
        """Refuse to write."""
        raise self._readonly()

    def unlink(self, path: str) -> bool:
        """Refuse to remove."""
        raise self._readonly()

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Stat]]:
        """Refuse to list: pages for people are no lists of files."""
        raise StorageError(ErrorClass.POLICY, f"{self._root}: http lists no files")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _readonly(self) -> StorageError:
        return StorageError(ErrorClass.POLICY, f"{self._root}: http reads only")


@contextmanager
def reading(client: HttpClient, url: str, path: str, start: int) -> Iterator[Reader]:
    """Give a reader of what a URL has, from byte `start`."""
    with client.opened("GET", url, range_from(start)) as response:
        yield body_of(response, url, path, start)


def range_from(start: int) -> Mapping[str, str]:
    """Return the header that asks for a file from byte `start`.

    One byte more is asked for, since servers refuse a part of no bytes.
    """
    return {"Range": f"bytes={start - 1}-"} if start else {}


def body_of(response: HTTPResponse, url: str, path: str, start: int) -> SizedReader:
    """Return a reader of what an answer to `range_from` brings, from byte `start` of the file."""
    refuse_other_content(response.headers, path, url)
    size = whole_size(response, start - 1, url)
    read = partial(_read, response, url)
    left = 1 if response.status == 206 else start  # a server may send all of it
    while left and (skipped := read(min(left, BLOCK_BYTES))):
        left -= len(skipped)
    return SizedReader(read, size, start - left, plain(url))


def _read(response: HTTPResponse, url: str, n: int) -> bytes:
    with line_failures(url):
        return response.read1(n)


def whole_size(response: HTTPResponse, start: int, url: str) -> int | None:
    """Return the bytes of the whole file of which an answer brings a part, if it tells.

    Raises:
        StorageError: CONTENT when it brings another part than was asked for.
    """
    if response.status != 206:
        return response.length
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    sent, _, size = rest.partition("/")
    if unit != "bytes" or not sent.startswith(f"{start}-"):
        raise StorageError(ErrorClass.CONTENT, f"{plain(url)}: another part came than asked for")
    return int(size) if size.isdecimal() else None


def refuse_other_content(headers: Message, path: str, url: str) -> None:
    """Refuse what is sent in place of the file: a page to log in, or it in other bytes."""
    kind = headers.get_content_type() if "Content-Type" in headers else ""
    if kind == "text/html" and not path.endswith((".html", ".htm")):
        raise StorageError(
            ErrorClass.CONTENT,
            f"{url}: a web page came in place of the file",
            hint="open it in a browser: does it ask to log in?",
        )
    coding = headers.get("Content-Encoding", "identity").lower()
    if coding != "identity" and not (coding in {"gzip", "x-gzip"} and path.endswith(".gz")):
        raise StorageError(
            ErrorClass.CONTENT, f"{url}: it came as {coding}, though it was asked for as it is"
        )


def modified_ns(headers: Message | Mapping[str, str]) -> int | None:
    """Return the time that Last-Modified tells, in ns since the epoch."""
    with suppress(ValueError, TypeError):
        told = parsedate_to_datetime(headers.get("Last-Modified") or "")
        return int(told.timestamp()) * 1_000_000_000
    return None


def proof_of(credential: Credential) -> Authorize:
    """Return what makes the header of a credential."""
    headers: Mapping[str, str] = {}
    if credential.token:
        headers = {"Authorization": f"Bearer {credential.token}"}
    elif credential.user:
        pair = f"{credential.user}:{credential.password}".encode()
        headers = {"Authorization": f"Basic {b64encode(pair).decode()}"}
    return lambda _method, _url, _body: headers
