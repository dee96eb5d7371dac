"""Requests to the servers of one archive: who we are, when we try again, what is no answer.

Rule 1: user, password and tickets are told to the servers of the settings only, whoever redirects.
Rule 2: a web page, a pickle or half an answer is never taken for an answer.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from email.message import Message
from http.client import HTTPResponse
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from threading import Event
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from euclid_dask.data.archive.settings import ArchiveSettings, read_settings
from euclid_dask.data.credentials import NOBODY, Credential, credential_named, read_credentials
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import StorageError
from euclid_dask.data.storages.exchange import Answer, HttpClient, Upload, origin, plain
from euclid_dask.data.storages.http import proof_of
from euclid_dask.data.storages.patience import Patience

PASSING: Final = frozenset({ErrorClass.BUSY, ErrorClass.NETWORK, ErrorClass.TIMEOUT})
"""Failures after which a request that changes nothing is sent again."""
_HTML: Final = (b"<!doctype html", b"<html")
_PICKLES: Final = tuple(bytes([0x80, version]) for version in range(2, 6))

T = TypeVar("T")
Wait = Callable[[float], object]
"""Waits for so many seconds."""


class Session:
    """Talks with the servers of one archive; may be used by many threads at once.

    Args:
        settings: Where the archive is.
        credentials: Who we are, by name or host.
        wait: How to wait between tries.
        patience: How long to wait for a server.
    """

    def __init__(
        self,
        settings: ArchiveSettings,
        credentials: Mapping[str, Credential],
        wait: Wait | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.settings = settings
        self._stopped = Event()
        self.wait = wait or self._stopped.wait
        self._credentials = credentials
        if settings.credential:
            credential_named(settings.credential, credentials)  # refuses
        servers = (settings.metadata, settings.products, settings.ingest, *settings.files)
        self._servers = frozenset(origin(urlsplit(url)) for url in servers if url)
        self._tickets: dict[tuple[str, str, int | None], dict[str, str]] = {}
        self._client = HttpClient(
            patience or Patience(), self._authorize, settings.ca_file, self._hear
        )

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        passing: frozenset[ErrorClass] = PASSING,
    ) -> Answer:
        """Send a request and return its answer; try again after failures that pass.

        Raises:
            StorageError: when there is no answer that can be one.
        """

        def send() -> Answer:
            return self._admitted(url, lambda: self._client.ask(method, url, headers, body))

        answer = self.patiently(send, passing)
        refuse_odd(answer, url)
        return answer

    @contextmanager
    def opened(
        self, method: str, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[HTTPResponse]:
        """Send a request, once, and give its answer, to be read in the block."""
        with ExitStack() as stack:
            yield self._admitted(
                url, lambda: stack.enter_context(self._client.opened(method, url, headers))
            )

    def upload(self, url: str, size: int | None, headers: Mapping[str, str]) -> Upload:
        """Begin a PUT whose body is written bit by bit."""
        return self._client.upload(url, size, headers)

    def patiently(self, call: Callable[[], T], passing: frozenset[ErrorClass] = PASSING) -> T:
        """Return what `call` returns, which is tried again after failures that pass.

        Raises:
            StorageError: Its last failure, or that the server asks to wait for too long.
        """
        for tried in range(1, self.settings.tries):
            try:
                return call()
            except StorageError as error:
                if error.kind not in passing:
                    raise
                pause_s = max(error.retry_after_s or 0.0, 2.0 ** (tried - 1))
                if pause_s > self.settings.longest_wait_s:
                    raise StorageError(
                        error.kind,
                        f"{error.message}, and asks to come again in {pause_s:.0f} s",
                        pause_s,
                        hint="that is longer than `longest_wait_s` of the archive's settings",
                    ) from error
            self.wait(pause_s)
            self.refuse_if_stopped()
        return call()

    def stop(self) -> None:
        """Have all that is under way in other threads end soon."""
        self._stopped.set()

    def refuse_if_stopped(self) -> None:
        """Raise NETWORK after `stop`; to be called between blocks of long transfers."""
        if self._stopped.is_set():
            raise StorageError(ErrorClass.NETWORK, "stopped on request")

    def close(self) -> None:
        """Close the connections, and forget the tickets."""
        self._client.close()
        self._tickets.clear()

    def _authorize(self, method: str, url: SplitResult, body: bytes) -> Mapping[str, str]:
        if origin(url) not in self._servers:
            return {}
        name = self.settings.credential or url.hostname or ""
        headers = dict(proof_of(self._credentials.get(name, NOBODY))(method, url, body))
        tickets = self._tickets.get(origin(url))
        if tickets and method != "PUT":  # whose long body cannot be sent again when one ran out
            headers["Cookie"] = "; ".join(f"{key}={value}" for key, value in tickets.items())
        return headers

    def _hear(self, url: SplitResult, headers: Message) -> None:
        """Keep the tickets that a server of the archive hands out."""
        if origin(url) not in self._servers:
            return
        for line in headers.get_all("Set-Cookie", []):
            try:
                cookies = SimpleCookie(line)
            except CookieError:
                continue
            new = {name: morsel.coded_value for name, morsel in cookies.items()}
            # a new mapping, as other threads may be reading the old one
            self._tickets[origin(url)] = {**self._tickets.get(origin(url), {}), **new}

    def _admitted(self, url: str, send: Callable[[], T]) -> T:
        """Send, and once more with the password alone if a ticket is not taken any longer."""
        held = self._tickets.get(origin(urlsplit(url)))
        try:
            return send()
        except StorageError as error:
            if error.kind is not ErrorClass.AUTH:
                raise
            if not held:
                raise _not_admitted(error, url) from None
        self._tickets.pop(origin(urlsplit(url)), None)
        try:
            return send()
        except StorageError as error:
            raise _not_admitted(error, url) from None


@contextmanager
def open_session(path: Path) -> Iterator[Session]:
    """Give a session with the archive of a settings file.

    Raises:
        InputError: The settings or the credentials cannot be read, or are wrong.
    """
    settings = read_settings(path)
    known = Path(settings.credentials).expanduser() if settings.credentials else None
    session = Session(settings, read_credentials(known) if known is not None else {})
    try:
        yield session
    finally:
        session.close()


def _not_admitted(error: StorageError, url: str) -> StorageError:
    if error.kind is not ErrorClass.AUTH:
        return error
    return StorageError(
        ErrorClass.AUTH,
        error.message,
        hint=f"is there a line for the machine {urlsplit(url).hostname} in the file of "
        "`credentials`, with the right password?",
    )


def refuse_odd(answer: Answer, url: str) -> None:
    """Refuse what is no answer, though the server says that all is well.

    Raises:
        StorageError: CONTENT when it is a web page, or a pickle.
    """
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    begin = answer.body[:64].lstrip().lower()
    if kind == "text/html" or begin.startswith(_HTML):
        raise StorageError(
            ErrorClass.CONTENT,
            f"{plain(url)}: a web page came in place of an answer",
            hint="open it in a browser: it may be a page to log in, or one that tells of an outage",
        )
    if "pickle" in kind or answer.body.startswith(_PICKLES):
        raise StorageError(
            ErrorClass.CONTENT,
            f"{plain(url)}: the answer is a Python pickle, which is never read: it could run "
            "any program here",
            hint="size and MD5 are asked for by themselves",
        )
