"""HTTP requests that end in an answer or a StorageError: what http, webdav and s3 stand on.

The standard library's client is used since it hides nothing: no decoding of content, no tries of
its own, no limit on the whole, and a server's certificate is always checked.
"""

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from euclid_dask.core.values import Value
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import BLOCK_BYTES, StorageError
from euclid_dask.data.storages.failures import failure
from euclid_dask.data.storages.patience import Pace, Patience

REDIRECTS: Final = 5
ANSWER_BYTES: Final = 64 << 20
"""More than any listing is: a server that sends more in an answer is not believed."""
READING: Final = frozenset({"GET", "HEAD", "PROPFIND"})
"""Methods that change nothing: they follow redirects, and are sent again on a new connection
when the server has closed an old one."""
KINDS: Final[Mapping[int, ErrorClass]] = {
    401: ErrorClass.AUTH,
    403: ErrorClass.AUTH,
    404: ErrorClass.MISSING,
    407: ErrorClass.AUTH,
    408: ErrorClass.TIMEOUT,
    409: ErrorClass.BUSY,
    410: ErrorClass.MISSING,
    412: ErrorClass.EXISTS,
    423: ErrorClass.BUSY,
    425: ErrorClass.BUSY,
    429: ErrorClass.BUSY,
    501: ErrorClass.POLICY,
    503: ErrorClass.BUSY,
    505: ErrorClass.POLICY,
    507: ErrorClass.FULL,
}
"""Other 5xx are the server's trouble, NETWORK; other answers are POLICY."""

Authorize = Callable[[str, SplitResult, bytes], Mapping[str, str]]
"""Returns the headers that prove who sends (method, URL, body)."""

Hear = Callable[[SplitResult, Message], None]
"""Called with the URL and the headers of each answer, also of those that lead elsewhere."""


