"""Relays on loopback that spoil what goes through them."""

import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum


class Mode(Enum):
    """How a connection is spoilt."""

    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"
    LORIS = "loris"
    """One byte at a time, and few in a second."""


@dataclass
class Fault:
    """What happens to a connection once so many bytes have gone one way."""

    mode: Mode
    after: int
    up: bool = False
    """From the client to the server, rather than to the client."""


@dataclass
class Relay:
    """Passes connections on to a port, and spoils them by its fault, if it has one."""

    target: int
    fault: Fault | None = None
    port: int = 0
    hit: int = 0
    """How many connections were spoilt."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """FTP: replies in place of the server's, by command; "" is its greeting."""
    ftp: bool = False
    passive_host: str = "127,0,0,1"
    """FTP: where the server says that it listens."""
    _open: list[socket.socket] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _children: list["Relay"] = field(default_factory=list)
    """FTP: relays of data connections."""

    def listen(self) -> None:
        """Begin to accept connections."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._open.append(listener)
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()

    def end(self) -> None:
        """Close everything."""
        self._ended.set()
        for line in self._open:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _accept(self, listener: socket.socket) -> None:
        while not self._ended.is_set():
            with suppress(OSError):
                client, _ = listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.target), 5)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                for line in (client, server):
                    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += [client, server]
                for pump in ((server, client, False), (client, server, True)):
                    threading.Thread(target=self._pump, args=pump, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(1 << 15):
                if self.ftp:
                    data = self._control(data, source, up)
                fault = self.fault if self.fault and self.fault.up == up and not self.ftp else None
                if fault and passed + len(data) > fault.after:
                    target.sendall(data[: max(0, fault.after - passed)])
                    self.hit += 1
                    self._spoil(fault.mode, source, target, data)
                    return
                passed += len(data)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _spoil(self, mode: Mode, source: socket.socket, target: socket.socket, data: bytes) -> None:
        if mode is Mode.SILENCE:
            self._ended.wait()
        elif mode is Mode.LORIS:
            while not self._ended.wait(0.02):
                target.sendall(b"\0")
        elif mode is Mode.RESET:
            for line in (target, source):
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RD)
                line.close()
        else:
            for line in (target, source):
                line.shutdown(socket.SHUT_RDWR)

    def _control(self, data: bytes, source: socket.socket, up: bool) -> bytes:
        """Change what goes over an FTP control connection."""
        if up:
            command = data.split()[0].decode().upper() if data.split() else ""
            if command in self.answers:
                source.sendall(f"{self.answers[command]}\r\n".encode())
                return b""
            return data
        if data.startswith(b"220") and "" in self.answers:
            return f"{self.answers['']}\r\n".encode()
        return re.sub(rb"\(([\d,]+),(\d+),(\d+)\)", self._passive, data)

    def _passive(self, found: "re.Match[bytes]") -> bytes:
        port = int(found[2]) * 256 + int(found[3])
        behind = Relay(port, self.fault, _open=self._open, _ended=self._ended)
        behind.listen()
        self._children.append(behind)
        return f"({self.passive_host},{behind.port // 256},{behind.port % 256})".encode()

    def hits(self) -> int:
        """Return how many connections were spoilt, those for FTP's data too."""
        return self.hit + sum(child.hit for child in self._children)


@contextmanager
def relay(target: int, fault: Fault | None = None, **more: object) -> Iterator[Relay]:
    """Have a relay to a port."""
    made = Relay(target, fault, **more)  # type: ignore[arg-type]
    made.listen()
    try:
        yield made
    finally:
        made.end()
