"""The supervisor's door: the Unix socket by which a Dask worker talks to it.

One link at a time: a worker that connects takes the place of the one before. A link that breaks,
stalls or talks nonsense is dropped; nothing that runs depends on it.
"""

import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from euclid_dask.core.seams import News
from euclid_dask.worker.link import Lines, Request, read_line, write_line

_READ: Final = 1 << 16
_MOST_UNSENT: Final = 1 << 26


class Door:
    """Listens at `path`; nothing here blocks. `descriptors` says what to poll for.

    While it is shut nobody is linked; who comes waits until it is open again.
    """

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(4)
        self._listener.settimeout(0)
        self._is_open = True
        self._link: socket.socket | None = None
        self._lines = Lines()
        self._unsent = bytearray()

    @property
    def is_linked(self) -> bool:
        """Tell whether somebody listens."""
        return self._link is not None

    @property
    def is_flushed(self) -> bool:
        """Tell whether all that was told has left this process."""
        return not self._unsent

    def descriptors(self) -> dict[int, int]:
        """Return the descriptors to poll, and for which events."""
        wanted = {self._listener.fileno(): select.POLLIN} if self._is_open else {}
        if self._link is not None:
            write = select.POLLOUT if self._unsent else 0
            wanted[self._link.fileno()] = select.POLLIN | write
        return wanted

    def open(self) -> None:
        """Let in who comes from now on."""
        self._is_open = True

    def shut(self) -> None:
        """Let nobody in for now, and drop who is in."""
        self._is_open = False
        self._drop()

    def admit(self) -> bool:
        """Let in who stands there, in the place of the one before; tell whether somebody did."""
        admitted = False
        with suppress(BlockingIOError):
            while self._is_open:
                link, _ = self._listener.accept()
                self._drop()
                link.settimeout(0)
                self._link = link
                admitted = True
        return admitted

    def hear(self) -> list[Request]:
        """Return what has been said meanwhile."""
        requests: list[Request] = []
        try:
            while self._link is not None:
                content = self._link.recv(_READ)
                if not content:
                    self._drop()
                requests += [_request(line) for line in self._lines.feed(content)]
        except BlockingIOError:
            pass
        except (OSError, ValueError):
            self._drop()
        return requests

    def tell(self, news: Sequence[News]) -> None:
        """Tell news, now or when the other side can take it; nobody there is nobody told."""
        if self._link is None:
            return
        for one in news:
            self._unsent += write_line(one)
        self.flush()

    def flush(self) -> None:
        """Send what can be sent."""
        try:
            while self._link is not None and self._unsent:
                del self._unsent[: self._link.send(self._unsent[:_READ])]
        except BlockingIOError:
            if len(self._unsent) > _MOST_UNSENT:
                self._drop()
        except OSError:
            self._drop()

    def close(self) -> None:
        """Close the door, and the link."""
        self._drop()
        self._listener.close()

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None
        self._lines = Lines()
        self._unsent.clear()


def _request(line: bytes) -> Request:
    message = read_line(line)
    if not isinstance(message, Request):
        raise ValueError(f"not a request: {line[:80]!r}")  # noqa: TRY004 - of no use to the caller
    return message