class Answer(Value, frozen=True, kw_only=True):
    """A small answer, read as a whole."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


class HttpClient:
    """Sends requests, on connections that are kept for the next one.

    Args:
        patience: How long to wait.
        authorize: Makes the headers that prove who sends; told to the first host only.
        ca_file: Certificates to trust besides the system's, or "".
        hear: Called with the headers of each answer, as to keep the tickets in them.
    """

    def __init__(
        self,
        patience: Patience,
        authorize: Authorize,
        ca_file: str = "",
        hear: Hear = lambda _url, _headers: None,
    ) -> None:
        self._patience = patience
        self._authorize = authorize
        self._ca_file = ca_file
        self._hear = hear
        self._idle: list[_Connection] = []

    def ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request and return its answer.

        Raises:
            StorageError: when there is none, or its status is not 2xx.
        """
        with self.opened(method, url, headers, body) as response:
            with line_failures(url):
                content = response.read(ANSWER_BYTES)
                rest = response.read(1)
            if rest:
                raise StorageError(ErrorClass.CONTENT, f"{plain(url)}: an endless answer")
            if response.length:  # `read` of a number of bytes does not tell
                raise StorageError(
                    ErrorClass.NETWORK, f"{plain(url)}: {response.length} bytes of the answer miss"
                )
            return Answer(status=response.status, headers=lower(response.headers), body=content)

    @contextmanager
    def opened(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request and give its answer, to be read in the block.

        Raises:
            StorageError: when there is none, or its status is not 2xx.
        """
        with line_failures(url):
            connection, response = self._followed(method, url, dict(headers or {}), body)
        try:
            raise_for_status(response, url)
            yield response
        finally:
            whole = response.isclosed() or response.length == 0
            response.close()
            if whole and connection.sock is not None:
                self._idle.append(connection)
            else:
                connection.close()

    def upload(
        self, url: str, size: int | None, headers: Mapping[str, str] | None = None
    ) -> "Upload":
        """Begin a PUT whose body is written bit by bit."""
        split = urlsplit(url)
        with line_failures(url):
            connection = self._connect(split)
            connection.putrequest("PUT", target(split), skip_accept_encoding=True)
            length = ("Transfer-Encoding", "chunked") if size is None else ("Content-Length", size)
            proof = self._authorize("PUT", split, b"")
            for name, value in (*(headers or {}).items(), *proof.items(), length):
                connection.putheader(name, str(value))
            connection.endheaders()
        return Upload(connection, url, size)

    def close(self) -> None:
        """Close the connections that wait for a next request."""
        while self._idle:
            self._idle.pop().close()

    def _followed(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> "tuple[_Connection, http.client.HTTPResponse]":
        first = here = urlsplit(url)
        for _ in range(REDIRECTS + 1):
            proof = self._authorize(method, here, body) if origin(here) == origin(first) else {}
            connection, response = self._sent(method, here, {**headers, **proof}, body)
            self._hear(here, response.headers)
            there = response.headers.get("Location", "")
            if response.status not in {301, 302, 303, 307, 308} or not there:
                return connection, response
            response.close()
            connection.close()
            here = _next(method, here, there, first)
        raise StorageError(ErrorClass.POLICY, f"{plain(url)}: redirected without end")

    def _sent(
        self, method: str, url: SplitResult, headers: Mapping[str, str], body: bytes
    ) -> "tuple[_Connection, http.client.HTTPResponse]":
        kept = self._kept(url) if method in READING else None
        if kept is not None:
            with suppress(OSError, http.client.HTTPException):  # it may have been closed meanwhile
                return kept, _exchange(kept, method, url, headers, body)
            kept.close()
        connection = self._connect(url)
        try:
            return connection, _exchange(connection, method, url, headers, body)
        except BaseException:
            connection.close()
            raise

    def _kept(self, url: SplitResult) -> "_Connection | None":
        for connection in list(self._idle):
            if connection.origin == origin(url):
                with suppress(ValueError):  # another thread has taken it
                    self._idle.remove(connection)
                    return connection
        return None

    def _connect(self, url: SplitResult) -> "_Connection":
        connection = _Connection(url, self._patience)
        tls = ssl.create_default_context() if url.scheme == "https" else None
        if tls is not None and self._ca_file:
            tls.load_verify_locations(self._ca_file)
        connection.open(tls)
        return connection


class Upload:
    """The body of a PUT on its way."""

    def __init__(self, connection: "_Connection", url: str, size: int | None) -> None:
        self._connection = connection
        self._url = url
        self._size = size
        self.sent = 0

    def begin(self, headers: Mapping[str, str]) -> None:
        """Send what comes before the body."""
        length = {"Transfer-Encoding": "chunked"}
        if self._size is not None:
            length = {"Content-Length": str(self._size)}
        with line_failures(self._url):
            self._connection.putrequest("PUT", target(urlsplit(self._url)))
            for name, value in {**headers, **length}.items():
                self._connection.putheader(name, value)
            self._connection.endheaders()

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`."""
        if not data:
            return
        self.sent += len(data)
        try:
            with line_failures(self._url):
                if self._size is None:
                    self._connection.send(b"%x\r\n%b\r\n" % (len(data), bytes(data)))
                else:
                    self._connection.send(data)
        except StorageError as error:
            if error.kind is ErrorClass.NETWORK:
                self._raise_early_answer()
            raise

    def finish(self) -> None:
        """End the body.

        Raises:
            StorageError: when the server does not say that it has it all.
        """
        if self._size is not None and self.sent != self._size:
            raise StorageError(
                ErrorClass.CONTENT,
                f"{plain(self._url)}: {self.sent} bytes were written of {self._size}",
            )
        with line_failures(self._url):
            if self._size is None:
                self._connection.send(b"0\r\n\r\n")
            with self._connection.getresponse() as response:
                raise_for_status(response, self._url)
        self.close()

    def close(self) -> None:
        """Cut the line, whatever is on it."""
        self._connection.close()

    def _raise_early_answer(self) -> None:
        """Raise what the server said before it closed the line, as "no space", if it did."""
        with (
            suppress(OSError, http.client.HTTPException),
            self._connection.getresponse() as response,
        ):
            raise_for_status(response, self._url)


class _Connection(http.client.HTTPConnection):
    """A connection whose answers must come at a pace."""

    def __init__(self, url: SplitResult, patience: Patience) -> None:
        port = url.port or (443 if url.scheme == "https" else 80)
        super().__init__(url.hostname or "", port, timeout=patience.timeout_s)
        self.origin = origin(url)
        self._patience = patience
        self.response_class = self._response  # type: ignore[assignment]

    def open(self, tls: ssl.SSLContext | None) -> None:
        self.connect()
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=self.host)

    def _response(self, sock: socket.socket, *args: Any, **kwargs: Any) -> Any:
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        raw = _Paced(response.fp.detach(), Pace(self._patience, self.host))
        response.fp = io.BufferedReader(raw, BLOCK_BYTES)
        return response


