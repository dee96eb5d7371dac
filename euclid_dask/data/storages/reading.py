"""A reader that knows how much must come."""

from collections.abc import Callable

from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import StorageError


class SizedReader:
    """Passes bytes on, and says so when there are fewer or more of them than there must be.

    Args:
        read: Returns some bytes, or `b""` at the end.
        size: The bytes of the whole file, or None when the server does not tell.
        start: Where in the file `read` begins.
        where: The file, for messages.
        at_end: Called once when all has come, to see whether the file changed meanwhile.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        size: int | None,
        start: int,
        where: str,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self.size = size
        self._read = read
        self._position = start
        self._where = where
        self._at_end = at_end

    def read(self, n: int, /) -> bytes:
        """Return 1 to `n` bytes, or `b""` at the end."""
        data = self._read(n)
        self._position += len(data)
        if self.size is not None and self._position > max(self.size, self._position - len(data)):
            raise StorageError(
                ErrorClass.CONTENT, f"{self._where}: more than its {self.size} bytes came"
            )
        if not data:
            self._end()
        return data

    def _end(self) -> None:
        if self.size is not None and self._position < self.size:
            raise StorageError(
                ErrorClass.NETWORK,
                f"{self._where}: ended after {self._position} of {self.size} bytes",
            )
        if self._at_end is not None:
            at_end, self._at_end = self._at_end, None
            at_end()
