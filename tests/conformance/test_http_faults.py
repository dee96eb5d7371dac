"""Web servers that answer badly: each answer ends in the file, or in an error that tells why."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from certificates import certificate
from file_servers import CLOCK, USER

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import Access, ErrorClass
from euclid_dask.data.storage import StorageDriver, StorageError
from euclid_dask.data.storages.opening import open_driver

CONTENT = bytes(range(256)) * 1000
PATH = "x.fits"


@dataclass
class Spoilt:
    """A web server whose answers are made by a function."""

    answer: Callable[["Handler"], None] = lambda _: None
    asked: list["Handler"] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"

    def driver(self, **options: str) -> StorageDriver:
        access = Access(
            storage="s",
            zone="z",
            root=f"{self.scheme}://localhost:{self.port}",
            credential="c",
            options={"timeout_s": "60", **options},
        )
        return open_driver(access, {"c": USER}, CLOCK)

    def read(self, start: int = 0, path: str = PATH, **options: str) -> bytes:
        with closing(self.driver(**options)) as driver, driver.open_read(path, start) as reader:
            return b"".join(iter(lambda: reader.read(1 << 16), b""))

    def kind(self, start: int = 0, path: str = PATH, **options: str) -> ErrorClass:
        return self.error(start, path, **options).kind

    def error(self, start: int = 0, path: str = PATH, **options: str) -> StorageError:
        with pytest.raises(StorageError) as error:
            self.read(start, path, **options)
        assert USER.password not in str(error.value)
        return error.value


class Handler(BaseHTTPRequestHandler):
    """Answers by the function of its server."""

    protocol_version = "HTTP/1.1"
    spoilt: Spoilt

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        self.spoilt.asked.append(self)
        self.close_connection = True
        with suppress(OSError):
            self.spoilt.answer(self)

    def send(self, status: int = 200, body: bytes = CONTENT, **headers: object) -> None:
        headers = {"Content_Length": len(body), **headers}
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Spoilt]:
    spoilt = Spoilt()
    methods = {f"do_{name}": Handler.do_GET for name in ("HEAD", "PUT", "PROPFIND", "MKCOL")}
    handler = type("OwnHandler", (Handler,), {"spoilt": spoilt, **methods})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        spoilt.scheme = "https"
    spoilt.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield spoilt
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def web() -> Iterator[Spoilt]:
    with serving() as spoilt:
        yield spoilt


def test_a_whole_answer_is_read(web):
    web.answer = Handler.send
    assert web.read() == CONTENT
    assert web.asked[0].headers["Accept-Encoding"] == "identity"


def test_a_short_body_is_told(web):
    web.answer = lambda asked: asked.send(body=CONTENT[:-100], Content_Length=len(CONTENT))
    assert web.kind() is ErrorClass.NETWORK


def test_no_more_than_was_promised_is_read(web):
    web.answer = lambda asked: asked.send(body=CONTENT + b"more", Content_Length=len(CONTENT))
    assert web.read() == CONTENT


def test_a_body_without_a_length_is_read_to_its_end(web):
    web.answer = lambda asked: asked.send(Content_Length=None, Connection="close")
    assert web.read() == CONTENT
    with closing(web.driver()) as driver, driver.open_read(PATH) as reader:
        assert reader.size is None


def chunked(asked: Handler, *ends: bytes) -> None:
    asked.send(body=b"", Content_Length=None, Transfer_Encoding="chunked")
    for part in (b"%x\r\n%b\r\n" % (len(CONTENT), CONTENT), *ends):
        asked.wfile.write(part)


def test_a_body_in_chunks_is_read(web):
    web.answer = lambda asked: chunked(asked, b"3\r\nend\r\n", b"0\r\n\r\n")
    assert web.read() == CONTENT + b"end"


@pytest.mark.parametrize("end", [b"", b"ffff\r\nabc", b"what?\r\n"])
def test_chunks_that_do_not_end_are_told(web, end):
    web.answer = lambda asked: chunked(asked, end)
    assert web.kind() is ErrorClass.NETWORK


def test_a_web_page_is_no_file(web):
    page = b"<html>please log in</html>"
    web.answer = lambda asked: asked.send(body=page, Content_Type="text/html; charset=utf-8")
    assert web.kind() is ErrorClass.CONTENT
    assert web.read(path="page.html") == page
    with closing(web.driver()) as driver, pytest.raises(StorageError):
        driver.stat(PATH)


def test_a_file_is_not_unpacked(web):
    web.answer = lambda asked: asked.send(Content_Encoding="gzip")
    assert web.kind() is ErrorClass.CONTENT
    assert web.read(path="x.fits.gz") == CONTENT  # it is packed as it lies there


def test_a_server_that_sends_all_instead_of_the_rest_is_read_on(web):
    web.answer = Handler.send
    assert web.read(start=1000) == CONTENT[1000:]


@pytest.mark.parametrize("told", ["bytes 0-9/256000", "bytes */256000", "lines 999-9/20", None])
def test_another_part_than_was_asked_for_is_refused(web, told):
    web.answer = lambda asked: asked.send(206, CONTENT[:10], Content_Range=told)
    assert web.kind(start=1000) is ErrorClass.CONTENT


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ErrorClass.POLICY),
        (401, ErrorClass.AUTH),
        (403, ErrorClass.AUTH),
        (404, ErrorClass.MISSING),
        (407, ErrorClass.AUTH),
        (410, ErrorClass.MISSING),
        (416, ErrorClass.POLICY),
        (429, ErrorClass.BUSY),
        (500, ErrorClass.NETWORK),
        (502, ErrorClass.NETWORK),
        (503, ErrorClass.BUSY),
        (507, ErrorClass.FULL),
    ],
)
def test_a_status_tells_the_kind(web, status, kind):
    web.answer = lambda asked: asked.send(status, b"no")
    assert web.kind() is kind


def test_a_server_says_when_to_come_again(web):
    web.answer = lambda asked: asked.send(503, b"", Retry_After="7")
    assert web.error().retry_after_s == 7

    def dated(asked: Handler) -> None:
        now = datetime.now(UTC)
        asked.send(429, b"", Retry_After=asked.date_time_string(int(now.timestamp()) + 900))

    web.answer = dated
    assert web.error().retry_after_s == pytest.approx(900, abs=60)
    web.answer = lambda asked: asked.send(503, b"", Retry_After="soon")
    assert web.error().retry_after_s is None


def test_a_server_that_forgets_us_halfway_is_told(web):
    def answer(asked: Handler) -> None:
        if "Range" in asked.headers:
            asked.send(401, b"")
        else:
            asked.send(body=CONTENT[:50_000], Content_Length=len(CONTENT))

    web.answer = answer
    assert web.kind() is ErrorClass.NETWORK
    assert web.kind(start=50_000) is ErrorClass.AUTH


def test_credentials_do_not_go_along_to_another_host(web):
    with serving() as other:
        other.answer = Handler.send
        there = f"http://127.0.0.1:{other.port}/there?ticket=secret"
        web.answer = lambda asked: asked.send(302, b"", Location=there)
        assert web.read() == CONTENT
        assert "Authorization" in web.asked[0].headers
        assert "Authorization" not in other.asked[0].headers
        other.answer = lambda asked: asked.send(404, b"")
        assert "secret" not in str(web.error())


def test_credentials_go_along_on_the_same_host(web):
    def answer(asked: Handler) -> None:
        if asked.path == "/there":
            asked.send()
        else:
            asked.send(302, b"", Location="/there")

    web.answer = answer
    assert web.read() == CONTENT
    assert "Authorization" in web.asked[1].headers


@pytest.mark.parametrize("there", ["/x.fits", "ftp://localhost/x", "file:///etc/passwd"])
def test_redirects_that_lead_nowhere_are_refused(web, there):
    web.answer = lambda asked: asked.send(302, b"", Location=there)
    assert web.kind() is ErrorClass.POLICY


def test_silence_is_given_up(web):
    web.answer = lambda _: threading.Event().wait(60)
    assert web.kind(timeout_s="0.3") is ErrorClass.TIMEOUT


@pytest.mark.parametrize("where", ["headers", "body"])
def test_one_byte_at_a_time_is_given_up(web, where):
    def answer(asked: Handler) -> None:
        if where == "body":
            asked.send(body=b"", Content_Length=len(CONTENT))
        for _ in range(3000):
            asked.wfile.write(b"H")
            threading.Event().wait(0.02)

    web.answer = answer
    assert web.kind(timeout_s="0.3") is ErrorClass.TIMEOUT


@pytest.mark.parametrize("line", [b"SSH-2.0-x\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n", b"", b"x" * 99_999])
def test_what_is_no_http_is_told(web, line):
    web.answer = lambda asked: asked.wfile.write(line)
    assert web.kind() is ErrorClass.NETWORK


def test_headers_without_end_are_told(web):
    web.answer = lambda asked: asked.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 9999)
    assert web.kind() is ErrorClass.NETWORK


def test_a_host_without_an_address_is_tried_again():
    access = Access(storage="s", zone="z", root="http://no-such-host.invalid/data")
    with closing(open_driver(access, {}, CLOCK)) as driver, pytest.raises(StorageError) as error:
        driver.stat(PATH)
    assert error.value.kind is ErrorClass.NETWORK


def test_a_name_server_that_is_away_for_a_moment_costs_one_try(web, monkeypatch):
    web.answer = Handler.send
    asked = socket.getaddrinfo
    failures = [socket.EAI_AGAIN]

    def flapping(*words: object, **more: object) -> object:
        if failures:
            raise socket.gaierror(failures.pop(), "Temporary failure in name resolution")
        return asked(*words, **more)

    monkeypatch.setattr(socket, "getaddrinfo", flapping)
    with closing(web.driver()) as driver:
        with pytest.raises(StorageError) as error:
            driver.stat(PATH)
        assert error.value.kind is ErrorClass.NETWORK
        with driver.open_read(PATH) as reader:
            assert b"".join(iter(lambda: reader.read(1 << 16), b"")) == CONTENT


def test_a_full_server_says_so_while_it_is_written(web):
    web.scheme = "dav"

    def answer(asked: Handler) -> None:
        asked.send(507 if asked.command == "PUT" else 404 if "D" in asked.command else 201, b"")

    web.answer = answer

    def write() -> None:
        part = driver.open_part(PATH, "1-1", len(CONTENT) * 40)
        try:
            for _ in range(40):
                part.write(CONTENT)
            part.sync()
        finally:
            part.abandon()

    with closing(web.driver()) as driver, pytest.raises(StorageError) as error:
        write()
    assert error.value.kind in {ErrorClass.FULL, ErrorClass.NETWORK}


@pytest.mark.parametrize(
    "listing",
    [
        b"<html>",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><d:multistatus xmlns:d="DAV:">&a;</d:multistatus>',
        b'<multistatus xmlns="DAV:"><response><href>/x</href></response></multistatus>',
    ],
)
def test_a_listing_that_is_not_understood_is_refused(web, listing):
    web.scheme = "dav"
    web.answer = lambda asked: asked.send(207, listing)
    with closing(web.driver()) as driver, pytest.raises(StorageError) as error:
        list(driver.walk())
    assert error.value.kind is ErrorClass.CONTENT


@pytest.mark.parametrize(
    ("host", "days", "trusted"),
    [("localhost", 1, False), ("localhost", -1, True), ("elsewhere.example", 1, True)],
    ids=["unknown authority", "expired", "wrong name"],
)
def test_a_server_that_does_not_prove_who_it_is_is_refused(tmp_path, host, days, trusted):
    with serving(certificate(tmp_path, host, days)) as web:
        web.answer = Handler.send
        options = {"ca_file": str(tmp_path / "ca.pem")} if trusted else {}
        assert web.kind(**options) is ErrorClass.AUTH
        assert web.asked == []


def test_a_server_that_proves_who_it_is_is_read_and_leads_to_no_other_without_tls(tmp_path):
    with serving(certificate(tmp_path, "localhost")) as web:
        web.answer = Handler.send
        ca_file = str(tmp_path / "ca.pem")
        assert web.read(ca_file=ca_file) == CONTENT
        web.answer = lambda asked: asked.send(302, b"", Location="http://localhost:1/x")
        assert web.kind(ca_file=ca_file) is ErrorClass.POLICY


@pytest.mark.parametrize(
    "root",
    [
        "http://user:secret@host/data",
        "http://host/data?ticket=secret",
        "http://host/data#secret",
        "file://data/x",
        "file:data",
        "sftp:///data",
        "gopher://host/x",
        "/data",
        "http://host:0/x",
        "http://host:99999/x",
        "http://[::1/x",
        "http://a..b/x",
        "file:///data/../etc",
        "",
    ],
)
def test_a_root_that_is_none_is_refused_without_telling_secrets(root):
    with pytest.raises(InputError) as error:
        open_driver(Access(storage="s", zone="z", root=root), {}, CLOCK)
    assert "secret" not in str(error.value)


def test_options_and_credentials_that_there_are_not_are_refused():
    access = Access(storage="s", zone="z", root="http://h/x", options={"timeot_s": "1"})
    with pytest.raises(InputError, match="timeout_s"):
        open_driver(access, {}, CLOCK)
    access = Access(storage="s", zone="z", root="http://h/x", options={"timeout_s": "-1"})
    with pytest.raises(InputError, match="positive"):
        open_driver(access, {}, CLOCK)
    access = Access(storage="s", zone="z", root="http://h/x", credential="fr")
    with pytest.raises(InputError, match="no credential 'fr'"):
        open_driver(access, {"ch": USER}, CLOCK)


def test_kept_connections_are_used_again_and_replaced_when_closed(web):
    def answer(asked: Handler) -> None:
        asked.close_connection = len(web.asked) % 3 == 0
        asked.send()

    web.answer = answer
    with closing(web.driver()) as driver:
        for _ in range(7):
            with driver.open_read(PATH) as reader:
                assert b"".join(iter(lambda r=reader: r.read(1 << 20), b"")) == CONTENT
    assert len({id(asked) for asked in web.asked}) < 7
    assert socket.getdefaulttimeout() is None