class _Paced(io.RawIOBase):
    """A stream that must not be too slow."""

    def __init__(self, raw: io.RawIOBase, pace: Pace) -> None:
        self._raw = raw
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self._pace.waiting(lambda: self._raw.readinto(buffer), lambda came: came or 0)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _exchange(
    connection: _Connection, method: str, url: SplitResult, headers: Mapping[str, str], body: bytes
) -> http.client.HTTPResponse:
    plainly = {"Accept-Encoding": "identity", **headers}
    connection.request(method, target(url), body or None, plainly)
    return connection.getresponse()


def _next(method: str, here: SplitResult, there: str, first: SplitResult) -> SplitResult:
    """Return where a redirect leads, if we go there."""
    url = urlsplit(urljoin(here.geturl(), there))
    if url.path == f"{here.path}/":
        raise StorageError(ErrorClass.MISSING, f"{plain(here.geturl())}: a directory, not a file")
    if method not in READING:
        raise StorageError(ErrorClass.POLICY, f"{plain(first.geturl())}: {method} was redirected")
    if url.scheme not in {"http", "https"} or (here.scheme, url.scheme) == ("https", "http"):
        raise StorageError(
            ErrorClass.POLICY, f"{plain(first.geturl())}: redirected from https to {url.scheme}"
        )
    return url


def raise_for_status(response: http.client.HTTPResponse, url: str) -> None:
    """Raise what a status that is not 2xx means."""
    status = response.status
    if 200 <= status < 300:
        return
    kind = KINDS.get(status, ErrorClass.NETWORK if status >= 500 else ErrorClass.POLICY)
    raise StorageError(
        kind,
        f"{plain(url)}: the server answers {status} {response.reason}",
        retry_after_s(response.headers),
    )


def retry_after_s(headers: Message) -> float | None:
    """Return how many seconds a server asks to wait: a number, or a date seen from its own."""
    asked = headers.get("Retry-After", "")
    if asked.strip().isdecimal():
        return float(asked)
    with suppress(ValueError, TypeError):
        seconds = parsedate_to_datetime(asked) - parsedate_to_datetime(headers["Date"])
        return max(0.0, seconds.total_seconds())
    return None


@contextmanager
def line_failures(url: str) -> Iterator[None]:
    """Raise what goes wrong on a line as StorageError."""
    try:
        yield
    except http.client.HTTPException as error:
        told = str(error) or type(error).__name__
        raise StorageError(ErrorClass.NETWORK, f"{plain(url)}: {told}") from error
    except OSError as error:
        raise failure(error, plain(url)) from error


def origin(url: SplitResult) -> tuple[str, str, int | None]:
    """Return what of a URL says whom we talk to."""
    return url.scheme, url.hostname or "", url.port


def target(url: SplitResult) -> str:
    """Return what of a URL is sent to its server."""
    return f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"


def plain(url: str) -> str:
    """Return a URL for messages: a query may hold a secret."""
    return url.partition("?")[0]


def lower(headers: Message) -> Mapping[str, str]:
    """Return headers by lower-case name."""
    return {name.lower(): value for name, value in headers.items()}
