"""Objects of a bucket: `s3://host/bucket/prefix`, and `s3+http://` without TLS.

There are no part files: an object is seen when all of it is there, and by `If-None-Match: *` only
if there was none. What a crash leaves is an upload that was not completed, which only the
server's own rules remove (in AWS, `AbortIncompleteMultipartUpload`).
Source: AWS, Amazon S3 API reference.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from typing import Final
from urllib.parse import quote, unquote, urlsplit
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
from euclid_dask.data.storages.exchange import HttpClient, plain
from euclid_dask.data.storages.http import HttpDriver

PIECE_BYTES: Final = 16 << 20
"""What is sent at once; smaller objects are sent in one request."""
PIECES: Final = 9_000
"""At most; servers allow 10 000."""
ABSENT: Final = {"If-None-Match": "*"}
"""Only if there is no such object."""


class S3Driver:
    """Reads and writes objects below `root`, an http URL of a bucket and perhaps a prefix."""

    capabilities = Capabilities()

    def __init__(self, root: str, client: HttpClient, piece_bytes: int = PIECE_BYTES) -> None:
        self._client = client
        self._http = HttpDriver(root, client)
        self._piece_bytes = piece_bytes
        split = urlsplit(root)
        bucket, _, prefix = split.path.strip("/").partition("/")
        self._bucket = f"{split.scheme}://{split.netloc}/{bucket}"
        self._prefix = f"{unquote(prefix)}/" if prefix else ""

    def stat(self, path: str) -> Stat | None:
        """Return size and time of an object, or None when there is none."""
        return self._http.stat(path)

    def open_read(self, path: str, start: int = 0) -> AbstractContextManager[Reader]:
        """Open an object to be read from byte `start`."""
        return self._http.open_read(path, start)

    def open_part(self, path: str, part: str, size: int | None = None) -> "S3Part":
        """Begin a new object for `path`."""
        part_path(path, part)
        piece = max(self._piece_bytes, -(-(size or 0) // PIECES))
        return S3Part(self._client, self._http.url(path), piece)

    def unlink(self, path: str) -> bool:
        """Remove an object; return whether it was there, as far as one can say."""
        if self.stat(path) is None:
            return False
        self._client.ask("DELETE", self._http.url(path))
        return True

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Stat]]:
        """Yield all objects below a prefix."""
        below = self._prefix + (f"{checked_path(prefix)}/" if prefix else "")
        after = ""
        while True:
            query = f"list-type=2&prefix={quote(below, safe='')}{after}"
            tree = tree_of(self._client.ask("GET", f"{self._bucket}?{query}"), self._bucket)
            for element in tree.iterfind("{*}Contents"):
                key = element.findtext("{*}Key", "")
                if not key.endswith("/"):
                    yield key[len(self._prefix) :], _stat(element)
            token = tree.findtext("{*}NextContinuationToken", "")
            if not token:
                return
            after = f"&continuation-token={quote(token, safe='')}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class S3Part:
    """An object on its way, in pieces if it is large."""

    def __init__(self, client: HttpClient, url: str, piece_bytes: int) -> None:
        self._client = client
        self._url = url
        self._piece_bytes = piece_bytes
        self._buffer = bytearray()
        self._upload = ""
        self._tags: list[str] = []

    def write(self, data: bytes | memoryview, /) -> None:
        """Append all of `data`."""
        self._buffer += data
        while len(self._buffer) > self._piece_bytes:
            self._send(bytes(self._buffer[: self._piece_bytes]))
            del self._buffer[: self._piece_bytes]

    def sync(self) -> None:
        """Send what is left, if there is more than one piece."""
        if self._upload:
            self._send(bytes(self._buffer))
            self._buffer.clear()

    def publish(self) -> None:
        """Make the object seen, unless there is one."""
        if not self._upload:
            self._client.ask("PUT", self._url, ABSENT, bytes(self._buffer))
            return
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
            for number, tag in enumerate(self._tags, start=1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        answer = self._client.ask("POST", f"{self._url}?uploadId={self._upload}", ABSENT, body)
        tree = tree_of(answer, self._url)
        if tree.tag.endswith("Error"):  # with status 200, since it takes long to find out
            raise StorageError(
                ErrorClass.NETWORK, f"{plain(self._url)}: {tree.findtext('{*}Message', 'failed')}"
            )
        self._upload = ""

    def abandon(self) -> None:
        """Let the server forget the pieces."""
        if self._upload:
            with suppress(StorageError):
                self._client.ask("DELETE", f"{self._url}?uploadId={self._upload}")
            self._upload = ""

    def _send(self, piece: bytes) -> None:
        if not self._upload:
            tree = tree_of(self._client.ask("POST", f"{self._url}?uploads="), self._url)
            self._upload = quote(tree.findtext("{*}UploadId", ""), safe="")
        number = len(self._tags) + 1
        url = f"{self._url}?partNumber={number}&uploadId={self._upload}"
        answer = self._client.ask("PUT", url, body=piece)
        self._tags.append(answer.headers.get("etag", ""))


def _stat(element: ET.Element) -> Stat:
    try:
        moment = datetime.fromisoformat(element.findtext("{*}LastModified", ""))
        size = int(element.findtext("{*}Size", ""))
    except ValueError as error:
        raise StorageError(ErrorClass.CONTENT, f"no S3 listing: {error}") from error
    return Stat(size=size, mtime_ns=int(moment.timestamp()) * 1_000_000_000)
