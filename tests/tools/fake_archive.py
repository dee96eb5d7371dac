"""A stand-in of the Euclid archive on loopback: metadata, file store, ingestion; faults on demand.

It says what public clients of the archive expect to hear, and no more than that is known of the
real one.
"""

import hashlib
import io
import json
import pickle
import re
import sys
import xmlrpc.client
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import unquote

from euclid_dask.data.products import parse_product

USER, PASSWORD = "archive-user", "pass-word-7"
LOGIN_PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"

Reply = tuple[int, dict[str, str], bytes]
Fault = Callable[[Reply], Reply]


@dataclass
class FakeArchive:
    """What the archive holds, what was asked of it, and what it is to do wrong.

    `faults` has, by verb (`DSSGET`, `SIZE`, `REST`, `IngestObject`, ...), what is done to the next
    answers, one after the other.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    products: dict[str, bytes] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    password: str = PASSWORD
    ticket: str = ""
    polls: int = 1
    pace: int = 0
    """Bytes that are sent at once, until somebody sets `hurry`; 0 for all."""
    hurry: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    def fail(self, verb: str, *faults: Fault) -> None:
        """Do something wrong with the next answers to a verb."""
        self.faults.setdefault(verb, deque()).extend(faults)

    def asked(self, verb: str) -> list[dict[str, str]]:
        """Return the headers of the requests for a verb."""
        return [headers for _, known, headers in self.requests if known == verb]

    def add_product(self, xml: bytes) -> None:
        """Have a product."""
        product = parse_product(io.BytesIO(xml), where="of the test")
        self.products[product.product_id] = xml


def html(_: Reply) -> Reply:
    """A page to log in, with the status that all is well."""
    return 200, {"Content-Type": "text/html"}, LOGIN_PAGE


def cut(reply: Reply) -> Reply:
    """Half of the body, though all of it was announced."""
    status, headers, body = reply
    return status, {**headers, "Content-Length": str(len(body))}, body[: len(body) // 2]


def cut_unseen(reply: Reply) -> Reply:
    """Half of the body, and nothing told of its length."""
    status, headers, body = reply
    return status, {**headers, "Content-Length": ""}, body[: len(body) // 2]


def other_bytes(reply: Reply) -> Reply:
    """As many bytes, but others."""
    status, headers, body = reply
    return status, headers, bytes(body[:-1]) + bytes([body[-1] ^ 1])


def busy(seconds: float = 3) -> Fault:
    """Come again later."""
    return lambda _: (503, {"Retry-After": str(seconds)}, b"busy")


def answers(body: bytes, status: int = 200, **headers: str) -> Fault:
    """Say something else."""
    return lambda _: (status, headers, body)


def pickled(_: Reply) -> Reply:
    """A pickle."""
    return 200, {"Content-Type": "application/octet-stream"}, pickle.dumps({"size": 1})


def redirect(url: str) -> Fault:
    """Look elsewhere."""
    return lambda _: (302, {"Location": url}, b"")


@contextmanager
def serving(archive: FakeArchive | None = None) -> Iterator[FakeArchive]:
    """Serve an archive on loopback while the block runs."""
    archive = archive or FakeArchive()
    server = _Server(archive)
    archive.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield archive
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, archive: FakeArchive) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.archive = archive

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # an answer is one packet if it can be
    server: _Server

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def do_PUT(self) -> None:
        self._answer(self._body())

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, body: bytes) -> None:
        archive = self.server.archive
        with archive.lock:
            verb = _verb(self.path, self.headers.get("pragma", ""), body)
            archive.requests.append((self.command, verb, dict(self.headers.items())))
            reply = _reply(archive, verb, self.path, self.headers, body)
            if archive.faults.get(verb):
                reply = archive.faults[verb].popleft()(reply)
        status, told, content = reply
        told = {"Content-Length": str(len(content)), **told}
        if told["Content-Length"] != str(len(content)):
            told["Connection"] = "close"
        self.send_response(status)
        for name, value in told.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self._send(content)

    def _send(self, content: bytes) -> None:
        pace = self.server.archive.pace
        if not pace:
            self.wfile.write(content)
            return
        with suppress(ConnectionError):
            for start in range(0, len(content), pace):
                self.wfile.write(content[start : start + pace])
                self.wfile.flush()
                self.server.archive.hurry.wait(0.02)


def _verb(target: str, pragma: str, body: bytes) -> str:
    if pragma:
        return pragma
    if target.startswith("/ingest"):
        return xmlrpc.client.loads(body)[1] or ""
    return target.strip("/").partition("?")[0].partition("/")[0]


def _reply(archive: FakeArchive, verb: str, target: str, headers: Any, body: bytes) -> Reply:
    if not _admitted(archive, headers):
        return 401, {"WWW-Authenticate": "Basic"}, b"who are you?"
    reply = _reply_to(archive, verb, target, headers, body)
    if archive.ticket:
        return reply[0], {**reply[1], "Set-Cookie": f"ticket={archive.ticket}; Path=/"}, reply[2]
    return reply


def _admitted(archive: FakeArchive, headers: Any) -> bool:
    cookie = headers.get("Cookie", "")
    if cookie and f"ticket={archive.ticket}" not in cookie:
        return False  # it ran out
    proof = b64encode(f"{USER}:{archive.password}".encode()).decode()
    return not archive.password or headers.get("Authorization", "") == f"Basic {proof}"


def _reply_to(  # noqa: PLR0911
    archive: FakeArchive, verb: str, target: str, headers: Any, body: bytes
) -> Reply:
    name = unquote(target.lstrip("/"))
    match verb:
        case "REST":
            return 200, {"Content-Type": "text/csv"}, _table(archive, target)
        case "NewEuclidXML":
            job = {"url": f"{archive.url}/job/{archive.polls}?{target.partition('?')[2]}",
                   "status": "EXECUTING"}  # fmt: skip
            return 200, {}, repr(job).encode()
        case "job":
            return _job(archive, target)
        case "result":
            return 200, {}, b"\n\n".join(_found(archive, target)) + b"\n"
        case "IngestObject" | "UpdateObject":
            return 200, {"Content-Type": "text/xml"}, _ingest(archive, body)
        case "DSSSTORE":
            archive.stored[name] = body
            return 200, {}, b""
        case "DSSSTORED":
            return _commit(archive, name, headers)
    return _file(archive, verb, name, headers)


def _file(  # noqa: PLR0911
    archive: FakeArchive, verb: str, name: str, headers: Any
) -> Reply:
    content = archive.files.get(name)
    if content is None:
        return 404, {}, b"no such file"
    match verb:
        case "DSSGET":
            wanted = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
            if wanted is None:
                return 200, {"Content-Type": "application/octet-stream"}, content
            start = int(wanted[1])
            there = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return 206, {"Content-Range": there}, content[start:]
        case "SIZE":
            return 200, {}, f"{len(content)}\n".encode()
        case "MD5SUM":
            return 200, {}, hashlib.md5(content).hexdigest().encode()
        case "LOCATE":
            return 200, {}, f"{archive.url}\n".encode()
        case "STAT":
            return pickled((200, {}, b""))
    return 400, {}, b"what?"


def _commit(archive: FakeArchive, name: str, headers: Any) -> Reply:
    content = archive.stored.pop(name, None)
    if content is None:
        return 404, {}, b"nothing was stored"
    told = (headers["MD5SUM"], headers["SHA1"], headers["SIZE"])
    md5, sha1 = hashlib.md5(content).hexdigest(), hashlib.sha1(content).hexdigest()
    if told != (md5, sha1, str(len(content))):
        return 400, {}, b"other checksums"
    if archive.files.setdefault(name, content) != content:
        return 409, {}, b"there is another"
    archive.order.append(name)
    return 200, {}, b""


def _ingest(archive: FakeArchive, body: bytes) -> bytes:
    (xml, *_), _method = xmlrpc.client.loads(body)
    product = parse_product(io.BytesIO(xml.encode()), where="of the test")
    missing = [one.name for one in product.files if one.name not in archive.files]
    told: dict[str, Any] = {"object_id": "", "error": "", "result": "", "message": ""}
    if missing:
        told |= {"error": "files", "message": f"there is no file {missing[0]}"}
    else:
        archive.products[product.product_id] = xml.encode()
        archive.order.append(product.product_id)
        told |= {"object_id": f"OBJ-{len(archive.products)}"}
    return xmlrpc.client.dumps((told,), methodresponse=True).encode()


def _job(archive: FakeArchive, target: str) -> Reply:
    left, _, query = target.removeprefix("/job/").partition("?")
    if int(left) > 1:
        job = {"url": f"/job/{int(left) - 1}?{query}", "status": "EXECUTING"}
    else:
        job = {"url": f"/result?{query}", "status": "FINISHED"}
    return 200, {"Content-Type": "application/json"}, json.dumps(job).encode()


def _conditions(target: str) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    settings, conditions = {}, []
    for one in filter(None, target.partition("?")[2].split("&")):
        found = re.fullmatch(r"([\w.]+?)(==|!=|=)(.*)", unquote(one))
        assert found is not None, one
        if "." in found[1]:
            conditions.append((found[1], found[2], found[3].strip('"')))
        else:
            settings[found[1]] = found[3]
    return settings, conditions


def _found(archive: FakeArchive, target: str) -> list[bytes]:
    settings, conditions = _conditions(target)
    found = []
    for xml in archive.products.values():
        product = parse_product(io.BytesIO(xml), where="of the test")
        fits = all(
            (_field(xml, path) == value) == (sign != "!=") for path, sign, value in conditions
        )
        if product.type == settings["class_name"] and fits:
            found.append(xml)
    return found


def _field(xml: bytes, path: str) -> str:
    product = parse_product(io.BytesIO(xml), [path], where="of the test")
    return product.values[0].text if product.values else ""


def _table(archive: FakeArchive, target: str) -> bytes:
    settings, _ = _conditions(target)
    fields = settings["fields"].split(":")
    rows = [fields, *([_field(xml, one) for one in fields] for xml in _found(archive, target))]
    return "".join(",".join(f'"{one}"' for one in row) + "\r\n" for row in rows).encode()
